"""The runs that go on or wait, and the GPU slots, as Prefect's server tells them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flows.services.rest import Away, call
from tasks.base.progress import duration

SLOTS = "tag:gpu"
LIMIT = 20


def rows(api: str) -> list[str]:
    """One line a run that goes on, waits or is late, and one for the GPU slots."""
    api = api.rstrip("/")
    try:
        going = runs(api)
        slots = _slots(api)
    except Away as error:
        return [f"runs       Prefect's server does not answer: {error}"]
    lines = [f"  {_line(run)}" for run in going]
    return [f"runs       {len(going) or 'none'} going on or waiting", *lines, *slots]


def runs(api: str) -> list[dict[str, Any]]:
    """Flow runs that go on or wait, those whose time has come and not those of tomorrow; the oldest first.

    Raises:
        Away: the server does not answer.
    """
    now = datetime.now(UTC).isoformat()
    wanted = {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING", "SCHEDULED", "PAUSED"]}},
              "expected_start_time": {"before_": now}}
    found = call(f"{api}/flow_runs/filter", {"flow_runs": wanted, "sort": "EXPECTED_START_TIME_ASC", "limit": LIMIT})
    names = {flow["id"]: flow["name"] for flow in call(f"{api}/flows/filter", {
        "flows": {"id": {"any_": sorted({run["flow_id"] for run in found})}}})} if found else {}
    return [{**run, "flow_name": names.get(run["flow_id"], "?")} for run in found]


def _line(run: dict[str, Any]) -> str:
    state = run["state"]
    since = datetime.now(UTC) - datetime.fromisoformat(state["timestamp"].replace("Z", "+00:00"))
    message = f": {' '.join(state['message'].split())[:90]}" if state.get("message") else ""
    where = next((tag.rpartition(":")[2] for tag in run.get("tags", []) if tag.startswith("workspace:")), "")
    return f"{run['flow_name']:10} {run['name']:24} {state['name']} for {duration(since.total_seconds())}" \
           f"{message}{f'  [{where}]' if where else ''}"


def _slots(api: str) -> list[str]:
    found = call(f"{api}/v2/concurrency_limits/filter", {"limit": 200})
    limit = next((one for one in found if one["name"] == SLOTS and one["active"]), None)
    return [f"GPU slots  {limit['active_slots']} of {limit['limit']} in use"] if limit else []
