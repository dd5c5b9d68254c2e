"""`visionmill down`: ends what `visionmill up` started here, also what a killed one left."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from flows import processes
from flows.commands.help import parser
from flows.commands.up import only_one
from flows.services import known
from flows.workspace import enter
from tasks.base.errors import VisionmillError, WorkspaceBusy

EXAMPLES = """\
  visionmill down"""
PATIENCE_S = 60.0


def main(words: list[str]) -> int:
    """End the services of the workspace in the current folder."""
    parser("down", EXAMPLES).parse_args(words)
    workspace = enter()
    running = known.services(workspace).get("up")
    if running:
        end(int(running["pid"]), workspace)
    with only_one(workspace):
        left = processes.end_marked(str(workspace), variable=processes.UP)
        print("ended" if running else f"ended {left} processes that a killed `up` had left" if left
              else "nothing runs here")
    return 0


def end(pid: int, workspace: Path) -> None:
    """Ask a running `up` to end, and wait for it.

    Raises:
        VisionmillError: it does not end.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    limit = time.monotonic() + PATIENCE_S
    while time.monotonic() < limit:
        try:
            with only_one(workspace):
                return
        except WorkspaceBusy:
            time.sleep(0.2)
    raise VisionmillError(f"`visionmill up` (PID {pid}) does not end", where=workspace,
                          mend=f"kill -9 {pid}; visionmill down")
