"""A server from its first line to its last: one a folder, on loopback, and nothing outlives it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from tasks.base.errors import UserError, WorkspaceBusy
from tasks.base.files import read_json, write_json
from tasks.serving.options import Serving
from tasks.serving.target import Target

STATE = Path(".visionmill/serve")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
GRACE_S = 5  # for requests that are under way when it is told to end


def serve(words: Sequence[str], options: Serving, host: str, port: int, workspace: Path) -> None:
    """Answer until a signal comes.

    Args:
        words: addresses of models, `NAME=ADDRESS` where a name is wanted.
        port: 0 for a free one.
        workspace: whose store is asked; `.visionmill/serve` below it holds batches.

    Raises:
        UserError: no such model, two of one name, the port is taken, another server uses the folder.
    """
    from tasks.serving.resolving import resolve

    folder = workspace.resolve() / STATE
    with _alone(folder), contextlib.closing(_listen(host, port)) as listening:
        targets = _named_apart(resolve(words, workspace))
        url = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
        write_json(folder / "server.json", {"pid": os.getpid(), "url": url, "port": listening.getsockname()[1],
                                            "started": time.time(), "models": [target.name for target in targets]})
        try:
            _tell(targets, url, host)
            _run(targets, options, listening, workspace)
        finally:
            (folder / "server.json").unlink(missing_ok=True)


def _run(targets: Sequence[Target], options: Serving, listening: socket.socket, workspace: Path) -> None:
    import uvicorn

    from tasks.serving.app import App
    from tasks.serving.batches import Batches
    from tasks.serving.connection import Patient
    from tasks.serving.house import House

    # a thousand connections and more; many systems allow 1,024 files unless asked
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    app = App(House(targets, options), Batches(workspace.resolve() / STATE / "batches", options.keep_days), workspace)
    Patient.patience_s = options.stall_s
    config = uvicorn.Config(app, http=Patient, ws="none", lifespan="on", log_level="error", access_log=False,
                            server_header=False, proxy_headers=False, timeout_keep_alive=75,
                            timeout_graceful_shutdown=GRACE_S)
    server = uvicorn.Server(config)

    async def run() -> None:
        # uvicorn raises the signal once more when it is done; ending as asked is no error here
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, server.handle_exit, number, None)
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        await server.serve(sockets=[listening])

    asyncio.run(run())


def _tell(targets: Sequence[Target], url: str, host: str) -> None:
    for target in targets:
        version = f"version {target.version}" if target.version else target.path
        print(f"{target.name}: {version}, {len(target.classes)} classes, {target.runtime}")
    print(f"serving on {url}, documented at {url}/openapi.json; a model starts with its first request", flush=True)
    if host not in LOOPBACK:
        print(f"warning: {host} is reachable from other machines, and nobody is asked who he is: put a proxy with a "
              "login before it", file=sys.stderr, flush=True)


def _named_apart(targets: list[Target]) -> list[Target]:
    names = [target.name for target in targets]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"two models are called {twice!r}", mend=f"give one another name: {twice}2=ADDRESS")
    return targets


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's waiting off (40 ms an answer) only where the protocol is named
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        # a thousand at once must not meet a full backlog before one is answered
        made.listen(2048)
    except OSError as error:
        made.close()
        raise UserError(f"port {port} cannot be used: {error.strerror or error}", where=f"{host}:{port}",
                        mend="--port 0 takes a free one") from None
    return made


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds the folder; two servers would do its batches twice."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        if not _locked(file):
            told = running(folder) or {}
            raise WorkspaceBusy(f"a server runs here already: {told.get('url', 'it starts')}", where=folder,
                                mend="visionmill serve --stop, or run this one in another folder")
        yield


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def running(folder: Path) -> dict[str, Any] | None:
    """`pid`, `url`, `port`, `started`, `models` of the server that holds `.visionmill/serve`, None where none does."""
    with contextlib.suppress(OSError, ValueError):
        told = read_json(folder / "server.json")
        with (folder / "lock").open("r") as file:
            if not _locked(file):
                return told
    return None


def stop(folder: Path, patience_s: float = 15.0) -> dict[str, Any] | None:
    """End the server that holds the folder and wait until it is gone; None where there is none.

    Raises:
        UserError: it does not end in time.
    """
    told = running(folder)
    if told is None:
        return None
    with contextlib.suppress(ProcessLookupError):
        os.kill(told["pid"], signal.SIGTERM)
    end = time.monotonic() + patience_s
    while running(folder) is not None:
        if time.monotonic() > end:
            raise UserError(f"the server did not end within {patience_s:g} s", where=f"process {told['pid']}",
                            mend=f"kill -9 {told['pid']}: its models end with it, its batches go on with the next")
        time.sleep(0.05)
    return told
