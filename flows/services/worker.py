"""Prefect's worker, after the server was told of the pool, the GPU slots and the runs that died with the last worker.

    python -P -m flows.services.worker JSON      in a workspace; `visionmill up` does it
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from flows.environment import quiet
from tasks.registry.store import workspace_name

GPU = "gpu"


def main(words: list[str]) -> None:
    """Arrange the server and become the worker."""
    wanted = json.loads(words[0])
    quiet()
    arrange(wanted)
    # on a server that others use too a run belongs on the machine of its workspace
    own = [] if wanted["private"] else queues(workspace_name(Path(wanted["workspace"])))
    only = [word for queue in own for word in ("--work-queue", queue)]
    os.execv(sys.executable, [sys.executable, "-P", "-m", "prefect", "worker", "start", "--pool", wanted["pool"],
                              "--type", wanted["type"], "--name", wanted["name"], "--install-policy", "never", *only])


def arrange(wanted: dict[str, Any]) -> None:
    """The pool, the limit of GPU slots, and an end to runs of a worker that is dead.

    Args:
        wanted: pool, type, gpu_slots, workspace; private: whether the server is this `up`'s alone.
    """
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        make_pool(client, wanted["pool"], wanted["type"])
        limit_gpus(client, wanted["gpu_slots"])
        make_queues(client, wanted["pool"], workspace_name(Path(wanted["workspace"])))
        if ended := bury(client, None if wanted["private"] else Path(wanted["workspace"])):
            print(f"{ended} runs of a worker that is dead are marked as crashed", flush=True)


def make_pool(client: Any, name: str, kind: str) -> None:
    """Make the work pool if it is missing."""
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
    from prefect.workers.process import ProcessWorker

    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        # other types: their worker brings its template when it starts
        template = ProcessWorker.get_default_base_job_template() if kind == "process" else {}
        try:
            client.create_work_pool(WorkPoolCreate(name=name, type=kind, base_job_template=template))
        except ObjectAlreadyExists:
            return


def limit_gpus(client: Any, slots: int) -> None:
    """As many tasks with the tag `gpu` at once as the site has slots; 0: no limit is made."""
    if slots:
        client.upsert_global_concurrency_limit_by_name(f"tag:{GPU}", slots)


def queues(name: str) -> list[str]:
    """The queues of a workspace: one for the line, and one for what works beside it."""
    return [name, f"{name}-beside"]


def make_queues(client: Any, pool: str, name: str) -> None:
    """In the first queue one run goes at once: others stand in it, in order, instead of fighting for the lock."""
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

    for queue, limit in zip(queues(name), (1, None), strict=True):
        try:
            client.read_work_queue_by_name(queue, work_pool_name=pool)
        except ObjectNotFound:
            try:
                made = client.create_work_queue(queue, work_pool_name=pool)
            except ObjectAlreadyExists:
                continue
            if limit:
                client.update_work_queue(made.id, concurrency_limit=limit)


def bury(client: Any, workspace: Path | None) -> int:
    """Mark runs of deployments that still count as going on as crashed, before a worker starts: the one that ran them
    is dead, and they would hold their place in the queue for ever.

    Args:
        workspace: on a server that others use too, whose runs; None: all.
    """
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
        FlowRunFilterTags,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.states import Cancelled, Crashed

    from flows.bookkeeping import workspace_tag

    going = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    wanted = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=going)),
                           tags=FlowRunFilterTags(all_=[workspace_tag(workspace)]) if workspace else None)
    dead = [run for run in client.read_flow_runs(flow_run_filter=wanted) if run.deployment_id]
    for run in dead:
        kind = Cancelled if run.state and run.state.type == StateType.CANCELLING else Crashed
        client.set_flow_run_state(run.id, kind(message="its worker died"), force=True)
    return len(dead)


if __name__ == "__main__":
    main(sys.argv[1:])
