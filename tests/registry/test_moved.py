"""Workspaces that are moved, copied, or share a store: what was tracked is found again, and nobody writes elsewhere."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tasks.base.files import digest_tree
from tasks.registry import moved, store
from tasks.registry.register import register
from tasks.registry.runs import stage_run
from tasks.registry.versions import champion, last_version, resolve_model

from .cases import LINE, write_line

Make = Callable[..., Path]


REGISTER = ("import sys; from pathlib import Path; from tasks.registry.register import register\n"
            "done = register(Path(sys.argv[1])); print(done.name, done.version, done.new, *done.aliases)")


def start(code: str, *words: object, **env: str) -> subprocess.Popen[str]:
    """A process of its own: MLflow remembers where a run's artefacts lie for as long as a process lives."""
    path = ":".join([str(Path(__file__).resolve().parents[2]), *(path for path in sys.path if path)])
    return subprocess.Popen([sys.executable, "-c", code, *map(str, words)], cwd="/", text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": path, **env})


def ended(process: subprocess.Popen[str]) -> str:
    """What it printed."""
    try:
        out, err = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 0, err
    return out.strip()


def addresses(workspace: Path) -> list[str]:
    """Every text in the workspace's MLflow file that names a folder."""
    with closing(sqlite3.connect(workspace / "mlflow.db")) as base:
        tables = [row[0] for row in base.execute("select name from sqlite_master where type = 'table'")]
        return [str(value) for table in tables for row in base.execute(f"select * from {table}") for value in row
                if isinstance(value, str) and value.startswith(("/", "file:"))]


def test_moved_workspace_goes_on(make_workspace: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = make_workspace("cells")
    first = register(old)
    new = tmp_path / "other ünder" / "blood"
    new.parent.mkdir()
    old.rename(new)
    capsys.readouterr()
    found = champion(workspace=new)
    assert found is not None and (found["name"], found["version"]) == ("cells", "1")
    told = capsys.readouterr().err
    assert f"was moved or copied from {old}" in told and str(new) in told
    assert addresses(new) and not [text for text in addresses(new) if str(old) in text]
    assert resolve_model("models:/cells@champion", workspace=new).read_bytes() == (
        new / "exports/cpu-int8/pruned.onnx").read_bytes()
    mlflow = store.client(new)
    assert capsys.readouterr().err == "", "it is said once"
    assert {file.path for file in mlflow.list_artifacts(first.run_id, "version-1")} >= {"version-1/gate.json"}
    assert ended(start(REGISTER, new)) == "cells 1 False candidate champion"
    write_line(new, ap=0.6)
    assert ended(start(REGISTER, new)) == "cells 2 True candidate champion"
    assert (resolve_model("models:/cells/2", "lineage", new) / "dvc.lock").is_file() and not old.exists()


def test_mlflow_itself_opens_a_moved_version(make_workspace: Make, tmp_path: Path) -> None:
    """In a process of its own and from another folder, as `mlflow models serve` does."""
    old = make_workspace("cells")
    register(old)
    new = tmp_path / "moved"
    old.rename(new)
    champion(workspace=new)
    code = ("import mlflow; model = mlflow.pyfunc.load_model('models:/cells@champion')\n"
            "print(model.metadata.model_id)\n"
            "print(len(model.predict(model.input_example)))")
    told = ended(start(code, MLFLOW_TRACKING_URI=store.own_uri(new), MLFLOW_DISABLE_TELEMETRY="true"))
    assert told.startswith("m-") and told.endswith("\n1")


def test_copy_and_original_know_nothing_of_each_other(make_workspace: Make, tmp_path: Path) -> None:
    original = make_workspace("cells")
    register(original)
    copy = tmp_path / "copy"
    shutil.copytree(original, copy)
    before = digest_tree(original)
    write_line(copy, ap=0.6)
    assert ended(start(REGISTER, copy)).startswith("cells 2 True")
    assert not [text for text in addresses(copy) if str(original) in text]
    assert digest_tree(original) == before
    assert champion(workspace=original)["version"] == "1"  # type: ignore[index]
    assert not [text for text in addresses(original) if str(copy) in text]


def test_copy_without_its_artefacts_does_not_write_into_the_original(make_workspace: Make, tmp_path: Path) -> None:
    original = make_workspace("cells")
    register(original)
    copy = tmp_path / "copy"
    shutil.copytree(original, copy, ignore=shutil.ignore_patterns("mlruns"))
    before = digest_tree(original / "mlruns")
    write_line(copy, ap=0.6)
    assert ended(start(REGISTER, copy)).startswith("cells 2 True")
    assert digest_tree(original / "mlruns") == before and list((copy / "mlruns/cells").iterdir())


def test_killed_while_it_follows(make_workspace: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = make_workspace("cells")
    register(old)
    was = sorted(addresses(old))
    new = tmp_path / "moved"
    old.rename(new)
    point, calls = moved._point, []

    def break_off(*given: object) -> None:
        calls.append(given)
        if len(calls) == 3:
            raise KeyboardInterrupt
        point(*given)  # type: ignore[arg-type]

    with monkeypatch.context() as broken:  # the fixtures' settings stay
        broken.setattr(moved, "_point", break_off)
        with pytest.raises(KeyboardInterrupt):
            store.client(new)
    assert sorted(addresses(new)) == was, "all of it or nothing"
    assert resolve_model("models:/cells/1", workspace=new).is_file()


def test_own_experiments_of_a_person_stay(make_workspace: Make, tmp_path: Path) -> None:
    old = make_workspace("cells")
    elsewhere = (tmp_path / "elsewhere").as_uri()
    store.client(old).create_experiment("mine", artifact_location=elsewhere)
    new = tmp_path / "moved"
    old.rename(new)
    assert store.client(new).get_experiment_by_name("mine").artifact_location == elsewhere


def test_two_workspaces_share_one_file(make_workspace: Make, tmp_path: Path, empty_store: Path,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    """Each keeps its own model, and the file's owner moves nothing of the other's."""
    cells, parts = make_workspace("cells"), make_workspace("parts")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.own_uri(cells))
    register(cells)
    register(parts)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert champion("cells", cells)["version"] == champion("parts", cells)["version"] == "1"  # type: ignore[index]
    for name, workspace in (("cells", cells), ("parts", parts)):
        assert resolve_model(f"models:/{name}@champion", workspace=cells).read_bytes() == (
            workspace / "exports/cpu-int8/pruned.onnx").read_bytes()


def test_two_processes_make_one_file(tmp_path: Path) -> None:
    """Of two workspaces that share it, so that neither workspace's own lock helps."""
    code = ("import sys; from pathlib import Path; from tasks.registry import store\n"
            "work = Path(sys.argv[1]); work.mkdir(); print(store.experiment(store.client(work), work))")
    uri = f"sqlite:///{tmp_path}/shared.db"
    both = [start(code, tmp_path / name, MLFLOW_TRACKING_URI=uri) for name in ("one", "two")]
    assert sorted(ended(process) for process in both) == ["1", "2"]


def test_two_registrations_at_once(make_workspace: Make) -> None:
    workspace = make_workspace("cells")
    both = [start(REGISTER, workspace) for _ in range(2)]
    assert sorted(ended(process).split()[2] for process in both) == ["False", "True"]
    assert last_version(workspace=workspace)["version"] == "1"  # type: ignore[index]


@pytest.mark.parametrize("named", [True, False])
def test_name_is_kept_from_the_first_run_on(tmp_path: Path, quiet: None, empty_store: Path, named: bool) -> None:
    workspace = tmp_path / "cells"
    workspace.mkdir()
    shutil.copy(empty_store, workspace / "mlflow.db")
    if named:
        (workspace / "params.yaml").write_text("register:\n  name: blood\n")
    with stage_run("train", line=LINE, params={}, record=workspace / "runs/train.json", workspace=workspace):
        pass
    workspace.rename(tmp_path / "renamed")
    assert store.workspace_name(tmp_path / "renamed") == ("blood" if named else "cells")
    assert (tmp_path / "renamed" / store.NAME).exists() is not named


@pytest.mark.parametrize(("address", "printed"), [
    ("postgresql://team:pa:ss@w0rd@host:5432/mlflow", "postgresql://team:***@host:5432/mlflow"),
    ("postgresql://host/db?user=a&password=secret&sslmode=require",
     "postgresql://host/db?user=a&password=***&sslmode=require"),
    ("could not reach smtp://me:hunter2@mail:25 today", "could not reach smtp://me:***@mail:25 today"),
    ("http://127.0.0.1:5000", "http://127.0.0.1:5000"), ("sqlite:////a/b@c/mlflow.db", "sqlite:////a/b@c/mlflow.db")])
def test_passwords_are_not_printed(address: str, printed: str) -> None:
    assert store.shown(address) == printed


def test_the_site_says_where(tmp_path: Path, quiet: None, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf/site").mkdir(parents=True)
    (tmp_path / "conf/site/here.yaml").write_text("mlflow:\n  uri: ${MLFLOW_PLACE}\n  artifacts: s3://models/runs/\n")
    monkeypatch.setenv("VISIONMILL_SITE", "here")
    monkeypatch.setenv("MLFLOW_PLACE", "postgresql://team:x@127.0.0.1/mlflow")
    assert store.tracking_uri(tmp_path) == "postgresql://team:x@127.0.0.1/mlflow"
    assert store.artifact_place("cells", tmp_path) == "s3://models/runs/cells"
    monkeypatch.setenv("MLFLOW_PLACE", "http://127.0.0.1:5000")
    assert store.artifact_place("cells", tmp_path) is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/else/mlflow.db")
    assert store.tracking_uri(tmp_path).endswith("/else/mlflow.db")
    monkeypatch.setenv("VISIONMILL_SITE", "local")
    assert store.artifact_place("cells", tmp_path) == (tmp_path / "else/mlruns/cells").as_uri()
