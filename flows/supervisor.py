"""Holds the workspace's lock, runs the flow in a session of its own, hands signals on, and leaves nothing alive."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Any

from flows import processes
from flows.services import known
from flows.workspace import NOTES
from tasks.base.errors import WorkspaceBusy

GRACE_S = 20.0
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def workspace_lock(workspace: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the workspace for one run; the lock goes with the process that holds it. A process of a run that holds it
    already goes on at once.

    Raises:
        WorkspaceBusy: another run holds it and `wait` is false.
    """
    if os.environ.get(processes.MARK) == str(workspace):
        yield
        return
    path = workspace / NOTES / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        _take(file, workspace, wait)
        file.truncate(0)
        print(f"PID {os.getpid()}, since {time.strftime('%H:%M:%S')}", file=file, flush=True)
        yield
        file.truncate(0)


def _take(file: IO[str], workspace: Path, wait: bool) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        if not wait:
            raise WorkspaceBusy(f"another run is going on here ({holder})", where=workspace,
                                mend="wait until it has ended, or add --wait") from None
        print(f"waiting for the run that is going on here ({holder})", file=sys.stderr)
        fcntl.flock(file, fcntl.LOCK_EX)


def supervise(module: str, options: dict[str, Any], workspace: Path) -> int:
    """Run `python -m MODULE OPTIONS` to its end and return its exit code; 130 after an interrupt. Its runs show in the
    Prefect server that `known.reachable_api` finds.

    Raises:
        UserError: that server does not answer.
    """
    api = known.reachable_api(workspace)
    return supervise_command([sys.executable, "-P", "-m", module, json.dumps(options)], workspace,
                             env={known.PREFECT_API: api} if api else {})


def supervise_command(command: list[str], workspace: Path, *, mark: str | None = None,
                      hand_on: int = signal.SIGINT, env: dict[str, str] | None = None) -> int:
    """Run a command in a session of its own to its end and return its exit code.

    Call it under `workspace_lock`: what an earlier, killed run left alive is ended first.

    Args:
        mark: what the processes of this run are known by; the workspace, so that the next run finds what is left.
        hand_on: the signal that the command gets when a first one comes here; a second one kills it.
        env: added to the environment.
    """
    mark = mark or str(workspace)
    processes.adopt_orphans()
    if left := processes.end_marked(mark):
        print(f"ended {left} processes that a killed run had left", file=sys.stderr)
    child = subprocess.Popen(processes.ending_with_parent(command, hand_on), cwd=workspace,
                             env={**os.environ, **(env or {}), processes.MARK: mark},
                             stdin=subprocess.DEVNULL, start_new_session=True)
    with _forwarding(child, hand_on) as received:
        code = _wait(child, received)
    processes.end_marked(mark)
    processes.reap()
    if code < 0 and not received:
        print(f"the run was killed by signal {-code}; visionmill run goes on from what was finished", file=sys.stderr)
    return 128 + received[0] if received else code if code >= 0 else 128 - code


@contextmanager
def _forwarding(child: subprocess.Popen, hand_on: int) -> Iterator[list[int]]:
    """Hand signals on as the one that the flow ends well on; a second one kills."""
    received: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) == 1:
            os.kill(child.pid, hand_on)
        else:
            processes.send(child.pid, signal.SIGKILL)

    before = {number: signal.signal(number, forward) for number in FORWARDED}
    try:
        yield received
    finally:
        processes.send(child.pid, signal.SIGKILL)
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(child: subprocess.Popen, received: list[int]) -> int:
    end: float | None = None
    while True:
        try:
            return child.wait(0.2)
        except subprocess.TimeoutExpired:
            if received and end is None:
                end = time.monotonic() + GRACE_S
            if end is not None and time.monotonic() > end:
                processes.send(child.pid, signal.SIGKILL)
