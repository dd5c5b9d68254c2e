"""Where the services of a workspace are: those of a running `visionmill up`, else those that the site names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from flows import processes
from flows.services.rest import answers
from flows.workspace import NOTES, leave_note, note
from tasks.base.errors import UserError
from tasks.base.site import read_site

STATE = "services"
LOGS = NOTES / "logs"
PREFECT_API = "PREFECT_API_URL"


def services(workspace: Path = Path()) -> dict[str, dict[str, Any]]:
    """What a running `up` of this workspace has noted: name -> pid, born, url, port, started, log, state, tries; empty
    without one. A note that a killed `up`, another folder or a copy of the workspace left does not count."""
    found = note(STATE, workspace)
    up = found.get("up", {}) if isinstance(found, dict) else {}
    return found if up.get("workspace") == str(workspace.resolve()) and is_alive(up) else {}


def remember(found: dict[str, dict[str, Any]], workspace: Path) -> None:
    leave_note(STATE, found, workspace)


def is_alive(entry: dict[str, Any]) -> bool:
    """Whether the process of an entry is still that one."""
    return bool(entry.get("pid")) and processes.born(entry["pid"]) == entry.get("born")


def url_of(service: str, workspace: Path = Path()) -> str | None:
    """Address of `prefect` (its UI; its API is below `/api`), `mlflow` or `watch` of a running `up`, if it is alive."""
    entry = services(workspace).get(service, {})
    return entry.get("url") if entry.get("state") == "ready" and is_alive(entry) else None


def prefect_api(workspace: Path = Path()) -> str | None:
    """Address of the API of the Prefect server that flows of this workspace use: PREFECT_API_URL, the site's, a running
    `up`'s; None: a run starts one of its own."""
    if named := os.environ.get(PREFECT_API) or read_site(workspace).prefect.api:
        return named
    running = url_of("prefect", workspace)
    return f"{running}/api" if running else None


def reachable_api(workspace: Path = Path()) -> str | None:
    """`prefect_api`, after a look whether it answers.

    Raises:
        UserError: it is named or noted, and does not answer.
    """
    api = prefect_api(workspace)
    if api is None or answers(f"{api.rstrip('/')}/health", 5.0) or answers(f"{api.rstrip('/')}/health", 15.0):
        return api
    raise UserError("Prefect's server does not answer", where=api, mend=_mend(workspace))


def wanted_api(workspace: Path = Path()) -> str:
    """`reachable_api` for what makes no sense without a server.

    Raises:
        UserError: there is none.
    """
    api = reachable_api(workspace)
    if api is None:
        raise UserError("this needs Prefect's server, and none runs here", where=workspace.resolve(),
                        mend="visionmill up starts it (with --detach: and returns), then try again")
    return api


def _mend(workspace: Path) -> str:
    if os.environ.get(PREFECT_API):
        return f"start that server, or unset {PREFECT_API}: a run then uses the one of `visionmill up`, or its own"
    if read_site(workspace).prefect.api:
        return "start that server, or choose a site that names none: export VISIONMILL_SITE=local"
    return "visionmill ps shows how it is; visionmill down; visionmill up --detach starts it again"
