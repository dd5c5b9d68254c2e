"""Runs of stages and their records: live, resumed, failed, without a store."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.registry import lineage, runs, store
from tasks.registry.runs import stage_run

LINE = "ab" * 32


@pytest.fixture
def workspace(tmp_path: Path, empty_store: Path, quiet: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def test_record_and_store_agree(workspace: Path) -> None:
    record = Path("runs/train.json")
    with stage_run("train", line=LINE, params={"lr": 0.1, "mosaic": {"p": 0.5}}, record=record) as run:
        for step in range(3):
            run.metrics({"loss": 1 - step / 10, "val": {"AP": step / 10, "AP_small": None}}, step=step)
        run.tags({"device": "cpu", "odd/name?": 1})
        run.dataset("cells", "d" * 64)
        (workspace / "history.json").write_text("[]")
        run.artifact(Path("history.json"), "training")
    saved, mlflow = read(record), store.client()
    told = mlflow.get_run(run.id)
    assert saved["run_id"] == run.id and (saved["status"], told.info.status) == ("FINISHED", "FINISHED")
    assert [p["value"] for p in saved["metrics"]["loss"]] == [1.0, 0.9, 0.8]
    assert [(p.step, p.value) for p in mlflow.get_metric_history(run.id, "val/AP")] == [(0, 0), (1, 0.1), (2, 0.2)]
    assert "val/AP_small" not in told.data.metrics
    assert told.data.params == {"lr": "0.1", "mosaic.p": "0.5"}
    assert {"visionmill.line": LINE, "visionmill.stage": "train", "device": "cpu", "odd/name_": "1"}.items() <= (
        told.data.tags.items())
    assert told.inputs.dataset_inputs[0].dataset.digest == "d" * 36
    assert [f.path for f in mlflow.list_artifacts(run.id, "training")] == ["training/history.json"]
    assert told.info.artifact_uri.startswith((workspace / "mlruns").as_uri())
    assert mlflow.get_experiment(told.info.experiment_id).name == workspace.name


def test_curves_are_live(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "FLUSH_SECONDS", 0.05)
    mlflow = store.client()
    with stage_run("train", line=LINE, params={}, record=Path("runs/train.json")) as run:
        run.metrics({"loss": 0.5}, step=0)
        end = time.monotonic() + 10
        while not mlflow.get_run(run.id).data.metrics and time.monotonic() < end:
            time.sleep(0.05)
        assert mlflow.get_run(run.id).data.metrics == {"loss": 0.5}
        assert mlflow.get_run(run.id).info.status == "RUNNING"


def test_one_request_for_many_values(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    send = runs.log_metrics
    monkeypatch.setattr(runs, "log_metrics", lambda m, i, values: (calls.append(len(values)), send(m, i, values)))
    with stage_run("train", line=LINE, params={}, record=Path("runs/train.json")) as run:
        for step in range(1200):
            run.metrics({"loss": step}, step=step)
    assert sum(calls) == 1200 and len(calls) <= 3
    assert len(store.client().get_metric_history(run.id, "loss")) == 1200


@pytest.mark.parametrize(("error", "status"), [(ValueError("x"), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_failure_leaves_no_record(workspace: Path, error: BaseException, status: str) -> None:
    with pytest.raises(type(error)), stage_run("train", line=LINE, params={}, record=Path("runs/train.json")) as run:
        run.metrics({"loss": 1.0})
        raise error
    assert not Path("runs").exists()
    assert store.client().get_run(run.id).info.status == status


def test_killed_training_goes_on_in_its_run(workspace: Path) -> None:
    with pytest.raises(KeyboardInterrupt), stage_run("train", line=LINE, params={"lr": 1},
                                                     record=Path("runs/train.json")) as first:
        first.metrics({"loss": 0.9}, step=0)
        first.metrics({"loss": 0.8}, step=1)
        first.flush()
        raise KeyboardInterrupt
    with stage_run("train", line=LINE, params={"lr": 1}, record=Path("runs/train.json"), resume=first.id) as run:
        for step, loss in enumerate([0.9, 0.8, 0.7]):  # a resumed training reports its whole history
            run.metrics({"loss": loss}, step=step)
    assert run.id == first.id
    mlflow = store.client()
    assert [p.value for p in mlflow.get_metric_history(run.id, "loss")] == [0.9, 0.8, 0.7]
    assert [p["value"] for p in read(Path("runs/train.json"))["metrics"]["loss"]] == [0.9, 0.8, 0.7]
    assert mlflow.get_run(run.id).info.status == "FINISHED"


def test_resume_of_a_run_that_another_store_had(workspace: Path) -> None:
    gone = "0" * 32
    with stage_run("train", line=LINE, params={}, record=Path("runs/train.json"), resume=gone) as run:
        pass
    assert run.id not in (None, gone)
    assert store.client().get_run(run.id).data.tags["visionmill.resumed_from"] == gone


def test_tracking_off_imports_no_mlflow(workspace: Path) -> None:
    code = ("import sys; from pathlib import Path; from tasks.registry.runs import stage_run\n"
            "with stage_run('train', line='x', params={}, record=Path('runs/train.json')) as run:\n"
            "    run.metrics({'loss': 1}); run.tags({'a': 'b'}); run.dataset('n', 'd'); assert run.id is None\n"
            "assert 'mlflow' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=workspace,
                   env={"VISIONMILL_TRACKING": "off", "PYTHONPATH": str(lineage_root()), "PATH": "/usr/bin:/bin"})
    saved = read(workspace / "runs/train.json")
    assert saved["run_id"] is None and saved["metrics"]["loss"][0]["value"] == 1.0


def test_store_that_cannot_be_reached(workspace: Path, monkeypatch: pytest.MonkeyPatch,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with stage_run("train", line=LINE, params={}, record=Path("runs/train.json")) as run:
        run.metrics({"loss": 0.5})
    told = capsys.readouterr().err
    assert "cannot be reached" in told and "recorded locally only" in told and "http://127.0.0.1:9" in told
    assert read(Path("runs/train.json"))["metrics"]["loss"][0]["value"] == 0.5 and run.id is None


def test_store_lost_on_the_way(workspace: Path, monkeypatch: pytest.MonkeyPatch,
                               capsys: pytest.CaptureFixture[str]) -> None:
    def lost(*_: object) -> None:
        raise OSError("gone")

    with stage_run("train", line=LINE, params={}, record=Path("runs/train.json")) as run:
        monkeypatch.setattr(runs, "log_metrics", lost)
        run.metrics({"loss": 0.5})
    saved = read(Path("runs/train.json"))
    assert saved["run_id"] is None and saved["tags"]["visionmill.partial_run"] == run.id
    assert saved["metrics"]["loss"][0]["value"] == 0.5
    assert capsys.readouterr().err.count("warning:") == 1


def test_what_is_not_a_number_is_left_out_and_said_once(workspace: Path, monkeypatch: pytest.MonkeyPatch,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("VISIONMILL_TRACKING", "off")
    with stage_run("train", line=LINE, params={}, record=Path("runs/train.json")) as run:
        for step in range(3):
            run.metrics({"loss": float("nan"), "fine": 1}, step=step)
    assert set(read(Path("runs/train.json"))["metrics"]) == {"fine"}
    assert capsys.readouterr().err.count("metric loss") == 1


def test_inputs_of_a_stage_are_tagged_with_their_hashes(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISIONMILL_TRACKING", "off")
    monkeypatch.setenv("DVC_STAGE", "export@cpu-int8")
    monkeypatch.setenv("VISIONMILL_FLOW_RUN", "flow-7")
    (workspace / "data").mkdir()
    (workspace / "data/raw.dvc").write_text("outs:\n- md5: aa.dir\n  path: raw\n")
    (workspace / "dvc.yaml").write_text(
        "stages:\n  export:\n    foreach: ${export.targets}\n    do:\n      cmd: x\n"
        "      deps: [data/raw, models/trained, 'tables/${item}', exports]\n"
        "  train: {cmd: x}\n  tables: {cmd: x}\n  more: {cmd: x}\n")
    (workspace / "dvc.lock").write_text(
        "stages:\n  train:\n    outs:\n    - {path: models/trained, md5: bb.dir}\n    - {path: runs/t.json, md5: cc}\n"
        "  tables:\n    outs:\n    - {path: tables/cpu-int8, md5: dd}\n    - {path: tables/other, md5: ee}\n"
        "  more:\n    outs:\n    - {path: exports/one, md5: ff}\n"
        "  export@dropped:\n    outs:\n    - {path: exports/dropped, md5: gg}\n")
    with stage_run("export@cpu-int8", line=LINE, params={}, record=Path("runs/x.json")):
        pass
    tags = read(Path("runs/x.json"))["tags"]
    assert {name: value for name, value in tags.items() if ".input." in name} == {
        "visionmill.input.data/raw": "aa.dir", "visionmill.input.models/trained": "bb.dir",
        "visionmill.input.tables/cpu-int8": "dd", "visionmill.input.exports/one": "ff"}
    assert tags["visionmill.flow_run"] == "flow-7"


@pytest.mark.parametrize(("changes", "expected"), [
    ({}, []), ({"dvc.lock": "x", "code.yaml": "x", "sub/.gitignore": "x"}, []), ({"params.yaml": "x"}, ["params.yaml"]),
    ({"notes.txt": "x"}, []), ({"sub/new.py": "x"}, ["sub/new.py"]), ({"a ü.yaml": "x"}, ["a ü.yaml"])])
def test_uncommitted(tmp_path: Path, changes: dict[str, str], expected: list[str]) -> None:
    from .cases import commit

    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    for name in ("params.yaml", "dvc.lock"):
        (tmp_path / name).write_text("first")
    assert lineage.commit(tmp_path) is None
    commit(tmp_path)
    for name, text in changes.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert lineage.uncommitted(tmp_path) == expected


def test_renamed_file_counts_once(tmp_path: Path) -> None:
    from .cases import commit

    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "old.py").write_text("x = 1\n" * 20)
    commit(tmp_path)
    subprocess.run(["git", "-C", str(tmp_path), "mv", "old.py", "new.py"], check=True)
    assert lineage.uncommitted(tmp_path) == ["new.py"]


def test_no_repository(tmp_path: Path) -> None:
    assert lineage.uncommitted(tmp_path) is None and lineage.commit(tmp_path) is None


def test_store_is_the_one_that_plain_mlflow_ui_takes(workspace: Path) -> None:
    from mlflow.tracking._tracking_service.utils import _get_default_tracking_uri, get_tracking_uri

    with stage_run("train", line=LINE, params={}, record=Path("runs/train.json")):
        pass
    assert _get_default_tracking_uri() == "sqlite:///mlflow.db"
    assert get_tracking_uri() == store.tracking_uri()


def test_name_of_the_model(tmp_path: Path) -> None:
    assert store.workspace_name(tmp_path) == tmp_path.name
    (tmp_path / "params.yaml").write_text("register:\n  name: o'brien/x\n")
    assert store.workspace_name(tmp_path) == "o_brien_x"


def lineage_root() -> Path:
    return Path(__file__).resolve().parents[2]
