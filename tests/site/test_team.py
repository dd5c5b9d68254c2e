"""conf/site/team.yaml for real, on loopback: MLflow, Prefect and Optuna on PostgreSQL, artefacts and DVC on S3."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tasks.base.errors import UserError
from tasks.registry import store
from tasks.registry.register import register
from tasks.registry.versions import champion, resolve_model
from tests.registry.cases import write_line
from tests.registry.conftest import build, empty_store, isolate  # noqa: F401  (a fixture)
from tests.servers import KEYS, PASSWORD, Server, answers, free_port, make_database, mlflow_server, postgres, s3

ROOT = Path(__file__).resolve().parents[2]
TEAM = ROOT / "conf/site/team"
BUCKET = "visionmill"
AUTH = f"team:{PASSWORD}"
RUN_FLOW = """
from prefect import flow, task
@task
def double(x): return 2 * x
@flow(name="toy", log_prints=False)
def toy(): return double(21)
assert toy() == 42
"""


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        isolate(patch)
        for name in ("PREFECT_API_URL", "MLFLOW_S3_ENDPOINT_URL"):
            patch.delenv(name, raising=False)
        yield patch


@pytest.fixture(scope="module")
def database(patch: pytest.MonkeyPatch) -> Iterator[str]:
    """PostgreSQL with the databases that docker-compose.yaml makes."""
    with postgres() as (_, address):
        for name in re.findall(r"CREATE DATABASE (\w+)", (TEAM / "databases.sql").read_text()):
            make_database(address, name)
        yield address


@pytest.fixture(scope="module")
def bucket(patch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The S3 server's only bucket; its keys and its address stand in the environment."""
    import boto3

    with s3(BUCKET) as url:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": url}.items():
            patch.setenv(name, value)
        yield boto3.resource("s3").Bucket(BUCKET)


@pytest.fixture(scope="module")
def team(database: str, bucket: Any, patch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
         ) -> Iterator[str]:
    """The site's MLflow server, with its users, and this environment as docs/team.md tells to set it."""
    folder = tmp_path_factory.mktemp("mlflow")
    rules = (TEAM / "auth.ini").read_text().replace("/var/lib/mlflow", str(folder))
    (folder / "auth.ini").write_text(rules)
    env = {"MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"), "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
           "MLFLOW_FLASK_SERVER_SECRET_KEY": "signs-forms-in-this-test",
           "MLFLOW_SERVER_ALLOWED_HOSTS": "mlflow:5000,localhost:*,127.0.0.1:*"}
    with mlflow_server(f"{database}/mlflow", f"s3://{BUCKET}/mlflow", folder, env, "--app-name", "basic-auth"
                       ) as (_, url):
        for name, value in {"VISIONMILL_SITE": "team", "VISIONMILL_MLFLOW": url, "MLFLOW_TRACKING_USERNAME": "admin",
                            "MLFLOW_TRACKING_PASSWORD": PASSWORD, "VISIONMILL_PREFECT": "http://127.0.0.1:1/api",
                            "VISIONMILL_OPTUNA": f"{database}/optuna", "VISIONMILL_REMOTE": f"s3://{BUCKET}/dvc"
                            }.items():
            patch.setenv(name, value)
        yield url


@pytest.fixture
def make_line(tmp_path: Path, empty_store: Path) -> Callable[[str], Path]:  # noqa: F811
    return lambda name: build(tmp_path / name, empty_store)


def rows(address: str, query: str) -> list[tuple[Any, ...]]:
    import psycopg2

    opened = psycopg2.connect(address)
    with opened, opened.cursor() as cursor:
        cursor.execute(query)
        found = cursor.fetchall()
    opened.close()
    return found


def keys(bucket: Any, prefix: str) -> list[str]:
    return [found.key for found in bucket.objects.filter(Prefix=prefix)]


def test_a_line_is_registered_through_the_server(team: str, database: str, bucket: Any, make_line: Callable[..., Path],
                                                 capfd: pytest.CaptureFixture[str]) -> None:
    workspace = make_line("cells")
    first = register(workspace)
    assert (first.version, first.aliases) == ("1", ["candidate", "champion"])
    write_line(workspace, ap=0.6)
    assert register(workspace).aliases == ["candidate", "champion"]
    query = "select alias, version from registered_model_aliases where name = 'cells' order by alias"
    assert rows(f"{database}/mlflow", query) == [("candidate", 2), ("champion", 2), ("previous", 1)]
    stored = keys(bucket, "mlflow/")
    assert any(key.endswith("artifacts/artifacts/pruned.onnx") for key in stored)
    assert any(key.endswith("version-2/gate.json") for key in stored)
    assert not (workspace / "mlruns").exists() or not list((workspace / "mlruns").rglob("*.onnx"))
    fetched = resolve_model("models:/cells@champion", workspace=workspace)
    assert fetched.read_bytes() == (workspace / "exports/cpu-int8/pruned.onnx").read_bytes()
    assert workspace / store.STATE in fetched.parents
    assert_no_secret(workspace, bucket, "".join(capfd.readouterr()))


def assert_no_secret(workspace: Path, bucket: Any, printed: str) -> None:
    """Neither what was written here, nor what was sent to S3, nor what was printed holds the password."""
    secret = PASSWORD.encode()
    assert [path for path in workspace.rglob("*") if path.is_file() and secret in path.read_bytes()] == []
    assert [found.key for found in bucket.objects.all() if secret in found.get()["Body"].read()] == []
    assert PASSWORD not in printed
    mlflow = store.client(workspace)
    version = mlflow.get_model_version_by_alias(workspace.name, "champion")
    told = [*version.tags.values(), version.description, version.source]
    for run in mlflow.search_runs([store.experiment(mlflow, workspace)]):
        told += [*run.data.tags.values(), *run.data.params.values(), run.info.artifact_uri]
    assert [text for text in told if PASSWORD in str(text)] == []


@pytest.mark.parametrize("password", ["wrong", None])
def test_who_may_not_is_told_what_to_set(team: str, make_line: Callable[..., Path], password: str | None,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
    if password:
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    else:
        monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    with pytest.raises(UserError, match="MLFLOW_TRACKING_USERNAME") as caught:
        champion("cells")
    assert password is None or password not in str(caught.value)


def test_variable_that_is_not_set(team: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VISIONMILL_MLFLOW")
    with pytest.raises(UserError, match=r"VISIONMILL_MLFLOW, which is not set\n(.|\n)*team.yaml"):
        champion("cells")


def test_other_host_names_are_refused(team: str) -> None:
    """A page that a browser was led to by another name could read the registry."""
    asked = urllib.request.Request(f"{team}/api/2.0/mlflow/experiments/get-by-name?experiment_name=x",
                                   headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(asked, timeout=20)
    assert caught.value.code in (401, 403)


def test_a_line_is_registered_in_the_database_itself(database: str, bucket: Any, make_line: Callable[..., Path],
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_line("direct")
    (workspace / "conf/site").mkdir(parents=True)
    (workspace / "conf/site/db.yaml").write_text(
        f"mlflow:\n  uri: ${{MLFLOW_DATABASE}}\n  artifacts: s3://{BUCKET}/direct\n")
    monkeypatch.setenv("VISIONMILL_SITE", "db")
    monkeypatch.setenv("MLFLOW_DATABASE", make_database(database, "direct"))
    first = register(workspace)
    assert (first.name, first.version) == ("direct", "1") and "champion" in first.aliases
    fetched = resolve_model("models:/direct@champion", workspace=workspace)
    assert fetched.read_bytes() == (workspace / "exports/cpu-int8/pruned.onnx").read_bytes()
    assert any("direct/direct/" in key for key in keys(bucket, "direct/"))
    again = register(workspace)
    assert (again.version, again.new) == ("1", False)
    secret = [p for p in workspace.rglob("*") if p.is_file() and PASSWORD.encode() in p.read_bytes()]
    assert secret == []


def test_sweeps_are_in_the_database(team: str, database: str, tmp_path: Path) -> None:
    from tasks.search.study import exists, load_study

    folder = tmp_path / ".visionmill/sweep/sweep-toy"
    study = load_study("sweep-toy", folder)
    trial = study.ask()
    study.tell(trial, trial.suggest_float("x", 0, 1))
    assert rows(f"{database}/optuna", "select study_name from studies") == [("sweep-toy",)]
    assert exists(folder) and not folder.exists()


@pytest.fixture(scope="module")
def prefect(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Prefect's server on PostgreSQL, which asks who one is."""
    if not rows(f"{database}/prefect", "select 1 from pg_available_extensions where name = 'pg_trgm'"):
        pytest.skip("this PostgreSQL lacks the extension pg_trgm, which Prefect needs (Debian: apt install postgresql)")
    folder, port = tmp_path_factory.mktemp("prefect"), free_port()
    url = f"http://127.0.0.1:{port}/api"
    env = {**os.environ, "PREFECT_HOME": str(folder), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1",
           "PREFECT_SERVER_API_AUTH_STRING": AUTH, "PREFECT_UI_ENABLED": "false",
           "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"{database}/prefect".replace("postgresql", "postgresql+asyncpg")}
    command = [sys.executable, "-P", "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with ExitStack() as stack:
        server = Server(command, lambda: answers(f"{url}/health"), env=env, log=folder / "log")
        stack.callback(server.end)
        server.start()
        yield url


def test_flows_are_recorded_in_the_database(prefect: str, database: str, tmp_path: Path) -> None:
    env = {**os.environ, "PREFECT_API_URL": prefect, "PREFECT_API_AUTH_STRING": AUTH, "PREFECT_HOME": str(tmp_path),
           "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"}
    done = subprocess.run([sys.executable, "-c", RUN_FLOW], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = rows(f"{database}/prefect", "select f.name, r.state_type from flow_run r join flow f on f.id = r.flow_id")
    assert found == [("toy", "COMPLETED")]


def test_prefect_asks_who_one_is(prefect: str) -> None:
    asked = urllib.request.Request(f"{prefect}/flows/count", data=b"{}", headers={"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(asked, timeout=20)
    assert caught.value.code == 401
    asked.add_header("Authorization", f"Basic {base64.b64encode(AUTH.encode()).decode()}")
    with urllib.request.urlopen(asked, timeout=20) as answer:
        assert answer.status == 200


def test_data_goes_to_s3_and_comes_back(team: str, bucket: Any, tmp_path: Path) -> None:
    """With DVC alone: keys and address from the environment, none of them in a file."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()

    def call(folder: Path, *words: str) -> None:
        done = subprocess.run([*words], cwd=folder, capture_output=True, text=True, timeout=300,
                              env={**os.environ, "DVC_NO_ANALYTICS": "1"})
        assert done.returncode == 0, done.stderr

    dvc = [sys.executable, "-P", "-m", "dvc"]
    call(here, "git", "init", "-q")
    call(here, *dvc, "init", "-q")
    call(here, *dvc, "remote", "add", "-d", "team", os.environ["VISIONMILL_REMOTE"])
    (here / "pictures").mkdir()
    for number in range(3):
        (here / f"pictures/{number}.bin").write_bytes(bytes([number]) * 1000)
    call(here, *dvc, "add", "-q", "pictures")
    call(here, *dvc, "push", "-q")
    assert len(keys(bucket, "dvc/files/md5/")) == 4, "three files and their folder"
    call(here, "git", "add", "-A")
    call(here, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "all")
    call(tmp_path, "git", "clone", "-q", str(here), str(there))
    call(there, *dvc, "pull", "-q")
    assert (there / "pictures/2.bin").read_bytes() == bytes([2]) * 1000
    assert PASSWORD not in (here / ".dvc/config").read_text()


def test_remote_without_credentials(team: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`visionmill data push` says who is asked and what is missing; nothing hangs."""
    from flows.datastore import DVC

    for name in KEYS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run([*DVC, "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run([*DVC, "remote", "add", "-d", "team", os.environ["VISIONMILL_REMOTE"]], cwd=tmp_path, check=True)
    (tmp_path / "a.bin").write_bytes(b"a")
    subprocess.run([*DVC, "add", "-q", "a.bin"], cwd=tmp_path, check=True)
    done = subprocess.run([*DVC, "push"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0 and "credentials" in done.stderr.lower()
