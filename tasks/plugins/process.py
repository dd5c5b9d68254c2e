"""A program from elsewhere in a process group of its own: timed, heard, and ended whole."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from tasks.base.errors import UserError
from tasks.plugins.ending import MARK, kept, left, signal_group, stop_container, sweep
from tasks.plugins.plain import open_plain, shown

HEAD, TAIL = 4 << 20, 1 << 20  # bytes of a log that are kept at its start and at its end
GRACE = 5.0
POLL = 0.1
# what a program may know of us: nothing that may hold a secret
PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "USER",
          "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "VISIONMILL_THREADS", "VISIONMILL_MIRROR",
          "XDG_RUNTIME_DIR", "DOCKER_HOST", "CONTAINER_HOST")


@dataclass(frozen=True)
class Ended:
    """How a program ended.

    Attributes:
        code: exit code, negative for a signal.
        why: by itself, or ended by us after its time, or after it said nothing for too long.
        seconds: how long it ran.
        outlived: processes of it that were still there when it ended by itself, and that were ended.
        written: bytes that it wrote to its log, of which `HEAD` and `TAIL` are kept.
    """

    code: int
    why: Literal["itself", "time", "silence"]
    seconds: float
    outlived: int
    written: int


def run(command: Sequence[str], *, folder: Path, log: Path, seconds: float, silent: float,
        environment: Mapping[str, str] | None = None, look: Callable[[], bool] = lambda: False,
        stop: Sequence[str] = ()) -> Ended:
    """Run a program to its end; whatever happens, nothing of it is left when this returns.

    Args:
        folder: where it runs; log: takes both of its streams.
        seconds: it is ended after so many; silent: after so many without output or progress.
        environment: more variables for it.
        look: called often; True means that there was progress.
        stop: a command that ends what is not below the process, for instance a container.

    Raises:
        UserError: there is no such program.
    """
    mark = secrets.token_hex(16)
    known = {name: os.environ[name] for name in PASSED if name in os.environ}
    try:
        process = subprocess.Popen(list(command), cwd=folder, env=known | dict(environment or {}) | {MARK: mark},
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   start_new_session=True)
    except OSError as error:
        raise UserError(f"the program does not start: {error.strerror}", where=command[0],
                        mend="install it, or mend `command` in the plug-in's file") from None
    start, why = time.monotonic(), "itself"
    with kept(process.pid, mark, stop), _Log(process.stdout, log) as heard:
        try:
            why = _wait(process, start, seconds, silent, look, heard)
            outlived = len(left(process.pid, mark)) if why == "itself" else 0
        finally:
            _end(process, mark, stop)
    return Ended(process.returncode, why, time.monotonic() - start, outlived, heard.written)


def _wait(process: subprocess.Popen[bytes], start: float, seconds: float, silent: float, look: Callable[[], bool],
          heard: _Log) -> Literal["itself", "time", "silence"]:
    last = start
    said = 0
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL)
            look()
            return "itself"
        now = time.monotonic()
        if look() or heard.written != said:
            last, said = now, heard.written
        if now - start > seconds:
            return "time"
        if now - last > silent:
            return "silence"


def _end(process: subprocess.Popen[bytes], mark: str, stop: Sequence[str]) -> None:
    """End the group, and what left it: first as asked for, then for good."""
    running = process.poll() is None
    if running:
        signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    if stop and (running or process.returncode):
        stop_container(stop)
    sweep(process.pid, mark)
    process.wait()


class _Log:
    """Writes what comes through a pipe to a file: the start and the end of it, however much there is."""

    def __init__(self, pipe: IO[bytes] | None, path: Path) -> None:
        assert pipe is not None
        self.pipe, self.path, self.written = pipe, path, 0
        self._tail: deque[bytes] = deque()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> _Log:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("wb", buffering=0)
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._thread.join(GRACE)
        with self._file as file:
            tail = b"".join(self._tail)[-TAIL:]
            if (left := self.written - HEAD - len(tail)) > 0:
                file.write(f"\n… {left:,} bytes are left out …\n".encode())
            file.write(tail)

    def _read(self) -> None:
        held = 0
        with contextlib.suppress(OSError, ValueError):
            while chunk := os.read(self.pipe.fileno(), 1 << 16):
                room = max(0, HEAD - self.written)
                self._file.write(chunk[:room])
                self.written += len(chunk)
                if rest := chunk[room:]:
                    self._tail.append(rest)
                    held += len(rest)
                while held - len(self._tail[0] if self._tail else b"") > TAIL:
                    held -= len(self._tail.popleft())
        with contextlib.suppress(OSError):
            self.pipe.close()


def tail_of(log: Path, lines: int = 12) -> str:
    """The last lines of a log."""
    try:
        with open_plain(log) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
            return shown("\n".join(file.read(8192).decode("utf-8", "replace").splitlines()[-lines:]))
    except OSError:
        return ""
