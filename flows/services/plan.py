"""What `visionmill up` starts for a site: commands, environments, where each is asked for its health."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from flows.environment import QUIET
from flows.services import secrets, studio
from flows.services.known import PREFECT_API
from flows.services.ports import HOST
from flows.workspace import NOTES
from tasks.base.site import Site
from tasks.registry import store

PYTHON = (sys.executable, "-P", "-m")


@dataclass(frozen=True)
class Service:
    """One service.

    Attributes:
        wanted_port: that is tried first; None: it listens nowhere.
        command: its words, given the port that it got.
        env: what is added to the environment, given the addresses of those that it needs.
        healthy: the address that answers when it is ready, given its own; None: see `ready_text`.
        ready_text: what it prints when it is ready.
        needs: services that must be ready before it starts.
        patience_s: seconds that it has to end after SIGTERM.
    """

    name: str
    wanted_port: int | None
    command: Callable[[int], list[str]]
    env: Callable[[int], dict[str, str]]
    health: str | None = None
    ready_text: str | None = None
    needs: tuple[str, ...] = ()
    patience_s: float = 6.0


@dataclass(frozen=True)
class Plan:
    """What is started, and what is elsewhere and only looked at (name -> address, address that answers)."""

    services: list[Service]
    elsewhere: dict[str, tuple[str, str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def make_plan(workspace: Path, site: Site, extra: Collection[str] = ()) -> Plan:
    """The services of a site.

    Args:
        extra: names of services that are started only when they are asked for: `label-studio`.

    Raises:
        UserError: the site wants an environment variable that is not set.
    """
    services: list[Service] = []
    elsewhere: dict[str, tuple[str, str]] = {}
    notes: list[str] = []
    api = os.environ.get(PREFECT_API) or site.prefect.api
    if api:
        elsewhere["prefect"] = (api, f"{api.rstrip('/')}/health")
    else:
        services.append(prefect(workspace, site))
    tracking = store.tracking_uri(workspace)
    if tracking.startswith(("http://", "https://")):
        elsewhere["mlflow"] = (tracking, f"{tracking.rstrip('/')}/health")
    else:
        services.append(mlflow(workspace, site, tracking))
    if site.prefect.pool_type == "process":
        services.append(worker(workspace, site, api))
    else:
        notes.append(f"worker: the site's pool is of the type {site.prefect.pool_type}; its workers run elsewhere")
    if find_spec("flows.watching"):
        services.append(watch(workspace, site, started=[service.name for service in services]))
    else:
        notes.append("watch: flows.watching is not installed, nothing follows `champion`")
    if studio.NAME in extra and site.labelling.url:
        elsewhere[studio.NAME] = (site.labelling.url, f"{site.labelling.url.rstrip('/')}/health")
    elif studio.NAME in extra:
        services.append(label_studio(site))
        notes.append(f"{studio.NAME}: log in with the user and the password in {workspace / studio.NOTE}")
    return Plan(services, elsewhere, tuple(notes))


def home(workspace: Path) -> Path:
    """Prefect's own folder: two workspaces do not meet, nor a person's other flows."""
    return workspace / NOTES / "prefect"


def prefect(workspace: Path, site: Site) -> Service:
    """Prefect's server with its scheduler, API and UI; one process."""

    def env(port: int) -> dict[str, str]:
        database = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": site.prefect.database} if site.prefect.database else {}
        return {"PREFECT_HOME": str(home(workspace)), PREFECT_API: f"http://{HOST}:{port}/api",
                # a task that waits for a GPU slot asks again within seconds
                "PREFECT_SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS": "5",
                "PREFECT_SERVER_LOGGING_LEVEL": "WARNING", **database}

    return Service("prefect", site.prefect.port, lambda port: [
        *PYTHON, "prefect", "server", "start", "--host", HOST, "--port", str(port)], env, health="/api/health")


def mlflow(workspace: Path, site: Site, tracking: str) -> Service:
    """MLflow's server on the workspace's own store, or on the site's database: what `mlflow ui` shows there."""
    artifacts = site.mlflow.artifacts or str(workspace / "mlruns")

    def env(port: int) -> dict[str, str]:
        # by environment: a database's password must not stand in the list of processes
        return {"MLFLOW_BACKEND_STORE_URI": tracking, "MLFLOW_ARTIFACTS_DESTINATION": artifacts,
                "MLFLOW_TRACKING_URI": tracking,
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https", "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
                "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": secrets.hook_key(workspace)}

    return Service("mlflow", site.mlflow.port, lambda port: [
        *PYTHON, "flows.services.tracking", "--host", HOST, "--port", str(port), "--workers", "1"], env,
        health="/health")


def worker(workspace: Path, site: Site, api: str | None) -> Service:
    """The worker that runs deployments as processes of this machine."""
    wanted = {"pool": site.prefect.pool, "type": site.prefect.pool_type, "gpu_slots": site.prefect.gpu_slots,
              "workspace": str(workspace), "private": api is None,
              "name": f"{platform.node()}-{store.workspace_name(workspace)}"}

    def env(port: int) -> dict[str, str]:
        return {"PREFECT_HOME": str(home(workspace)), "PREFECT_WORKER_QUERY_SECONDS": "3",
                "PREFECT_LOGGING_LEVEL": "INFO", **({PREFECT_API: api} if api else {})}

    return Service("worker", None, lambda port: [*PYTHON, "flows.services.worker", json.dumps(wanted)], env,
                   ready_text="started!", needs=() if api else ("prefect",), patience_s=25.0)


def watch(workspace: Path, site: Site, started: list[str]) -> Service:
    """The receiver of MLflow's webhooks, which also polls: it deploys what `champion` points at."""
    needs = tuple(name for name in ("prefect", "mlflow") if name in started)
    return Service("watch", site.deploy.port, lambda port: [
        *PYTHON, "flows.watching", json.dumps({"workspace": str(workspace), "port": port})],
        lambda port: {"PREFECT_HOME": str(home(workspace))}, health="/health", needs=needs)


def label_studio(site: Site) -> Service:
    """Label Studio with data of its own below `.visionmill/`; see `flows.services.studio`."""
    return Service(studio.NAME, site.labelling.port, lambda port: [*PYTHON, "flows.services.studio", str(port)],
                   lambda port: {}, health="/health")


def environment(extra: dict[str, str], workspace: Path) -> dict[str, str]:
    """What a service starts with: ours, without telemetry, without what belongs to a run."""
    from flows import processes

    own = {name: value for name, value in os.environ.items()
           if name not in (processes.MARK, "VISIONMILL_RECEIPT", "VISIONMILL_FLOW_RUN")}
    # Prefect's console lines are its whole log here; for a run they are switched off
    quiet = {name: value for name, value in QUIET.items() if not name.startswith("PREFECT_LOGGING")}
    own.pop("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", None)
    return {**own, **quiet, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", processes.UP: str(workspace), **extra}
