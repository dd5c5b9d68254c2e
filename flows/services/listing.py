"""`visionmill deploy --list`: each deployment with its schedule, its next run and how the last ones went."""

from __future__ import annotations

from typing import Any

from flows.services.deployments import Deployments, told

LAST = 3


def rows(mine: Deployments) -> list[str]:
    """Two lines a deployment."""
    found = mine.own()
    if not found:
        return ["nothing of this workspace is deployed; visionmill deploy --cron '0 2 * * *' does it"]
    lines = []
    for flow, one in found.items():
        when = ", ".join(told(s.schedule) + ("" if s.active else " (off)") for s in one.schedules) or "no schedule"
        lines.append(f"{f'{flow}/{mine.name}':28} {when}{', PAUSED' if one.paused else ''}")
        lines.append(f"    {_runs(mine.client, one)}")
    return lines


def _runs(client: Any, one: Any) -> str:
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
    from prefect.client.schemas.sorting import FlowRunSort

    runs = client.read_flow_runs(deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[one.id])),
                                 sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=50)
    ahead = [run for run in runs if run.state and run.state.is_scheduled()]
    past = [run for run in runs if run not in ahead][:LAST]
    next_one = min((run.expected_start_time for run in ahead), default=None)
    went = "; ".join(f"{_at(run.start_time or run.expected_start_time)} {run.state_name}" for run in past)
    return f"next {_at(next_one) if next_one and not one.paused else 'none'}; last: {went or 'none'}"


def _at(when: Any) -> str:
    return when.astimezone().strftime("%Y-%m-%d %H:%M")
