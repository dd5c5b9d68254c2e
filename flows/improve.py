"""The flow of the rounds: mine, pre-label, send, wait, fetch, merge, train, compare; each step as one task.

    python -P -m flows.improve '{"name": "cells"}'      in a workspace; `visionmill improve` does it under a supervisor
"""

from __future__ import annotations

from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows import bookkeeping as book
from flows.improving import done_as_task, open_loop
from flows.outcome import end_with, run_flow
from flows.steps import name_run
from flows.supervisor import workspace_lock
from flows.telling import blocks
from tasks.improving.rounds import go_on


@flow(name="improve", validate_parameters=False, log_prints=False)
def improve(workspace: str = ".", name: str = "") -> State[None]:
    """Go on with rounds that were begun, until all are done or people are waited for.

    Args:
        workspace: folder with `dvc.yaml`.
        name: of the rounds.

    Raises:
        VisionmillError: a step failed; the next run does it again.
    """
    root = Path(workspace).resolve()
    with workspace_lock(root, wait=True), blocks():
        book.start(root)
        loop = open_loop(root, name)
        name_run(f"improve: {name}, round {loop.state.round}", [f"improve:{name}"])
        waits = go_on(loop, lambda todo: done_as_task(loop, todo), lambda text: print(text, flush=True))
        if waits:
            print(f"\nwaiting: {waits}", flush=True)
        return Completed(message=waits or "all rounds are done", name="Waiting" if waits else "Improved")


def main(words: list[str]) -> int:
    """Run the flow with the options of a JSON object; the exit code says how it ended."""
    return run_flow(improve, words)


if __name__ == "__main__":
    end_with(main, "what was finished is kept, `visionmill improve`")
