"""A running `visionmill up` over toy workspaces, and the few calls that tests of it make."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows import processes
from tests.flows.toy import ROOT, Toy, make_installation

# these need the real registry, which the toy has not
FLOW = '''\
"""In place of the real flow."""

import time
from pathlib import Path

from prefect import flow


@flow(name="{name}")
def {name}(workspace: str = ".", reason: str | None = None) -> None:
    print("{name} in", Path(workspace).name, Path.cwd(), flush=True)
'''
WATCH = '''\
"""In place of the promotion watch: it is healthy."""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *words):
        pass


if __name__ == "__main__":
    wanted = json.loads(sys.argv[1])
    print("watching", wanted["workspace"], flush=True)
    HTTPServer(("127.0.0.1", wanted["port"]), Healthy).serve_forever()
'''


def make_served_installation(folder: Path) -> Path:
    """The toy, with what needs the registry replaced: three flows and the promotion watch."""
    made = make_installation(folder)
    for name in ("retrain", "nightly", "promotion"):
        (made / f"flows/{name}.py").write_text(FLOW.format(name=name))
    (made / "flows/watching.py").write_text(WATCH)
    for file in (ROOT / "tasks/registry").glob("moved*.py"):
        shutil.copy(file, made / "tasks/registry" / file.name)
    return made


def until(found: Callable[[], Any], seconds: float = 120.0) -> Any:
    """The first truthy answer.

    Raises:
        AssertionError: there was none in that time.
    """
    end = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.3)
    return answer


def call(url: str, body: Any = None) -> Any:
    """JSON by HTTP."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    for left in reversed(range(20)):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
            return json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            # its SQLite file was written to by two at once: nothing happened, it may be asked again
            if error.code != 503 or not left:
                raise
        time.sleep(0.5)
    return None


class Up:
    """`visionmill up` of one toy workspace."""

    def __init__(self, toy: Toy) -> None:
        self.toy = toy

    def state(self) -> dict[str, Any]:
        file = self.toy.path / ".visionmill/services.json"
        return json.loads(file.read_text()) if file.exists() else {}

    def url(self, name: str) -> str:
        return self.state()[name]["url"]

    @property
    def api(self) -> str:
        return f"{self.url('prefect')}/api"

    def ready(self) -> bool:
        found = {name: entry["state"] for name, entry in self.state().items()}
        return bool(found) and all(state in ("ready", "elsewhere") for state in found.values())

    def start_run(self, deployment: str, **parameters: Any) -> str:
        found = call(f"{self.api}/deployments/name/{deployment}")
        return call(f"{self.api}/deployments/{found['id']}/create_flow_run", {"parameters": parameters})["id"]

    def run_state(self, run: str) -> dict[str, Any]:
        return call(f"{self.api}/flow_runs/{run}")["state"]

    def wait_for(self, run: str, *names: str, seconds: float = 120.0) -> dict[str, Any]:
        """The state of a run, once it has one of these names."""
        until(lambda: self.run_state(run)["name"] in names, seconds)
        return self.run_state(run)

    def cancel(self, run: str) -> None:
        call(f"{self.api}/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})

    def log(self, name: str) -> str:
        file = self.toy.path / f".visionmill/logs/{name}.log"
        return file.read_text() if file.exists() else ""

    def end(self) -> None:
        """Whatever happened, nothing of it stays."""
        up = self.state().get("up", {}).get("pid")
        subprocess.run(self.toy.command("visionmill", "down"), cwd=self.toy.path, env=self.toy.env, timeout=120,
                       stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if up:
            with contextlib.suppress(ProcessLookupError):
                os.kill(up, signal.SIGKILL)
        processes.end_marked(str(self.toy.path), variable=processes.UP)

    def below(self) -> list[int]:
        """Processes that `up` started and that are alive."""
        return processes.marked(str(self.toy.path), processes.UP)


def environment_of(toy: Toy) -> None:
    """Nothing of the person who runs the tests."""
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "VISIONMILL_SITE", "VISIONMILL_MIRROR"):
        toy.env.pop(name, None)


def workspace_site(toy: Toy, text: str) -> None:
    """A site of the workspace's own."""
    folder = toy.path / "conf/site"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "local.yaml").write_text(text)


def free_ports(number: int) -> list[int]:
    import socket

    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    found = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return found


def pid_below(keeper: int, word: str) -> int:
    """The process below a keeper whose command line has a word."""
    for pid in processes.descendants(keeper):
        try:
            if word in Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "):
                return pid
        except OSError:
            continue
    raise AssertionError(f"no process {word!r} below {keeper}, {os.getpid()}")


def picture(path: Path) -> None:
    """A PNG file."""
    from PIL import Image

    Image.new("RGB", (64, 48), (200, 30, 30)).save(path)


def end_session(leader: int) -> None:
    """Kill what a session's leader left."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return


def stages_of(toy: Toy) -> list[str]:
    """Command lines of the stages that run in a workspace."""
    found = []
    for pid in processes.marked(str(toy.path)):
        try:
            found.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return [line for line in found if " stage " in line]
