"""The front's hold on one model process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from typing import Any

from tasks.serving import frames
from tasks.serving.target import Target

# how our commands tell threads to wait costs a model alone in its process more than half its speed
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
# glibc gives a picture's megabytes back after each one and takes them anew, page by page: 22 ms instead of 15 for one
# of 1920 x 1080; so up to 128 MB are kept while the process lives
MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(128 << 20)}
PATIENCE_S = 1.0


class Died(Exception):
    """The process ended while something was asked of it."""


class Unopened(Exception):
    """The process is there, and its model does not open; the text says why."""


class Process:
    """One process, started by `start`.

    Attributes:
        pid: 0 before it starts.
        provider: what computes, as it says itself.
    """

    def __init__(self, target: Target) -> None:
        self.target, self.pid, self.provider = target, 0, ""
        self._child: subprocess.Popen[bytes] | None = None
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def start(self, patience_s: float) -> None:
        """Start it and wait until its model is open.

        Raises:
            Unopened: the model does not open, or not in time.
        """
        ours, theirs = socket.socketpair()
        facts = json.dumps({"path": self.target.path, **self.target.facts()})
        command = [sys.executable, "-P", "-m", "tasks.serving.worker", str(theirs.fileno()), str(os.getpid()), facts]
        self._child = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            start_new_session=True,
            env={**MEMORY, **{name: value for name, value in os.environ.items() if name not in WAITING}})
        theirs.close()
        self.pid = self._child.pid
        self._reader, self._writer = await asyncio.open_connection(sock=ours)
        try:
            told, _ = await asyncio.wait_for(frames.read(self._reader), patience_s)
        except TimeoutError:
            raise Unopened(f"the model was not open after {patience_s:g} s") from None
        except (EOFError, OSError):
            raise Unopened("the model's process ended while it opened the model") from None
        if "error" in told:
            raise Unopened(". ".join(part for part in (told["error"], told["where"], told["mend"]) if part))
        self.provider = told["provider"]

    async def ask(self, head: dict[str, Any], body: bytes | bytearray | memoryview) -> tuple[dict[str, Any], bytes]:
        """Send one request and wait for its answer.

        Raises:
            Died: the process ended before it answered.
        """
        try:
            self._writer.write(frames.packed(head, body))
            if body:
                self._writer.write(body)
            # a large picture: the process reads while we write
            await self._writer.drain()
            return await frames.read(self._reader)
        except (EOFError, OSError):
            raise Died from None

    async def end(self, at_once: bool = False) -> None:
        """Let it go: it ends with its line, or is killed after a second."""
        if self._child is None:
            return
        if hasattr(self, "_writer"):
            self._writer.close()
        if at_once:
            self._child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._child.wait, PATIENCE_S)
            return
        self._child.kill()
        await asyncio.to_thread(self._child.wait)

    def kill(self) -> None:
        """End it now, in whatever it does."""
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
