"""The flow of the night: the champion on today's test split, and drift where pictures come in.

    python -P -m flows.nightly      in a workspace
"""

from __future__ import annotations

from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows import bookkeeping as book
from flows.afterwards import Retraining
from flows.outcome import end_with, run_flow
from flows.supervisor import workspace_lock
from flows.telling import blocks
from flows.workspace import leave_note
from tasks.base.site import read_site


@flow(name="nightly", validate_parameters=False, log_prints=False)
def nightly(workspace: str = ".") -> State[None]:
    """Evaluate the champion and look for drift; nothing is trained. What fails is told, and fails the flow.

    Args:
        workspace: folder with `dvc.yaml`.

    Raises:
        VisionmillError: the first step that failed.
    """
    root = Path(workspace).resolve()
    with workspace_lock(root, wait=True), blocks():
        book.start(root)
        work = Retraining(root, read_site(root).retrain)
        work.attempt("evaluate", lambda: evaluate(root))
        work.attempt("drift", work.look, wanted=work.policy.incoming is not None)
        work.attempt("notify", work.notify)
        work.told()
        if work.failed:
            raise work.failed
        return Completed(message="; ".join(text for _, text in work.said.values()))


def evaluate(root: Path) -> str:
    """The champion today, in one sentence; kept as `.visionmill/last_nightly.json`."""
    from dataclasses import asdict

    from tasks.registry.nightly import evaluate_champion

    night = evaluate_champion(root)
    if night is None:
        return "there is no champion yet: nothing was evaluated"
    leave_note("last_nightly", asdict(night), root)
    return night.told()


def main(words: list[str]) -> int:
    """Run the flow with the options of a JSON object; the exit code says how it ended."""
    return run_flow(nightly, words)


if __name__ == "__main__":
    end_with(main, "the next run")
