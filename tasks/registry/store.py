"""Where MLflow keeps things. The default is what plain `mlflow ui` shows when it is run in the workspace's root."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import UserError, VisionmillError
from tasks.base.files import write_atomic
from tasks.base.params import read_yaml
from tasks.base.site import read_site

if TYPE_CHECKING:
    from mlflow import MlflowClient

STATE = ".visionmill"
# keeps the model's name when the workspace's folder gets another one
NAME = Path(STATE) / "name"
# whose errors mean that a store or its artefacts' place did not do what was asked
LIBRARIES = {"mlflow", "sqlalchemy", "sqlite3", "psycopg2", "requests", "urllib3", "boto3", "botocore", "s3transfer",
             "google", "azure"}
# addresses that MLflow opens itself; the others are servers, which decide where artefacts lie
DATABASES = {"sqlite", "postgresql", "mysql", "mssql"}
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
STARTING_S = 15  # a database that was killed mends itself when it comes back
# the UI then opens on runs and curves; it would take an unmarked experiment for one of language models
KIND = {"mlflow.experimentKind": "custom_model_development"}


def enabled() -> bool:
    """False when `VISIONMILL_TRACKING=off` asks for records only."""
    return os.environ.get("VISIONMILL_TRACKING", "on").lower() not in {"off", "0", "false"}


def tracking_uri(workspace: Path = Path()) -> str:
    """`MLFLOW_TRACKING_URI` where it is set, else the site's `mlflow.uri`, else the workspace's own SQLite file.

    It may hold a password: `shown` prints it without.

    Raises:
        UserError: the site's file is wrong, or names a variable that is not set.
    """
    return os.environ.get("MLFLOW_TRACKING_URI") or read_site(workspace).mlflow.uri or own_uri(workspace)


def own_uri(workspace: Path = Path()) -> str:
    """Of the SQLite file that MLflow itself takes in that folder."""
    return f"sqlite:///{workspace.resolve() / 'mlflow.db'}"


def shown(text: str) -> str:
    """Text with addresses in it as it may be printed, logged or kept: their passwords are starred out."""
    return re.sub(r"([?&]password=)[^&\s]*", r"\1***", re.sub(r"(://[^:/@\s]*):[^/\s]*@", r"\1:***@", text))


def told(error: Exception) -> str:
    """The first line of an error of somebody else's, as it may be printed."""
    return shown((str(error).splitlines() or [type(error).__name__])[0])[:200]


def workspace_name(workspace: Path = Path()) -> str:
    """Name of the experiment and of the registered model: `register.name` of params.yaml, else the one that the
    workspace had when it was first tracked, else the folder's name."""
    named = register_section(workspace).get("name")
    if not named and (workspace / NAME).is_file():
        named = (workspace / NAME).read_text(encoding="utf-8").strip()
    return clean_name(str(named or workspace.resolve().name))


def clean_name(text: str) -> str:
    """The text as a name of a model: MLflow's queries and addresses have no way to quote the rest."""
    return re.sub(r"[^\w\-. ]", "_", text) or "visionmill"


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
        _try_once(uri)
        # two processes that make one SQLite file at once both fail
        with file_lock(_lock_of(uri, workspace)):
            made = MlflowClient(tracking_uri=uri, registry_uri=os.environ.get("MLFLOW_REGISTRY_URI") or uri)
            made.search_experiments(max_results=1)
            _follow(uri, workspace)
    except (MlflowException, OSError) as error:
        raise _away(error, uri) from error
    return made


def _lock_of(uri: str, workspace: Path) -> Path:
    """Whose turn it is to make the database: beside a SQLite file, since several workspaces may share it."""
    file = sqlite_file(uri)
    if file is None or file == workspace.resolve() / "mlflow.db":
        return workspace / STATE / "mlflow.lock"
    return file.with_name(f"{file.name}.lock")


def sqlite_file(uri: str) -> Path | None:
    """Path of the file behind a `sqlite:///` address, None for another kind of store."""
    if not uri.startswith("sqlite:///"):
        return None
    return Path(uri.removeprefix("sqlite:///").partition("?")[0]).resolve()


def _try_once(uri: str) -> None:
    """Connect to a database; MLflow itself asks one that is away ten times in 100 s."""
    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme not in DATABASES - {"sqlite"}:
        return
    import sqlalchemy

    limit = {"connect_timeout": 10} if scheme == "postgresql" else {}
    for left in range(STARTING_S, -1, -1):
        try:
            engine = sqlalchemy.create_engine(uri, connect_args=limit, poolclass=sqlalchemy.pool.NullPool)
            with engine.connect():
                return
        except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
            if "starting up" not in str(error) or not left:
                raise _away(error, uri) from error
            time.sleep(1)


def _away(error: Exception, uri: str) -> UserError:
    reason = told(error)
    if isinstance(error, ImportError):
        return UserError(f"this kind of store needs a package more: {reason}", where=shown(uri),
                         mend='pip install "visionmill[team]"')
    mend = "start that server (docs/team.md), or unset MLFLOW_TRACKING_URI and set VISIONMILL_SITE=local: the " \
           "workspace's own file is used then"
    if re.search(r"\b40[13]\b|password|not authenticated", reason):
        mend = "export MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (docs/team.md)"
    return UserError(f"the MLflow store cannot be reached: {reason}", where=shown(uri), mend=mend)


def follow_move(workspace: Path) -> None:
    """For who reads the workspace's own file by itself what `client` does: its addresses follow a move."""
    uri = tracking_uri(workspace)
    with file_lock(_lock_of(uri, workspace)):
        _follow(uri, workspace)


def _follow(uri: str, workspace: Path) -> None:
    """Artefacts' addresses in the workspace's own file follow the workspace when it was moved or copied."""
    if uri == own_uri(workspace):
        from tasks.registry.moved import follow

        follow(workspace)


def experiment(mlflow: MlflowClient, workspace: Path = Path()) -> str:
    """Id of the workspace's experiment, made when it is not there; its artefacts lie where the site says."""
    from mlflow.exceptions import MlflowException

    name = workspace_name(workspace)
    found = mlflow.get_experiment_by_name(name)
    if found is None:
        try:
            made = mlflow.create_experiment(name, artifact_location=artifact_place(name, workspace), tags=KIND)
        except MlflowException:
            found = mlflow.get_experiment_by_name(name)  # another process was quicker
        else:
            _keep_name(name, workspace)
            return made
    if found is None:
        where = shown(tracking_uri(workspace))
        raise UserError(f"MLflow has no experiment {name!r} and makes none", where=where)
    if found.lifecycle_stage == "deleted":
        mlflow.restore_experiment(found.experiment_id)
    _keep_name(name, workspace)
    return found.experiment_id


def artifact_place(name: str, workspace: Path = Path()) -> str | None:
    """Address below which an experiment's artefacts lie; None where the MLflow server decides.

    The site's `mlflow.artifacts`, else `mlruns` beside a SQLite file, else in the workspace.
    """
    uri = tracking_uri(workspace)
    if uri.partition(":")[0].partition("+")[0] not in DATABASES:
        return None
    place = read_site(workspace).mlflow.artifacts
    if place and "://" in place:
        return f"{place.rstrip('/')}/{name}"
    file = sqlite_file(uri)
    default = (file.parent if file else workspace.resolve()) / "mlruns"
    folder = workspace.resolve() / Path(place).expanduser() if place else default
    return (folder / name).as_uri()


def _keep_name(name: str, workspace: Path) -> None:
    file = workspace / NAME
    if not register_section(workspace).get("name") and not file.is_file():
        write_atomic(file, f"{name}\n")


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
        raise VisionmillError(f"the MLflow store refused something as {doing}: {told(error)}",
                              where=shown(tracking_uri(workspace)), mend="run the same command again: what is done is "
                              "kept; if it stays, see the log of that store") from error


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on `path` for the length of the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
