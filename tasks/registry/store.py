"""Where MLflow keeps things. The default is what plain `mlflow ui` shows when it is run in the workspace's root."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import UserError, VisionmillError
from tasks.base.params import read_yaml

if TYPE_CHECKING:
    from mlflow import MlflowClient

STATE = ".visionmill"
# whose errors mean that a store or its artefacts' place did not do what was asked
LIBRARIES = {"mlflow", "sqlalchemy", "sqlite3", "requests", "urllib3", "boto3", "botocore", "google", "azure"}
# the defaults of MLflow wait four minutes for a server that is gone
QUICK = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "GIT_PYTHON_REFRESH": "quiet",
}
# the UI then opens on runs and curves; it would take an unmarked experiment for one of language models
KIND = {"mlflow.experimentKind": "custom_model_development"}


def enabled() -> bool:
    """False when `VISIONMILL_TRACKING=off` asks for records only."""
    return os.environ.get("VISIONMILL_TRACKING", "on").lower() not in {"off", "0", "false"}


def tracking_uri(workspace: Path = Path()) -> str:
    """`MLFLOW_TRACKING_URI` where it is set, else the SQLite file that MLflow itself takes in that folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{workspace.resolve() / 'mlflow.db'}"


def workspace_name(workspace: Path = Path()) -> str:
    """Name of the experiment and of the registered model: `register.name` of params.yaml, else the folder's name."""
    named = register_section(workspace).get("name")
    # MLflow's queries and addresses have no way to quote the rest
    return re.sub(r"[^\w\-. ]", "_", str(named or workspace.resolve().name)) or "visionmill"


def register_section(workspace: Path = Path()) -> dict[str, Any]:
    """The section `register` of params.yaml as plain data, empty where there is none."""
    file = workspace / "params.yaml"
    everything = read_yaml(file) if file.is_file() else None
    section = everything.get("register") if isinstance(everything, dict) else None
    return section if isinstance(section, dict) else {}


def client(workspace: Path = Path()) -> MlflowClient:
    """A client of the workspace's store; the database is made at first use (2-7 s).

    Raises:
        UserError: the store cannot be reached.
    """
    for key, value in QUICK.items():
        os.environ.setdefault(key, value)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri = tracking_uri(workspace)
    try:
        # two processes that make one SQLite file at once both fail
        with file_lock(workspace / STATE / "mlflow.lock"):
            made = MlflowClient(tracking_uri=uri, registry_uri=os.environ.get("MLFLOW_REGISTRY_URI") or uri)
            made.search_experiments(max_results=1)
    except (MlflowException, OSError) as error:
        reason = str(error).splitlines()[0][:200]
        mend = "start that server, or unset MLFLOW_TRACKING_URI to use the workspace's own file"
        raise UserError(f"the MLflow store cannot be reached: {reason}", where=uri, mend=mend) from error
    return made


def experiment(mlflow: MlflowClient, workspace: Path = Path()) -> str:
    """Id of the workspace's experiment, made when it is not there. Its artefacts lie in the workspace too."""
    from mlflow.exceptions import MlflowException

    name = workspace_name(workspace)
    found = mlflow.get_experiment_by_name(name)
    if found is None:
        local = tracking_uri(workspace).startswith("sqlite:")
        place = (workspace.resolve() / "mlruns" / name).as_uri() if local else None
        try:
            return mlflow.create_experiment(name, artifact_location=place, tags=KIND)
        except MlflowException:
            found = mlflow.get_experiment_by_name(name)  # another process was quicker
    if found is None:
        raise UserError(f"MLflow has no experiment {name!r} and makes none", where=tracking_uri(workspace))
    if found.lifecycle_stage == "deleted":
        mlflow.restore_experiment(found.experiment_id)
    return found.experiment_id


@contextmanager
def told_in_words(doing: str, workspace: Path = Path()) -> Iterator[None]:
    """Errors of the store inside the block become ours.

    Args:
        doing: what was being done, for the message: "a version was registered".
        workspace: whose store is used.

    Raises:
        UserError: the store cannot be reached any more.
        VisionmillError: it answers, but refused something.
    """
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in LIBRARIES:
            raise
        client(workspace)  # raises when the store is away
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise VisionmillError(f"the MLflow store refused something as {doing}: {reason}",
                              where=tracking_uri(workspace), mend="run the same command again: what is done is kept; "
                              "if it stays, see the log of that store") from error


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on `path` for the length of the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
