"""What a worker starts for a run of a deployment: waits for the workspace, then runs Prefect's engine supervised.

    python -P -m flows.services.hosted [--beside]      in the workspace, PREFECT__FLOW_RUN_ID and PREFECT_API_URL set

A person's `visionmill run` has a supervisor, which holds the lock and leaves nothing alive; so has this. `--beside` is
for flows that touch nothing of the line and need not wait for it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows import processes
from flows.environment import quiet
from flows.services import rest
from flows.supervisor import supervise_command, workspace_lock
from tasks.base.errors import WorkspaceBusy

WAITING = "WaitingForWorkspace"
LOOK_S = 1.0


def main(words: list[str]) -> int:
    """Run one flow run of a deployment; the exit code is the engine's."""
    parent = os.getppid()
    processes.signal_on_parent_death(signal.SIGTERM)
    if os.getppid() != parent:
        return 128 + signal.SIGTERM
    quiet()
    workspace, run = Path.cwd(), os.environ["PREFECT__FLOW_RUN_ID"]
    command = [sys.executable, "-P", "-m", "prefect.engine"]
    if "--beside" in words:
        return supervise_command(command, workspace, mark=f"{workspace}#{run}", hand_on=signal.SIGTERM)
    with waited_lock(workspace, run):
        return supervise_command(command, workspace, hand_on=signal.SIGTERM)


@contextmanager
def waited_lock(workspace: Path, run: str) -> Iterator[None]:
    """Hold the workspace; while another run does, this one's state in Prefect's UI says so, and by whom."""
    told = ""
    while True:
        try:
            with workspace_lock(workspace):
                if told:
                    say(run, "Pending", "the workspace is free")
                yield
                return
        except WorkspaceBusy as busy:
            if busy.what != told:
                told = busy.what
                say(run, WAITING, told)
                print(f"{told}: waiting", flush=True)
        time.sleep(LOOK_S)


def say(run: str, name: str, message: str) -> None:
    """Name the pending state of a flow run; a server that is away is no reason to stop waiting."""
    api = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    state = {"type": "PENDING", "name": name, "message": message}
    try:
        rest.call(f"{api}/flow_runs/{run}/set_state", {"state": state, "force": True})
    except rest.Away as error:
        print(f"Prefect's server does not answer: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
