"""Nothing of a program from elsewhere is left: neither when it ends, nor when we are killed beside it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

MARK = "VISIONMILL_PLUGIN_TASK"
PASSES = 50
STOPPING = 30.0  # seconds for the command that ends a container


def left(session: int, mark: str) -> dict[int, int]:
    """Processes of the session, and those that bear our mark in their environment wherever they went; their groups."""
    sign = f"{MARK}={mark}".encode()
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            state, _, group, own = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            if state not in "ZX" and (int(own) == session or sign in (entry / "environ").read_bytes().split(b"\0")):
                found[int(entry.name)] = int(group)
    return found


def sweep(session: int, mark: str) -> None:
    """End all of them for good."""
    empty = 0
    for _ in range(PASSES):
        # children are made as fast as they are ended: all are stopped first, then ended; and looked for twice
        some = left(session, mark)
        empty = 0 if some else empty + 1
        if empty == 2:
            break
        for sign in (signal.SIGSTOP, signal.SIGKILL) if some else ():
            for one, group in some.items():
                # a group is signalled at once, and one that makes itself anew again and again is in it
                signal_group(group, sign)
                with contextlib.suppress(OSError):
                    os.kill(one, sign)
        # looking takes a while where there are many: what is there then is stopped, and ended in the next pass
        time.sleep(0.02 if empty else 0)


def signal_group(group: int, sign: signal.Signals) -> None:
    """Send a signal to a process group that is not ours."""
    if group > 1 and group != os.getpgrp():
        with contextlib.suppress(OSError):
            os.killpg(group, sign)


def stop_container(stop: Sequence[str]) -> None:
    """Run the command that ends what is not below the process."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(list(stop), stdin=subprocess.DEVNULL, capture_output=True, timeout=STOPPING, check=False)


@contextmanager
def kept(session: int, mark: str, stop: Sequence[str]) -> Iterator[None]:
    """Where this process is killed inside the block, all that bears the mark ends too, by another process."""
    # it reads until the pipe's other end, which is ours, is closed; a session of its own: no Ctrl-C reaches it
    keeper = subprocess.Popen([sys.executable, "-P", "-m", "tasks.plugins.ending", str(session), mark, *stop],
                              stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              start_new_session=True)
    try:
        yield
    finally:
        keeper.kill()
        keeper.communicate()


def _keep(session: str, mark: str, *stop: str) -> None:
    sys.stdin.buffer.read()
    if stop:
        stop_container(stop)
    sweep(int(session), mark)


if __name__ == "__main__":
    _keep(*sys.argv[1:])
