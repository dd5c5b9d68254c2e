"""The flow that produces a model: each stage of the DAG as one task, then registration and the gate.

    python -P -m flows.produce '{"retries": 1}'      in a workspace; `visionmill run` does it under a supervisor
"""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows import bookkeeping as book
from flows import line
from flows.outcome import end_with, run_flow
from flows.stages import Outcome, StageFailed
from tasks.base.errors import GateRefused


@flow(name="produce", validate_parameters=False, log_prints=False)
def produce(workspace: str = ".", retries: int = 1, limit_s: float = 43_200.0, pull: bool = False) -> None:
    """Bring every stage up to date, in DVC's order; what a failed stage feeds is skipped. Then register and gate.

    Args:
        workspace: folder with `dvc.yaml`.
        retries: further tries of a stage that failed by our fault; never for the user's input.
        limit_s: seconds that one stage may take.
        pull: fetch missing data from the DVC remote.
    """
    root = Path(workspace).resolve()
    book.start(root)
    plan = line.ask(root)
    progress = book.Plan(plan, root)
    outcomes: dict[str, Outcome] = {}
    for stage in plan.order:
        progress.announce(stage)
        blocked = next((s for s in plan.order if s in plan.upstream[stage] and outcomes[s].what in book.BAD), None)
        if blocked:
            outcomes[stage] = book.skip_stage(stage, f"because {blocked} {outcomes[blocked].what}")
        else:
            outcomes[stage] = book.repro_stage(root, stage, retries=retries, limit_s=limit_s, pull=pull)
        progress.report(outcomes[stage])
    whole = all(outcome.what not in book.BAD for outcome in outcomes.values())
    registered, error = book.register_and_ask(root) if whole else (None, None)
    book.close(root, list(outcomes.values()), registered, error)


def main(words: list[str]) -> int:
    """Run the flow with the options of a JSON object; the exit code says how it ended."""
    return run_flow(produce, words, told=(StageFailed, GateRefused))


if __name__ == "__main__":
    end_with(main, "what was finished is kept, `visionmill run`")
