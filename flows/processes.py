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
# the same for what `visionmill up` started, runs of its worker among them
UP = "VISIONMILL_UP"


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


def born(pid: int) -> int | None:
    """When a process that is alive began, in ticks since the machine did: PIDs are given again. None: it has ended."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if words[0] in ("Z", "X") else int(words[19])


def ending_with_parent(command: list[str], number: int) -> list[str]:
    """The command, to be signalled when its parent dies. By a launcher: `preexec_fn` is not safe beside threads."""
    return [sys.executable, "-S", "-E", str(Path(__file__).resolve()), str(int(number)), str(os.getpid()), *command]


def kept(command: list[str], patience_s: float) -> list[str]:
    """The command under a keeper: when its parent dies, or on SIGTERM, all that the command has started ends too.

    Args:
        patience_s: seconds between SIGTERM to the command and SIGKILL to all that is left below it.
    """
    return [sys.executable, "-S", "-E", str(Path(__file__).resolve()), "keep", str(patience_s), str(os.getpid()),
            *command]


def descendants(pid: int) -> list[int]:
    """Children of a process, their children, and so on; those that have ended are left out."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            words = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            if words[0] not in ("Z", "X"):
                children.setdefault(int(words[1]), []).append(int(folder.name))
    found = [pid]
    for one in found:
        found.extend(children.get(one, []))
    return found[1:]


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


def marked(mark: str, variable: str = MARK) -> list[int]:
    """Processes of this user that an earlier supervisor started for this workspace and that are still alive."""
    wanted = f"{variable}={mark}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return [pid for pid in found if pid != os.getpid()]


def end_marked(mark: str, patience_s: float = 5.0, variable: str = MARK) -> int:
    """End what a killed supervisor left, such as the ephemeral Prefect server; returns how many there were."""
    left = marked(mark, variable)
    end = time.monotonic() + patience_s
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in marked(mark, variable):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        while marked(mark, variable) and time.monotonic() < end:
            time.sleep(0.1)
    return len(left)


def _launch(number: str, parent: str, *command: str) -> None:
    signal_on_parent_death(int(number))
    if os.getppid() != int(parent):
        sys.exit(128 + int(number))
    os.execvp(command[0], command)


def _keep(patience_s: str, parent: str, *command: str) -> None:
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, frame: asked.append(received))
    signal_on_parent_death(signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit(128 + signal.SIGTERM)
    adopt_orphans()
    child = subprocess.Popen(ending_with_parent(list(command), signal.SIGTERM), start_new_session=True)
    while child.poll() is None and not asked:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(0.2)
    _end_below(child, float(patience_s))
    sys.exit(128 - child.returncode if child.returncode < 0 else child.returncode)


def _end_below(child: subprocess.Popen, patience_s: float) -> None:
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(patience_s)
    end = time.monotonic() + 3.0
    while (left := descendants(os.getpid())) and time.monotonic() < end:
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    child.poll()


if __name__ == "__main__":
    if sys.argv[1] == "keep":
        _keep(*sys.argv[2:])
    else:
        _launch(*sys.argv[1:])
