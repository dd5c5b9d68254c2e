"""The flow that brings one stage of a workspace up to date, so that another program may start any of them by REST.

`visionmill deploy` registers it as `stage/NAME`; a worker starts it under `flows.services.hosted`, with the lock.
"""

from __future__ import annotations

from pathlib import Path

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows import bookkeeping as book
from flows import line
from flows.stages import FAILED, StageFailed
from tasks.base.errors import UserError, nearest


@flow(name="stage", flow_run_name="{name}", validate_parameters=False, log_prints=False)
def stage(workspace: str = ".", name: str = "", retries: int = 0, limit_s: float = 43_200.0,
          pull: bool = False) -> State[None]:
    """Bring one stage up to date, as `dvc repro -s NAME` does: what it needs is taken as it is.

    Args:
        workspace: folder with `dvc.yaml`.
        name: of the stage in `dvc.yaml`.
        retries: further tries of a stage that failed by our fault; never for the user's input.
        limit_s: seconds that it may take.
        pull: fetch missing data from the DVC remote.

    Raises:
        UserError: the line has no such stage. StageFailed: it failed.
    """
    root = Path(workspace).resolve()
    book.start(root)
    plan = line.ask(root)
    if name not in plan.order:
        guess = nearest(name, plan.order)
        raise UserError(f"the line has no stage {name!r}", where=root / "dvc.yaml",
                        mend=f"did you mean {guess!r}?" if guess else f"stages: {', '.join(plan.order)}")
    if before := [other for other in plan.order if other in plan.upstream[name] & set(plan.stale)]:
        get_run_logger().warning("%s takes what is there, but these are stale: %s", name, ", ".join(before))
    outcome = book.repro_stage(root, name, retries=retries, limit_s=limit_s, pull=pull)
    if outcome.what == FAILED:
        raise StageFailed(outcome)
    return Completed(message=f"{name}: {outcome}")
