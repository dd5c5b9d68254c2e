"""Nothing outlives its parent: the few system calls that see to it. Run as a file, it starts a program under them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
MARK = "VISIONMILL_RUN"


def signal_on_parent_death(number: int) -> None:
    """Ask Linux to send this process a signal when the thread that started it ends; elsewhere nothing happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number)


def adopt_orphans() -> None:
    """Become the parent of what our children leave, to reap it: to DVC a dead process that nobody reaps is alive."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1)


def reap() -> None:
    """Collect all children that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] not in ("Z", "X")


def ending_with_parent(command: list[str], number: int) -> list[str]:
    """The command, to be signalled when its parent dies. By a launcher: `preexec_fn` is not safe beside threads."""
    return [sys.executable, "-S", "-E", str(Path(__file__).resolve()), str(int(number)), str(os.getpid()), *command]


def send(group: int, number: int) -> None:
    """Send a signal to a process group; a group that is gone is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def end_group(process: subprocess.Popen, patience_s: float = 8.0) -> None:
    """End a process that leads its own session, and all of its group: politely, then not."""
    for number, wait_s in ((signal.SIGINT, patience_s), (signal.SIGTERM, 2.0)):
        if process.poll() is not None:
            break
        send(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait_s)
    send(process.pid, signal.SIGKILL)
    process.wait()


def marked(mark: str) -> list[int]:
    """Processes of this user that an earlier supervisor started for this workspace and that are still alive."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return [pid for pid in found if pid != os.getpid()]


def end_marked(mark: str, patience_s: float = 5.0) -> int:
    """End what a killed supervisor left, such as the ephemeral Prefect server; returns how many there were."""
    left = marked(mark)
    end = time.monotonic() + patience_s
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in marked(mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        while marked(mark) and time.monotonic() < end:
            time.sleep(0.1)
    return len(left)


def _launch(number: str, parent: str, *command: str) -> None:
    signal_on_parent_death(int(number))
    if os.getppid() != int(parent):
        sys.exit(128 + int(number))
    os.execvp(command[0], command)


if __name__ == "__main__":
    _launch(*sys.argv[1:])
