"""The verb `sweep` and its flow: a real training of a few seconds, killed, continued and adopted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from flows import parameters
from flows import sweep as flow
from flows.commands import sweep
from flows.supervisor import workspace_lock
from flows.workspace import TEMPLATE, render
from tasks.base.errors import ParamsError, UserError, WorkspaceBusy
from tasks.base.files import read_json
from tasks.data.table import Dataset, write_dataset
from tasks.search import study as store
from tasks.search.plan import folder_of
from tests.training.conftest import tiny  # noqa: F401

SMALL = {"train.model.backbone": "resnet18", "train.model.image_size": 64, "train.model.fpn_channels": 32,
         "train.model.levels": 3, "train.init": "scratch", "train.epochs": 3, "train.batch_size": 3}
SPACE = {"train.lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
         "train.augment.mosaic": {"type": "float", "low": 0.0, "high": 0.8}}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: tuple[Path, Dataset]) -> Path:  # noqa: F811
    """A real workspace with a split of eight pictures, where a training takes a second."""
    folder = tmp_path / "workspace"
    (folder / ".dvc").mkdir(parents=True)
    (folder / "dvc.yaml").write_text(render("dvc.yaml", "catalogue"))
    shutil.copytree(tiny[0], folder / "data/raw")
    write_dataset(folder / "data/split", tiny[1])
    path = folder / "params.yaml"
    shutil.copy(TEMPLATE / "params.yaml", path)
    values = parameters.read_commented(path)
    for key, value in SMALL.items():
        parameters.set_value(values, key, value)
    values["sweep"] = {"trials": 4, "space": SPACE, "epochs": {"min_resource": 1}}
    parameters.rewrite(path, values)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("VISIONMILL_TRACKING", "off")
    monkeypatch.setenv("VISIONMILL_THREADS", "1")
    monkeypatch.delenv("VISIONMILL_FLOW_RUN", raising=False)
    return folder


def start(workspace: Path, *words: str, tracking: str = "off") -> subprocess.Popen:
    env = {**os.environ, "VISIONMILL_TRACKING": tracking}
    return subprocess.Popen([sys.executable, "-P", "-m", "flows.cli", "sweep", *words], cwd=workspace, env=env,
                            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def run(workspace: Path, *words: str, tracking: str = "off") -> tuple[int, str]:
    process = start(workspace, *words, tracking=tracking)
    said, _ = process.communicate(timeout=300)
    return process.returncode, said


def go_on(**changes: object) -> int:
    """The flow in this process, which has all its libraries loaded; it needs the current folder to be the workspace."""
    return flow.main([json.dumps({"changes": changes})])


def trials(workspace: Path) -> list:
    folder = next((workspace / ".visionmill/sweep").iterdir())
    return store.finished(store.load_study(folder.name, folder))


def test_a_search_is_tracked_continued_and_adopted(workspace: Path, prefect_api: str,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    before = (workspace / "params.yaml").read_bytes()
    outputs = sorted(p for p in workspace.rglob("*") if ".visionmill" not in p.parts)
    code, said = run(workspace, "--trials", "2", tracking="on")
    assert code == 0, said
    assert "trial 2/2: val_AP " in said and "trials in" in said and "sweep adopt writes the best" in said
    # the tracking room's own files apart, a search changes nothing of the line
    after = {p for p in workspace.rglob("*") if ".visionmill" not in p.parts and "mlruns" not in p.parts}
    assert {p.name for p in after - set(outputs)} <= {"mlflow.db", "mlflow.db-shm", "mlflow.db-wal"}
    check_runs(workspace)
    capsys.readouterr()
    assert go_on(trials=4) == 0
    said = capsys.readouterr().out
    assert "trial 3/4" in said and "trial 1/4" not in said, said
    assert (workspace / "params.yaml").read_bytes() == before
    assert sweep.main([]) == 0 and "nothing to do: all 4 trials" in capsys.readouterr().out
    check_adoption(workspace)


def check_runs(workspace: Path) -> None:
    """Two runs with curves below one."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{workspace}/mlflow.db")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    parent = next(run for run in runs if run.data.tags["visionmill.stage"] == "sweep")
    below = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(below) == 2 and "best_val_AP" in parent.data.metrics
    current = parameters.read_commented(workspace / "params.yaml")["train"]["lr"]
    assert len(lrs := {run.data.params["lr"] for run in below}) == 2 and str(current) in lrs
    assert all(run.info.status == "FINISHED" for run in runs)
    first = next(run for run in below if run.data.tags["visionmill.trial"] == "0")
    assert [point.step for point in client.get_metric_history(first.info.run_id, "val_AP")] == [1, 2, 3]


def check_adoption(workspace: Path) -> None:
    """A tiny training scores what it likes: the best is either trial 0, or it is written."""
    complete = [trial for trial in trials(workspace) if trial.state.name == "COMPLETE"]
    best = max(complete, key=lambda trial: (trial.value, -trial.number))
    if best.number == 0:
        with pytest.raises(UserError, match="nothing to adopt"):
            sweep.main(["adopt"])
    else:
        assert sweep.main(["adopt"]) == 0
        assert f"  lr: {store.chosen(best)['train.lr']}" in (workspace / "params.yaml").read_text()


def wait_for(condition: object, process: subprocess.Popen) -> None:
    end = time.monotonic() + 120
    while not condition():  # type: ignore[operator]
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_search_that_was_ended_goes_on(workspace: Path, prefect_api: str, number: int,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    process = start(workspace, "--trials", "2", "--epochs", "6")
    wait_for(lambda: list(workspace.glob(".visionmill/sweep/*/trial-1/checkpoint.pt")), process)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else -9), said
    capsys.readouterr()
    assert go_on(trials=2, epochs={"max_resource": 6}) == 0
    said = capsys.readouterr().out
    assert "trial 2/2" in said and "trial 1/2" not in said, said
    assert [trial.number for trial in trials(workspace)] == [0, 1]
    assert not list(workspace.glob(".visionmill/sweep/*/trial-*"))


@pytest.mark.parametrize(("words", "message"), [
    (["--sampler", "tqe"], "'tpe' or 'random' (got 'tqe')"),
    (["--pruner", "median"], "'hyperband' or 'none'"),
    (["--trials", "0"], "greater than or equal to 1 (got 0)"),
    (["--epochs", "0"], "max_resource"),
    (["--preset", "defualt"], "did you mean 'default'?"),
    (["adopt"], "no search was made here"),
])
def test_wrong_words_are_refused(workspace: Path, words: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        sweep.main(words)
    assert message in str(error.value) and error.value.exit_code == 2
    assert not (workspace / ".visionmill/sweep").exists()


@pytest.mark.parametrize(("space", "message"), [
    ({}, "no space"), ({"train.lrr": SPACE["train.lr"]}, "did you mean 'train.lr'?"),
])
def test_a_wrong_space_is_refused(workspace: Path, space: dict, message: str) -> None:
    values = parameters.read_commented(Path("params.yaml"))
    values["sweep"] = {"space": space}
    Path("params.yaml").write_text(parameters.as_text(values))
    with pytest.raises(ParamsError) as error:
        sweep.main([])
    assert message in str(error.value)


def test_without_data_it_says_what_makes_it(workspace: Path) -> None:
    shutil.rmtree(workspace / "data/split")
    with pytest.raises(UserError, match="visionmill run"):
        sweep.main([])


@pytest.mark.parametrize("words", [[], ["adopt"]])
def test_a_workspace_that_is_held_is_left_alone(workspace: Path, words: list[str]) -> None:
    with workspace_lock(workspace), pytest.raises(WorkspaceBusy, match="another run is going on here"):
        sweep.main(words)


def test_a_finished_search_is_waited_for(workspace: Path, monkeypatch: pytest.MonkeyPatch,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    """A search was made here, so that its journal is opened, which wants the lock."""
    plan = sweep.plan_of(workspace, None, {})
    store.open_study(plan, folder_of(plan, workspace))
    monkeypatch.setattr(sweep, "supervise", lambda *words: 0)
    held = threading.Event()

    def hold() -> None:
        with workspace_lock(workspace):
            held.set()
            time.sleep(0.5)

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(5) and sweep.main(["--wait"]) == 0
    assert "waiting for the run that is going on here" in capsys.readouterr().err
    other.join()


def test_adopt_keeps_comments_and_shows_the_change(workspace: Path, monkeypatch: pytest.MonkeyPatch,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    best = {"train.lr": 0.00234, "train.augment.mosaic": 0.512}
    monkeypatch.setattr(sweep, "best_values", lambda *words, **more: (best, "trial 3 of 4: val_AP 0.5"))
    before = Path("params.yaml").read_text().splitlines()
    assert sweep.main(["adopt", "--dry"]) == 0 and Path("params.yaml").read_text().splitlines() == before
    assert sweep.main(["adopt"]) == 0
    after = Path("params.yaml").read_text().splitlines()
    changed = [line.split("#") for line in after if line not in before]
    assert [parts[0].strip() for parts in changed] == ["lr: 0.00234", "mosaic: 0.512"]
    assert all(len(parts) == 2 for parts in changed)
    assert "+  lr: 0.00234" in capsys.readouterr().out
    assert sweep.main(["adopt"]) == 0 and "says that already" in capsys.readouterr().out


def test_the_record_says_what_was_searched(workspace: Path) -> None:
    from tasks.search.plan import write_plan

    plan = sweep.plan_of(workspace, None, {"sampler": "random"})
    write_plan(plan, workspace / "here")
    found = read_json(workspace / "here/study.json")
    assert found["settings"]["sampler"] == "random" and found["base"]["epochs"] == 3 and found["trials"] == 4
