"""Servers for tests: each is a process of its own, and gone when its block ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil

WAIT_S = 90  # the machine may be busy


class Reply(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """A server that runs in `folder`."""

    def __init__(self, folder: Path, process: subprocess.Popen[str], url: str) -> None:
        self.folder, self.process, self.port = folder, process, int(url.rpartition(":")[2])

    def ask(self, method: str, path: str, body: Any = None, kind: str | None = None, **headers: str) -> Reply:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            if isinstance(body, dict | list):
                body, kind = json.dumps(body).encode(), kind or "application/json"
            line.request(method, path, body, {**({"Content-Type": kind} if kind else {}), **headers})
            answer = line.getresponse()
            return Reply(answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()})
        finally:
            line.close()

    def get(self, path: str) -> Any:
        return self.ask("GET", path).json

    def predict(self, body: Any, query: str = "", kind: str | None = None, name: str = "quarters") -> Reply:
        return self.ask("POST", f"/v1/models/{name}/predict{query}", body, kind)

    def processes(self, name: str = "quarters") -> list[int]:
        return self.get(f"/v1/models/{name}")["processes"]

    def mb(self) -> float:
        return psutil.Process(self.process.pid).memory_info().rss / 1e6

    def finished(self, batch: str) -> dict[str, Any]:
        """The batch once it is ended."""
        return wait_for(lambda: (told := self.get(f"/v1/batches/{batch}"))["state"] not in ("waiting", "running")
                        and told)


def wait_for(true: Callable[[], Any], wait_s: float = WAIT_S) -> Any:
    """What `true` says once it is true."""
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not become true")


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def serving(folder: Path, *words: str, **options: Any) -> Iterator[Server]:
    """`visionmill serve WORDS` in a folder; with options that no word is for, the same through its function."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "flows.cli", "serve", "--port", "0", *words]
    if options:
        asked = (list(words), options)
        command = [sys.executable, "-c", "from pathlib import Path; from tasks.serving.server import serve; "
                   "from tasks.serving.options import Serving; "
                   f"words, options = {asked!r}; serve(words, Serving(**options), '127.0.0.1', 0, Path())"]
    state = folder / ".visionmill/serve/server.json"
    log = (folder / "log").open("a")
    process = subprocess.Popen(command, cwd=folder, text=True, stdout=log, stderr=log, start_new_session=True,
                               env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        def up() -> Any:
            assert process.poll() is None, (folder / "log").read_text()
            told = json.loads(state.read_text()) if state.is_file() else {}
            return told if told.get("pid") == process.pid else None

        server = Server(folder, process, wait_for(up)["url"])
        wait_for(lambda: _answers(server))
        yield server
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


def _answers(server: Server) -> bool:
    try:
        return server.ask("GET", "/health").status == 200
    except OSError:
        return False
