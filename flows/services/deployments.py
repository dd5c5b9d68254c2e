"""The deployments of one workspace on Prefect's server: made, compared, paused, removed, listed."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flows.services.schedules import When
from tasks.base.errors import UserError, VisionmillError
from tasks.base.site import Site
from tasks.registry.store import workspace_name

# by text: a flow's module is imported when it is deployed or run
FLOWS = {
    "retrain": ("flows.retrain.retrain", "pull, run if there is a reason, judge, promote, push, tell"),
    "nightly": ("flows.nightly.nightly", "the champion on today's test split, and drift"),
    "promotion": ("flows.promotion.promotion", "build, try and place what `champion` points at"),
    "produce": ("flows.produce.produce", "bring every stage up to date, register, ask the gate"),
    "stage": ("flows.stage.stage", "one stage, by its name in dvc.yaml"),
}
# it touches nothing of the line: a new champion is placed while a training runs
BESIDE = ("promotion",)
# settings that a run needs as they were when it was deployed; what may be a secret comes from the worker's environment
HANDED_ON = ("VISIONMILL_SITE", "VISIONMILL_MIRROR", "VISIONMILL_TRACKING", "VISIONMILL_THREADS",
             "MLFLOW_TRACKING_URI")


@dataclass(frozen=True)
class Done:
    """What happened to one deployment: made, changed, unchanged, removed, paused, resumed."""

    name: str
    what: str
    detail: str = ""


class Deployments:
    """The deployments of one workspace.

    Args:
        client: Prefect's synchronous client.
        workspace: its absolute path.
        site: names the pool.
    """

    def __init__(self, client: Any, workspace: Path, site: Site) -> None:
        from flows.bookkeeping import workspace_tag

        self.client, self.workspace, self.site = client, workspace, site
        self.name, self.tag = workspace_name(workspace), workspace_tag(workspace)

    def make(self, schedules: dict[str, When]) -> list[Done]:
        """Register all flows; schedules that are not given stay as they are. A second time nothing changes.

        Raises:
            UserError: another workspace of that name is deployed on this server.
        """
        from flows.services.worker import limit_gpus, make_pool, make_queues

        for flow in FLOWS:
            self._check_owner(self.read(flow))
        make_pool(self.client, self.site.prefect.pool, self.site.prefect.pool_type)
        limit_gpus(self.client, self.site.prefect.gpu_slots)
        make_queues(self.client, self.site.prefect.pool, self.name)
        return [self._make_one(flow, schedules.get(flow)) for flow in FLOWS]

    def read(self, flow: str) -> Any:
        """The deployment of a flow as Prefect knows it, or None."""
        from prefect.exceptions import ObjectNotFound

        try:
            return self.client.read_deployment_by_name(f"{flow}/{self.name}")
        except ObjectNotFound:
            return None

    def own(self) -> dict[str, Any]:
        """Flow -> deployment of this workspace, those that are there."""
        found = {flow: self.read(flow) for flow in FLOWS}
        return {flow: one for flow, one in found.items() if one is not None and self._is_own(one)}

    def set_paused(self, paused: bool) -> list[Done]:
        """Pause or resume all schedules; runs may still be started by hand."""
        for one in self.own().values():
            (self.client.pause_deployment if paused else self.client.resume_deployment)(one.id)
        return [Done(f"{flow}/{self.name}", "paused" if paused else "resumed") for flow in self.own()]

    def remove(self) -> list[Done]:
        """Remove all deployments of this workspace; runs that were stay in Prefect's history."""
        found = self.own()
        for one in found.values():
            self.client.delete_deployment(one.id)
        return [Done(f"{flow}/{self.name}", "removed") for flow in found]

    def _is_own(self, one: Any) -> bool:
        return one.parameters.get("workspace") == str(self.workspace)

    def _check_owner(self, one: Any) -> None:
        if one is None or self._is_own(one):
            return
        place = Path(one.parameters.get("workspace", ""))
        host = next((tag.split(":")[1] for tag in one.tags if tag.startswith("workspace:")), "")
        if host == self.tag.split(":")[1] and not (place / "dvc.yaml").exists():
            return  # it was moved here, or is gone
        raise UserError(f"{one.name} is deployed on this server already, from another workspace",
                        where=f"{host}:{place}",
                        mend="give this one a name of its own (`register: {name: …}` in params.yaml), or there: "
                             "visionmill deploy --remove")

    def _make_one(self, flow: str, when: When | None) -> Done:
        title = f"{flow}/{self.name}"
        wanted, before = self._wanted(flow), self.read(flow)
        there = list(before.schedules) if before else []
        keep = when is None or (len(there) == 1 and there[0].schedule == _like(when, there[0].schedule))
        detail = str(when) if when else ", ".join(told(one.schedule) for one in there)
        if before is not None and keep and all(_value(before, key) == value for key, value in wanted.items()):
            return Done(title, "unchanged", detail)
        from prefect.client.schemas.actions import DeploymentScheduleCreate

        if when is not None:
            wanted["schedules"] = [DeploymentScheduleCreate(schedule=when.as_prefect(), active=True)]
        else:
            wanted["schedules"] = [DeploymentScheduleCreate(schedule=one.schedule, active=one.active) for one in there]
        loaded = load(flow)
        from prefect.utilities.callables import parameter_schema

        self.client.create_deployment(self.client.create_flow_from_name(flow), self.name, **wanted,
                                      paused=bool(before and before.paused),
                                      parameter_openapi_schema=parameter_schema(loaded.fn).model_dump())
        return Done(title, "changed" if before else "made", detail)

    def _wanted(self, flow: str) -> dict[str, Any]:
        from flows import bookkeeping
        from flows.services.worker import queues

        beside = flow in BESIDE
        entrypoint, description = FLOWS[flow]
        return {"entrypoint": entrypoint, "description": description, "enforce_parameter_schema": False,
                "parameters": {"workspace": str(self.workspace)},
                "tags": sorted([self.tag, *([bookkeeping.BESIDE] if beside else [])]),
                "work_pool_name": self.site.prefect.pool, "work_queue_name": queues(self.name)[int(beside)],
                "job_variables": self._job(beside)}

    def _job(self, beside: bool) -> dict[str, Any]:
        local = self.site.prefect.pool_type == "process"
        words = [sys.executable if local else "python", "-P", "-m", "flows.services.hosted",
                 *(["--beside"] if beside else [])]
        env = {name: os.environ[name] for name in HANDED_ON if os.environ.get(name) and not _secret(os.environ[name])}
        return {"command": shlex.join(words), "env": env, **({"working_dir": str(self.workspace)} if local else {})}


def load(flow: str) -> Any:
    """The flow object, for the form that Prefect's UI makes of its parameters.

    Raises:
        VisionmillError: its module cannot be imported.
    """
    from prefect.flows import load_flow_from_entrypoint

    try:
        return load_flow_from_entrypoint(FLOWS[flow][0], use_placeholder_flow=False)
    except ImportError as error:
        raise VisionmillError(f"the flow {flow} cannot be imported: {error}", where=FLOWS[flow][0],
                              mend="visionmill doctor") from error


def told(schedule: Any) -> str:
    """A schedule of Prefect's in words."""
    if getattr(schedule, "cron", None):
        return str(When(schedule.cron, schedule.timezone or "UTC"))
    seconds = getattr(schedule, "interval", None)
    return str(When(interval_s=int(seconds.total_seconds()))) if seconds else str(schedule)


def _like(when: When, other: Any) -> Any:
    """The wanted schedule, with what Prefect adds (an interval's first day) taken from the one that is there."""
    made = when.as_prefect()
    if getattr(other, "interval", None) and getattr(made, "interval", None):
        return made.model_copy(update={"anchor_date": other.anchor_date, "timezone": other.timezone})
    return made


def _value(one: Any, key: str) -> Any:
    value = getattr(one, key)
    return sorted(value) if key == "tags" else value


def _secret(value: str) -> bool:
    """Whether an address carries a password: it would stand in Prefect's database, and its UI shows it."""
    return "://" in value and urlsplit(value).password is not None
