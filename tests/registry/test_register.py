"""Registering a finished line: versions, aliases, restored runs, the no-op guard."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.base import presets
from tasks.base.errors import ParamsError, UserError
from tasks.registry import store
from tasks.registry.register import is_registered, register
from tasks.registry.versions import champion, last_version, resolve_model

from .cases import LINE, commit, write_line

Make = Callable[..., Path]


def tags_of(workspace: Path, version: str = "1") -> dict[str, str]:
    return dict(store.client(workspace).get_model_version("cells", version).tags)


def test_first_registration(make_workspace: Make) -> None:
    workspace = make_workspace()
    assert is_registered(workspace) is None
    first = register(workspace)
    assert (first.name, first.version, first.uri, first.new) == ("cells", "1", "models:/cells/1", True)
    assert first.gate.passed and first.aliases == ["candidate", "champion"]
    tags = tags_of(workspace)
    head = subprocess.run(["git", "-C", str(workspace), "rev-parse", "HEAD"], capture_output=True, text=True)
    assert tags["visionmill.git_commit"] == head.stdout.strip() and tags["visionmill.uncommitted"] == "no"
    assert tags["visionmill.line"] == LINE and len(tags["visionmill.test_hash"]) == 64
    assert tags["visionmill.data_hash"] == "0123456789abcdef0123456789abcdef.dir"
    assert (tags["visionmill.AP"], tags["visionmill.speedup"], tags["visionmill.bytes"]) == ("0.5", "7.5", "4000000")
    assert tags["visionmill.gate"] == "passed" and tags["visionmill.artefact"] == "pruned/cpu-int8"
    assert {"visionmill.dvc.lock", "visionmill.params.yaml", "visionmill.run.train"} <= set(tags)


def test_runs_of_the_line_lie_under_one_parent_with_its_files(make_workspace: Make) -> None:
    workspace = make_workspace()
    first = register(workspace)
    mlflow = store.client(workspace)
    place = [store.experiment(mlflow, workspace)]
    children = mlflow.search_runs(place, f"tags.`mlflow.parentRunId` = '{first.run_id}'")
    assert {run.data.tags["visionmill.stage"] for run in children} == {"train", "prune"}
    parent = mlflow.get_run(first.run_id)
    assert parent.info.run_name == f"line {LINE[:8]}"
    assert parent.data.metrics["pruned/cpu-int8/AP"] == 0.5
    names = {file.path for file in mlflow.list_artifacts(first.run_id, "version-1")}
    assert names == {f"version-1/{n}" for n in ("gate.json", "gate.md", "lineage", "report")}
    assert parent.info.artifact_uri.startswith((workspace / "mlruns").as_uri())


def test_description_tells_a_reviewer_everything(make_workspace: Make) -> None:
    workspace = make_workspace()
    subprocess.run(["git", "-C", str(workspace), "remote", "add", "origin", "https://me:hunter2@example.org/c.git"])
    register(workspace)
    text = store.client(workspace).get_model_version("cells", "1").description
    assert "| pruned/cpu-int8 | 0.5000 | 0.8000 | 4.00 | 4.0 | 7.50 |" in text
    assert "## Gate `default`: passed" in text and "dvc pull && dvc repro" in text
    assert "git clone https://example.org/c.git" in text and "hunter2" not in text


def test_same_outputs_are_one_version(make_workspace: Make) -> None:
    workspace = make_workspace()
    register(workspace)
    again = register(workspace)
    assert (again.version, again.new) == ("1", False) and "registered already" in again.note
    assert again.aliases == ["candidate", "champion"] and "champion already" in again.note
    assert last_version(workspace=workspace)["version"] == "1"  # type: ignore[index]


def test_a_champion_is_judged_again_as_the_file_that_it_serves(make_workspace: Make) -> None:
    """Where the preferred file was slower, and now nothing keeps the limits: never against itself."""
    workspace = make_workspace()
    file = workspace / "results/benchmark/benchmark.json"
    told = json.loads(file.read_text())
    told["artefacts"]["pruned/cpu-int8"] |= {"slower_than_float": True, "median_ms": 20.0}
    file.write_text(json.dumps(told))
    first = register(workspace)
    assert first.gate.passed and first.gate.artefact != "pruned/cpu-int8" and "champion" in first.aliases
    (workspace / "conf/gate").mkdir(parents=True, exist_ok=True)
    (workspace / "conf/gate/default.yaml").write_text("floors: {AP: 0.99, AP50: 0.999}\n")
    again = register(workspace)
    assert again.gate.artefact == first.gate.artefact and again.version == first.version
    assert not again.gate.passed and "AP floor" in again.gate.failed()


def test_better_one_becomes_champion_and_the_old_one_previous(make_workspace: Make) -> None:
    workspace = make_workspace()
    register(workspace)
    write_line(workspace, ap=0.6)
    second = register(workspace)
    assert (second.version, second.aliases, second.gate.champion) == ("2", ["candidate", "champion"], "1")
    mlflow = store.client(workspace)
    assert list(mlflow.get_model_version("cells", "1").aliases) == ["previous"]
    assert champion(workspace=workspace)["version"] == "2"  # type: ignore[index]


def test_worse_one_stays_a_candidate(make_workspace: Make) -> None:
    workspace = make_workspace()
    register(workspace)
    write_line(workspace, ap=0.4)
    second = register(workspace)
    assert second.aliases == ["candidate"] and not second.gate.passed and "refuses" in second.note
    assert tags_of(workspace, "2")["visionmill.gate"].startswith("refused: AP against the champion")
    assert champion(workspace=workspace)["version"] == "1"  # type: ignore[index]


def test_manual_policy_leaves_promotion_to_a_person(make_workspace: Make) -> None:
    workspace = make_workspace(policy="manual")
    first = register(workspace)
    assert first.gate.passed and first.aliases == ["candidate"] and "MLflow UI" in first.note
    assert champion(workspace=workspace) is None


def test_own_gate_of_the_workspace(make_workspace: Make) -> None:
    workspace = make_workspace(gate="strict")
    with pytest.raises(ParamsError, match="no gate preset is called 'strict'"):
        register(workspace)
    (workspace / "conf/gate").mkdir(parents=True)
    (workspace / "conf/gate/strict.yaml").write_text("code: require\n")
    refused = register(workspace)
    assert not refused.gate.passed and "1 uncommitted: conf/gate/strict.yaml" in refused.gate.to_markdown()
    commit(workspace)
    (workspace / "dvc.lock").write_text((workspace / "dvc.lock").read_text() + "# written by a run\n")
    assert register(workspace).gate.passed


def test_records_alone_are_enough_in_another_store(make_workspace: Make, empty_store: Path,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    workspace = make_workspace()
    old = json.loads((workspace / "runs/train.json").read_text())
    shutil.copy(empty_store, workspace / "mlflow.db")  # a clone on another machine
    first = register(workspace)
    assert "run of train is not in this MLflow store" in capsys.readouterr().err
    mlflow = store.client(workspace)
    run = mlflow.get_run(tags_of(workspace)["visionmill.run.train"])
    assert run.data.tags["visionmill.restored_from"] == old["run_id"] != run.info.run_id
    assert run.data.tags["mlflow.parentRunId"] == first.run_id
    assert [point.value for point in mlflow.get_metric_history(run.info.run_id, "val/AP")] == [0, 0.1, 0.2]
    assert run.data.params["schedule.warm_up"] == "1" and run.inputs.dataset_inputs[0].dataset.name == "cells"
    assert (run.info.status, run.info.start_time, run.info.end_time) == ("FINISHED", old["started"], old["ended"])
    assert json.loads((workspace / "runs/train.json").read_text()) == old  # DVC tracks it
    register(workspace)
    assert "logged again" not in capsys.readouterr().err


def test_guard_answers_without_mlflow_and_quickly(make_workspace: Make) -> None:
    workspace = make_workspace()
    first = register(workspace)
    ask = ("import sys, time; start = time.perf_counter(); from pathlib import Path; "
           "from tasks.registry.registered import is_registered; found = is_registered(Path(sys.argv[1])); "
           "print(found.version, found.aliases, found.gate.passed, 'mlflow' in sys.modules, "
           "time.perf_counter() - start)")
    done = subprocess.run([sys.executable, "-c", ask, str(workspace)], capture_output=True, text=True, check=True)
    words = done.stdout.rsplit(" ", 1)
    assert words[0] == "1 ['candidate', 'champion'] True False"
    start = time.perf_counter()
    found = is_registered(workspace)
    assert found is not None and (found.uri, found.run_id) == (first.uri, first.run_id)
    assert time.perf_counter() - start < 0.3


def test_guard_notices_every_change(make_workspace: Make) -> None:
    workspace = make_workspace()
    register(workspace)
    for name in ("dvc.lock", "dvc.yaml", "params.yaml", "mlflow.db"):
        before = (workspace / name).read_bytes()
        (workspace / name).write_text("# changed")
        assert is_registered(workspace) is None, name
        (workspace / name).write_bytes(before)
        assert is_registered(workspace) is not None, name
    (workspace / "conf/gate").mkdir(parents=True)
    (workspace / "conf/gate/default.yaml").write_text("code: require\n")
    assert is_registered(workspace) is None
    (workspace / "conf/gate/default.yaml").unlink()
    assert is_registered(workspace) is not None
    store.client(workspace).delete_model_version("cells", "1")
    assert is_registered(workspace) is None


def test_guard_notices_a_gate_that_an_upgrade_changed(make_workspace: Make, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_workspace()
    register(workspace)
    shutil.copytree(presets.PACKAGE, tmp_path / "conf")
    monkeypatch.setattr(presets, "PACKAGE", tmp_path / "conf")
    assert is_registered(workspace) is not None
    file = tmp_path / "conf/gate/default.yaml"
    file.write_text(file.read_text().replace("min_test_pictures: 30", "min_test_pictures: 31"))
    assert is_registered(workspace) is None
    file.write_text("min_test_pictures: many\n")
    assert is_registered(workspace) is None


def test_guard_sees_an_alias_that_a_person_moved(make_workspace: Make) -> None:
    workspace = make_workspace()
    register(workspace)
    store.client(workspace).delete_registered_model_alias("cells", "champion")
    assert is_registered(workspace).aliases == ["candidate"]  # type: ignore[union-attr]


@pytest.mark.parametrize(("part", "inside"), [
    ("trained", "model.safetensors"), ("pruned", "model.json"), ("lineage", "dvc.lock"), ("all", "MLmodel")])
def test_addresses_lead_to_files(registered: Path, part: Any, inside: str) -> None:
    for uri in ("models:/cells@champion", "models:/cells/1", "models:/cells/latest"):
        assert (resolve_model(uri, part, registered) / inside).is_file()
    assert resolve_model(uri, workspace=registered).read_bytes() == (
        registered / "exports/cpu-int8/pruned.onnx").read_bytes()


@pytest.mark.parametrize(("uri", "message"), [
    ("models:/cells@best", "no alias 'best'"), ("models:/cells/7", "no version 7"), ("models:/cels/1", "cells"),
    ("models:/cells", "is no address"), ("models:/../x@y", "is no address"), ("models:/o'b@x", "is no address"),
    ("nowhere.onnx", "no such model")])
def test_wrong_addresses(registered: Path, uri: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        resolve_model(uri, workspace=registered)
    assert caught.value.exit_code == 2


def test_nothing_to_register(make_workspace: Make) -> None:
    workspace = make_workspace()
    (workspace / "results/evaluate/metrics.json").unlink()
    with pytest.raises(UserError, match=r"metrics.json is missing\n(.|\n)*dvc repro"):
        register(workspace)


def test_parameters_edited_after_the_run(make_workspace: Make) -> None:
    workspace = make_workspace()
    (workspace / "params.yaml").write_text("train:\n  epochs: 4\nregister:\n  policy: auto\n")
    with pytest.raises(UserError, match="edited after this line was made: train"):
        register(workspace)


def test_torn_result_and_unknown_key(make_workspace: Make) -> None:
    workspace = make_workspace()
    (workspace / "results/benchmark/benchmark.json").write_text('{"machine": {')
    with pytest.raises(UserError, match="benchmark.json is not JSON"):
        register(workspace)
    (workspace / "params.yaml").write_text("register:\n  polcy: auto\n")
    with pytest.raises(ParamsError, match="did you mean 'policy'"):
        register(workspace)


def test_export_that_was_lost_leaves_no_version(make_workspace: Make) -> None:
    workspace = make_workspace()
    (workspace / "exports/cpu-int8/pruned.onnx").unlink()
    with pytest.raises(UserError, match="file of pruned/cpu-int8 is missing"):
        register(workspace)
    assert last_version(workspace=workspace) is None and is_registered(workspace) is None
