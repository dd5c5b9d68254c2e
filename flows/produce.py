"""The flow that produces a model: each stage of the DAG as one task, then registration and the gate.

    python -P -m flows.produce '{"retries": 1}'      in a workspace; `visionmill run` does it under a supervisor
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from prefect import flow, tags

from flows import bookkeeping as book
from flows import line
from flows.environment import quiet
from flows.stages import Outcome, StageFailed
from tasks.base.errors import GateRefused, VisionmillError
from tasks.registry.registered import Registration


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
    book.close(root, list(outcomes.values()), _register(root) if whole else None)


def _register(root: Path) -> Registration:
    registered = book.register_line(root)
    book.ask_gate(registered, return_state=True)
    return registered


def main(words: list[str]) -> int:
    """Run the flow with the options of a JSON object; the exit code says how it ended."""
    with tags(book.workspace_tag(Path().resolve())):
        state = produce(**json.loads(words[0] if words else "{}"), return_state=True)
    error = state.result(raise_on_failure=False)
    if isinstance(error, BaseException) and not isinstance(error, VisionmillError):
        raise error
    if isinstance(error, VisionmillError) and not isinstance(error, StageFailed | GateRefused):
        print(f"error: {error}", file=sys.stderr)
    return error.exit_code if isinstance(error, VisionmillError) else 0


if __name__ == "__main__":
    quiet()
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        # Prefect has marked the run as crashed on the way here
        print("interrupted: what was finished is kept, `visionmill run` goes on from there", file=sys.stderr)
        sys.exit(130)
