"""What the project page is made of: the registry's history, and what flows know around it."""

from __future__ import annotations

import platform
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from flows.services import known
from flows.services.rest import Away, call
from flows.workspace import note
from tasks.base.errors import VisionmillError
from tasks.base.files import write_atomic

FLOW_RUNS = 12
SERVICES = ("prefect", "mlflow", "watch")


def write_page(file: Path | None, workspace: Path, *, log: bool = False) -> str | None:
    """Write the page, log it as a run of its own where that is asked; returns that run's id."""
    from tasks.registry.tracing.history import history
    from tasks.reporting.project.page import project_page

    told, more = history(workspace), around(workspace)
    text = project_page(told, more)
    if file is not None:
        write_atomic(file, text)
    return _log(text, told, workspace) if log else None


def around(workspace: Path) -> dict[str, Any]:
    """Notes of the last runs, services that are up, and the last flow runs of a server that answers."""
    return {"workspace": str(workspace), "made": int(time.time() * 1000), "services": services(workspace),
            "notes": {name: note(name, workspace) for name in ("last_run", "last_retrain")},
            "flows": flow_runs(workspace)}


def services(workspace: Path) -> dict[str, str]:
    """Name → address of the services of a running `up`."""
    found = {name: known.url_of(name, workspace) for name in SERVICES}
    return {name: url for name, url in found.items() if url}


def flow_runs(workspace: Path) -> list[dict[str, Any]]:
    """The last flow runs of this workspace, the newest first; empty without a server, or when it does not answer."""
    try:
        api = known.prefect_api(workspace)
        found = call(f"{api.rstrip('/')}/flow_runs/filter", {
            "limit": FLOW_RUNS, "sort": "START_TIME_DESC",
            "flow_runs": {"tags": {"all_": [tag_of(workspace)]}}}) if api else []
    except (VisionmillError, Away):
        return []
    return [_plain(one) for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def tag_of(workspace: Path) -> str:
    """The tag of all flow runs of a workspace, as `flows.bookkeeping` gives it, which imports Prefect (1.5 s)."""
    return f"workspace:{platform.node()}:{workspace.resolve()}"


def _plain(run: dict[str, Any]) -> dict[str, Any]:
    return {"name": str(run.get("name", "")), "state": str(run.get("state_name") or run.get("state_type") or ""),
            "started": _ms(run.get("start_time") or run.get("expected_start_time")),
            "seconds": run.get("total_run_time")}


def _ms(text: Any) -> int | None:
    try:
        return int(datetime.fromisoformat(str(text)).timestamp() * 1000)
    except ValueError:
        return None


def _log(text: str, told: dict[str, Any], workspace: Path) -> str | None:
    """The page as an artefact of an MLflow run of the kind `project`."""
    from tasks.registry.drift_log import log_kind

    rows = told["versions"]
    numbers = {"versions": float(len(rows))} | {name: float(row[name]) for row in rows[-1:]
                                                for name in ("AP", "AP50", "median_ms", "bytes")
                                                if row[name] is not None}
    return log_kind("project", numbers, {}, {}, {"project.html": text}, workspace)
