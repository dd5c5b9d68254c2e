"""The flow that retrains where there is a reason: pull, look, run the line, judge, promote, push, record, tell.

    python -P -m flows.retrain '{"force": true}'      in a workspace; `visionmill retrain` does it under a supervisor
"""

from __future__ import annotations

from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows import bookkeeping as book
from flows.afterwards import Retraining
from flows.outcome import end_with, run_flow
from flows.produce import produce
from flows.stages import StageFailed
from flows.steps import name_run
from flows.supervisor import workspace_lock
from flows.telling import blocks
from tasks.base.errors import GateRefused, VisionmillError
from tasks.base.site import read_site


@flow(name="retrain", validate_parameters=False, log_prints=False)
def retrain(workspace: str = ".", reason: str | None = None, force: bool = False, pull: bool = True) -> State[None]:
    """Run the line if data, code or parameters changed, pictures drifted, or it is asked for; else end at once.

    Args:
        workspace: folder with `dvc.yaml`.
        reason: of a request, in words; recorded.
        force: train again though nothing changed.
        pull: bring what is missing or new from the DVC remote and from imported sources.

    Raises:
        GateRefused: the candidate stays one, with its reasons. VisionmillError: a step before registration failed.
    """
    root = Path(workspace).resolve()
    with workspace_lock(root, wait=True), blocks():
        book.start(root)
        work = Retraining(root, read_site(root).retrain, reason, force)
        error = _line(work, pull)
        if work.reasons and (error is None or isinstance(error, GateRefused)):
            work.attempt("mark", work.mark)
            work.attempt("push", work.push, wanted=work.policy.push)
            work.attempt("branch", work.branch, wanted=work.policy.branch is not None)
        work.attempt("notify", work.notify)
        work.close()
        if error:
            raise error
        return Completed(message=work.why, name="Retrained" if work.reasons else "NothingNew")


def _line(work: Retraining, pull: bool) -> VisionmillError | None:
    """All up to the registered and judged version; what went wrong is kept for the steps that follow."""
    try:
        work.do("pull", work.pull, wanted=pull)
        work.attempt("drift", work.look, wanted=work.policy.incoming is not None)
        work.do("check", work.check)
        if work.reasons:
            name_run(f"retrain: {work.why}", [f"reason:{one.kind}" for one in work.reasons])
            work.do("train again", work.train_again, wanted=work.trains_again)
            produce.fn(workspace=str(work.root))
    except VisionmillError as error:
        work.error = error
    return work.error


def main(words: list[str]) -> int:
    """Run the flow with the options of a JSON object; the exit code says how it ended."""
    return run_flow(retrain, words, told=(StageFailed, GateRefused))


if __name__ == "__main__":
    end_with(main, "what was finished is kept, `visionmill retrain`")
