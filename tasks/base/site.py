"""A site: where things live and what happens around a line. `conf/site/*.yaml`; it changes no result."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from tasks.base import presets
from tasks.base.errors import UserError
from tasks.base.params import Params, check

SITE = "VISIONMILL_SITE"
# a secret stands in the environment, never in a file that git keeps
FROM_ENVIRONMENT = re.compile(r"\$\{(\w+)\}")


class Mlflow(Params):
    """Where runs and versions are kept.

    Attributes:
        uri: of a server or a database; None: `mlflow.db` in the workspace. MLFLOW_TRACKING_URI goes first.
        artifacts: folder or s3://… of the artefacts that `visionmill up`'s server serves; None: beside the database.
        port: that `visionmill up` tries first.
    """

    uri: str | None = None
    artifacts: str | None = None
    port: int = Field(default=5000, ge=1, le=65535)


class Prefect(Params):
    """Who runs flows on a schedule.

    Attributes:
        api: of a server that is there; None: `visionmill up` starts one. PREFECT_API_URL goes first.
        database: of the server that `visionmill up` starts; None: SQLite below `.visionmill/`.
        pool, pool_type: the work pool that deployments go to.
        gpu_slots: flow stages that may use a GPU at once; 0: no limit is made.
    """

    api: str | None = None
    database: str | None = None
    port: int = Field(default=4200, ge=1, le=65535)
    pool: str = "visionmill"
    pool_type: Literal["process", "docker", "kubernetes"] = "process"
    gpu_slots: int = Field(default=1, ge=0)


class Deploy(Params):
    """What follows when `champion` moves.

    Attributes:
        targets: bundles that are built, files of conf/target/; empty: nothing is deployed.
        place: folder that bundles are placed in, below it `NAME/TARGET/current`.
        keep: bundles of earlier versions that stay beside it.
        smoke_pictures: pictures that a fresh bundle must answer as its version does.
        smoke_timeout_s: seconds that it has for that.
        poll_s: seconds between two looks at the aliases, for what a webhook lost.
        port: that the receiver of MLflow's webhooks tries first.
    """

    targets: list[str] = ["cpu-int8"]
    place: str = "deployed"
    keep: int = Field(default=3, ge=1)
    smoke_pictures: int = Field(default=4, ge=1)
    smoke_timeout_s: float = Field(default=60.0, gt=0)
    poll_s: float = Field(default=20.0, gt=0)
    port: int = Field(default=5055, ge=1, le=65535)


Event = Literal["registered", "refused", "promoted", "deployed", "rolled-back", "by-hand", "drift", "failed"]


class Notify(Params):
    """Who is told.

    Attributes:
        webhooks: addresses that get a JSON POST.
        emails: receivers; `smtp` is smtp://USER:PASSWORD@HOST:PORT or smtps://….
        blocks: Prefect notification blocks, `slack-webhook/team`.
        on: events that are told; all by default.
        timeout_s: seconds for one delivery; it is tried three times and never stops a run.
    """

    webhooks: list[str] = []
    emails: list[str] = []
    smtp: str | None = None
    sender: str = "visionmill@localhost"
    blocks: list[str] = []
    on: list[Event] = ["registered", "refused", "promoted", "deployed", "rolled-back", "by-hand", "drift", "failed"]
    timeout_s: float = Field(default=10.0, gt=0)


class Retrain(Params):
    """Policy of the flow `retrain`.

    Attributes:
        branch: git branch that gets `dvc.lock` and `params.yaml` after a run, such as `retrain/{date}`; None: none.
        push: send data to the DVC remote afterwards.
        incoming: folder of new unlabelled pictures that drift is looked for in; None: none.
        on_drift: what drift asks for: `retrain`, a `label` request (a notification), or to be `ignore`d.
        false_alarm: rate of the drift test at which nothing has changed, per look.
    """

    branch: str | None = None
    push: bool = False
    incoming: str | None = None
    on_drift: Literal["retrain", "label", "ignore"] = "label"
    false_alarm: float = Field(default=0.01, gt=0, lt=0.5)


class Labelling(Params):
    """Where people label.

    Attributes:
        url: of a Label Studio that is there; None: `visionmill up --with label-studio` starts one.
        token: of a user of it, as `${LABEL_STUDIO_TOKEN}`.
        port: that `visionmill up` tries first.
    """

    url: str | None = None
    token: str | None = None
    port: int = Field(default=8080, ge=1, le=65535)


class Site(Params):
    """One file of `conf/site/`.

    Attributes:
        store: folder of pictures and dataset versions.
        remote: where `visionmill data push` sends to while DVC has no remote: a folder or s3://….
        optuna: storage of sweeps, postgresql://…; None: a journal file in the workspace.
    """

    store: str = "data/store"
    remote: str = "~/visionmill-remote"
    mlflow: Mlflow = Mlflow()
    prefect: Prefect = Prefect()
    optuna: str | None = None
    deploy: Deploy = Deploy()
    notify: Notify = Notify()
    retrain: Retrain = Retrain()
    labelling: Labelling = Labelling()


def site_name() -> str:
    """What VISIONMILL_SITE names, `local` without it."""
    return os.environ.get(SITE) or "local"


def read_site(workspace: Path = Path()) -> Site:
    """The chosen site, `${NAME}` in its texts taken from the environment.

    Raises:
        ParamsError: no such site, or an unknown key or a wrong value in it.
        UserError: a variable that it names is not set.
    """
    file = f"conf/site/{site_name()}.yaml"
    return check(Site, _filled(presets.load("site", site_name(), workspace), file), file)


def _filled(value: Any, file: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, file) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, file) for inner in value]
    return FROM_ENVIRONMENT.sub(lambda found: _variable(found[1], file), value) if isinstance(value, str) else value


def _variable(name: str, file: str) -> str:
    if name not in os.environ:
        raise UserError(f"the site wants the environment variable {name}, which is not set", where=file,
                        mend=f"export {name}=…, or VISIONMILL_SITE=local")
    return os.environ[name]
