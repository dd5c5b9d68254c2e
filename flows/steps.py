"""One step of a flow as one Prefect task: its outcome is the task's state, and a failed one need not end the flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.states import Completed

from flows.cli import explain
from tasks.base.errors import VisionmillError


def step(name: str, action: Callable[..., str], *given: Any) -> str:
    """Run one step; what it returns is said and is the message of its state.

    Raises:
        VisionmillError: what `action` raised; anything else is told as its name and text.
    """
    state = _step.with_options(name=name, task_run_name=name)(name, action, given, return_state=True)
    found = state.result(raise_on_failure=False)
    if isinstance(found, BaseException):
        known = explain(found) if isinstance(found, Exception) else None
        if known is None and not isinstance(found, Exception):
            raise found
        raise known or VisionmillError(f"{name} failed: {type(found).__name__}: {' '.join(str(found).split())[:300]}")
    return str(found)


@task(cache_policy=NO_CACHE, persist_result=False)
def _step(name: str, action: Callable[..., str], given: tuple[Any, ...]) -> State[str]:
    said = action(*given)
    get_run_logger().info(said)
    print(f"{name:12} : {said}", flush=True)
    return Completed(message=said, data=said)


def name_run(name: str, tags: list[str]) -> None:
    """Give the flow run that is going on a name and more tags, for Prefect's UI."""
    from prefect.client.orchestration import get_client

    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    with get_client(sync_client=True) as client:
        client.update_flow_run(context.flow_run.id, name=name[:200], tags=sorted({*context.flow_run.tags, *tags}))
