"""An MLflow server that is away: at the start of a stage, in its middle, at registration; one that hangs."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.base.errors import UserError, VisionmillError
from tasks.registry import package, runs, store
from tasks.registry.register import is_registered, register
from tasks.registry.runs import stage_run
from tasks.registry.versions import last_version
from tests.servers import Server, mlflow_server

from .cases import LINE, commit, log_runs, write_line
from .conftest import isolate


@pytest.fixture(scope="module")
def running(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_store, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        isolate(patch)
        with mlflow_server(f"sqlite:///{folder}/mlflow.db", str(folder / "artifacts"), folder) as pair:
            yield pair


@pytest.fixture
def server(running: tuple[Server, str], quiet: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server, alive; what a test does to it is undone."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", running[1])
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(runs, "PAUSE_S", 0.0)
    yield running[0]
    if running[0].process is None:
        running[0].start()


@pytest.fixture
def make_line(tmp_path: Path) -> Callable[[str], Path]:
    """A line whose stages are still to be tracked; the server knows nothing of it."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        write_line(folder)
        return folder

    return make


def test_away_at_the_start(server: Server, make_line: Callable[[str], Path],
                           capsys: pytest.CaptureFixture[str]) -> None:
    workspace = make_line("start")
    server.kill()
    log_runs(workspace)
    told = capsys.readouterr().err
    assert "recorded locally only" in told and "visionmill register" in told
    assert json.loads((workspace / "runs/train.json").read_text())["run_id"] is None
    with pytest.raises(UserError, match=r"cannot be reached(.|\n)*start that server"):
        register(workspace)
    assert is_registered(workspace) is None
    server.start()
    first = register(workspace)
    assert first.version == "1" and "champion" in first.aliases
    delivered(workspace, first.run_id)


def delivered(workspace: Path, parent: str) -> None:
    """The server has what the records say: both runs, every value, the whole history."""
    mlflow = store.client(workspace)
    place = [store.experiment(mlflow, workspace)]
    found = mlflow.search_runs(place, f"tags.`mlflow.parentRunId` = '{parent}'")
    assert {run.data.tags["visionmill.stage"] for run in found} == {"train", "prune"}
    for run in found:
        record = json.loads((workspace / f"runs/{run.data.tags['visionmill.stage']}.json").read_text())
        for name, points in record["metrics"].items():
            history = [(point.step, point.value) for point in mlflow.get_metric_history(run.info.run_id, name)]
            assert sorted(history) == [(point["step"], point["value"]) for point in points]
        assert run.info.status == "FINISHED"


@pytest.mark.parametrize("comes_back", [False, True])
def test_away_in_the_middle(server: Server, make_line: Callable[[str], Path], comes_back: bool,
                            capsys: pytest.CaptureFixture[str]) -> None:
    workspace = make_line(f"middle-{comes_back}".lower())
    log_runs(workspace)
    with stage_run("train", line=LINE, params={"epochs": 3}, record=workspace / "runs/train.json",
                   workspace=workspace) as run:
        run.metrics({"loss": 1.0}, step=0)
        run.flush()
        server.kill()
        run.metrics({"loss": 0.5}, step=1)
        run.flush()
        run.tags({"device": "cpu"})
        if comes_back:
            server.start()
        run.metrics({"loss": 0.25}, step=2)
    told = capsys.readouterr().err
    assert told.count("MLflow did not take a part of this run") == 1 and "delivers the rest" in told
    record = json.loads((workspace / "runs/train.json").read_text())
    assert [point["value"] for point in record["metrics"]["loss"]] == [1.0, 0.5, 0.25]
    assert record["run_id"] is None and record["tags"]["device"] == "cpu" and record["status"] == "FINISHED"
    if not comes_back:
        server.start()
    delivered(workspace, register(workspace).run_id)


def test_away_in_the_middle_of_a_registration(server: Server, make_line: Callable[[str], Path],
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed once the version's files are made, before they are sent."""
    workspace = make_line("middle-of-registration")
    log_runs(workspace)
    build = package.build_model

    def built(*given: object, **named: object) -> None:
        build(*given, **named)  # type: ignore[arg-type]
        server.kill()

    with monkeypatch.context() as patch:
        patch.setattr(package, "build_model", built)
        with pytest.raises(VisionmillError, match=r"cannot be reached|run the same command again") as caught:
            register(workspace)
    assert "mend" in str(caught.value) and is_registered(workspace) is None
    server.start()
    assert last_version(workspace=workspace) is None, "nothing half is a version"
    done = register(workspace)
    assert (done.version, done.new, done.aliases) == ("1", True, ["candidate", "champion"])
    assert register(workspace).version == "1"


def test_server_that_hangs(make_line: Callable[[str], Path], quiet: None, monkeypatch: pytest.MonkeyPatch,
                           capsys: pytest.CaptureFixture[str]) -> None:
    """It takes connections and never answers: the stage goes on after one wait."""
    workspace = make_line("hangs")
    commit_nothing(workspace)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        with stage_run("train", line=LINE, params={}, record=workspace / "runs/train.json",
                       workspace=workspace) as run:
            run.metrics({"loss": 0.5})
        with pytest.raises(UserError, match="cannot be reached"):
            register(workspace)
    assert "recorded locally only" in capsys.readouterr().err
    assert json.loads((workspace / "runs/train.json").read_text())["metrics"]["loss"][0]["value"] == 0.5


def commit_nothing(workspace: Path) -> None:
    import subprocess

    subprocess.run(["git", "init", "-q", str(workspace)], check=True)
    commit(workspace)


def test_after_a_failure_the_server_is_left_alone_for_a_while(make_line: Callable[[str], Path], quiet: None) -> None:
    """A training flushes before each checkpoint: a server that hangs must not cost a minute an epoch."""
    asked: list[str] = []

    class Away:
        def __getattr__(self, name: str) -> object:
            asked.append(name)
            raise ConnectionError("away")

    record = {"run_id": "1", "tags": {}, "artifacts": [], "datasets": [], "metrics": {}, "started": 0}
    run = runs.StageRun(record, Away())  # type: ignore[arg-type]
    for epoch in range(20):
        run.metrics({"loss": 1 / (epoch + 1)}, step=epoch)
        run.flush()
    run.close("FINISHED")
    assert len(asked) == 1 and record["run_id"] is None
    assert len(record["metrics"]["loss"]) == 20  # type: ignore[index]
