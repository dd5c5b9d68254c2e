"""A version built again in a clone: a tiny real line of DVC, whose stages need no model."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import rebuilding
from flows.commands import reproduce
from tasks.base.errors import UserError
from tasks.base.files import read_json
from tasks.registry import store

CODE = "  code:\n    cmd: {python} -P -m flows.cli stage code --out code.yaml\n    always_changed: true\n" \
       "    outs:\n    - code.yaml: {{cache: false}}\n"
LINE = """\
stages:
{code}  fetch:
    cmd: mkdir -p data/raw && echo picture > data/raw/a.txt && echo fetch >> {log}
    outs:
    - data/raw
  split:
    cmd: mkdir -p data/split && cp data/raw/a.txt data/split/t.txt && echo split >> {log}
    deps:
    - data/raw
    outs:
    - data/split
  train:
    cmd: mkdir -p models/trained runs && {train} && date +%N > runs/train.json && echo train >> {log}
    deps:
    - data/split
    params:
    - train
    outs:
    - models/trained
    - runs/train.json
"""
SAME = "cat data/split/t.txt weights.txt > models/trained/w.txt"
OTHER = "date +%s%N > models/trained/w.txt"


def call(folder: Path, *words: str) -> str:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def commit(folder: Path) -> str:
    call(folder, "git", "add", "-A")
    call(folder, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "all", "--allow-empty")
    return call(folder, "git", "rev-parse", "HEAD").strip()


class Made:
    """A workspace with its line run and one version registered."""

    def __init__(self, folder: Path, store_file: Path, train: str) -> None:
        self.path, self.log = folder, folder.parent / f"{folder.name}.log"
        folder.mkdir()
        call(folder, "git", "init", "-q")
        call(folder, sys.executable, "-P", "-m", "dvc", "init", "-q")
        code = CODE.format(python=sys.executable)
        (folder / "dvc.yaml").write_text(LINE.format(code=code, log=self.log, train=train))
        (folder / "params.yaml").write_text("train:\n  epochs: 1\nregister:\n  name: toy\n")
        (folder / "weights.txt").write_text("code that is committed\n")
        (folder / ".gitignore").write_text("/.visionmill\n/mlflow.db*\n/mlruns\n/code.yaml\n/data\n/models\n/runs\n")
        (folder / ".dvcignore").write_text(".visionmill/\n")
        shutil.copy(store_file, folder / "mlflow.db")
        commit(folder)
        call(folder, sys.executable, "-P", "-m", "dvc", "repro", "-q")
        self.register(commit(folder))

    def register(self, head: str, uncommitted: str = "no") -> None:
        mlflow = store.client(self.path)
        if not mlflow.search_registered_models("name = 'toy'"):
            mlflow.create_registered_model("toy")
        number = len(mlflow.search_model_versions("name = 'toy'")) + 1
        files = self.path / "mlruns/toy/models" / f"m-{number}" / "artifacts"
        (files / "lineage").mkdir(parents=True)
        for name in ("dvc.lock", "dvc.yaml", "params.yaml"):
            shutil.copy(self.path / name, files / "lineage" / name)
        mlflow.create_model_version("toy", files.as_uri(), None, tags={
            "visionmill.git_commit": head, "visionmill.uncommitted": uncommitted})

    def ran(self) -> list[str]:
        found = self.log.read_text().split() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return found

    def state(self) -> str:
        """Of all that a rebuild must leave alone."""
        files = sorted(path for path in self.path.rglob("*") if path.is_file() and ".visionmill" not in path.parts
                       and ".dvc/tmp" not in path.as_posix() and not path.name.startswith("mlflow.db"))
        told = [f"{path}:{hashlib.sha256(path.read_bytes()).hexdigest()}:{path.stat().st_mtime_ns}" for path in files]
        return "\n".join(told)


@pytest.fixture(scope="module")
def store_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "PYTHONPATH"):
            patch.delenv(name, raising=False)
        patch.setenv("DVC_NO_ANALYTICS", "1")
        store.client(folder)
        yield folder / "mlflow.db"


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, store_file: Path) -> Made:
    """Version 1 as it should be; the code of 2 was not committed; the commit of 3 is not here."""
    made = Made(tmp_path_factory.mktemp("line") / "toy", store_file, SAME)
    made.register(call(made.path, "git", "rev-parse", "HEAD").strip(), "weights.txt, params.yaml")
    made.register("0" * 40)
    return made


@pytest.fixture
def here(line: Made, monkeypatch: pytest.MonkeyPatch) -> Made:
    monkeypatch.chdir(line.path)
    line.ran()
    return line


def test_everything_is_equal_and_the_workspace_untouched(here: Made, tmp_path: Path,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    before = here.state()
    assert reproduce.main(["1", "--into", str(tmp_path / "again")]) == 0
    said = capsys.readouterr().out
    # fetch brings data, and is taken by its hash; the others really run, though the run cache has their outputs
    assert here.ran() == ["split", "train"] and here.state() == before
    assert "2 equal" in said and "data, taken by its hash" in said and "code: of every stage that ran, as it" in said
    assert read_json(tmp_path / "again/.visionmill/compared.json")
    assert (tmp_path / "again/models/trained/w.txt").read_text() == "picture\ncode that is committed\n"
    settings = tmp_path / "again/.dvc/config.local"
    assert settings.stat().st_mode & 0o077 == 0 and "visionmill-first" in settings.read_text()
    # again: nothing runs twice; --check runs nothing, and sees what was changed by hand
    assert reproduce.main(["1", "--into", str(tmp_path / "again")]) == 0 and here.ran() == []
    (tmp_path / "again/models/trained/w.txt").unlink()
    assert reproduce.main(["1", "--into", str(tmp_path / "again"), "--check"]) == 0 and here.ran() == []


@pytest.mark.slow
def test_the_default_folder_is_ignored_by_git_and_dvc(here: Made) -> None:
    assert reproduce.main(["1", "--stages", "split"]) == 0 and here.ran() == ["split"]
    assert (here.path / ".visionmill/again/toy-1/data/split/t.txt").read_text() == "picture\n"
    assert call(here.path, "git", "status", "--porcelain") == ""
    shutil.rmtree(here.path / ".visionmill/again")


@pytest.mark.slow
def test_one_stage_takes_its_inputs_as_they_were(here: Made, tmp_path: Path) -> None:
    assert reproduce.main(["1", "--stages", "train", "--into", str(tmp_path / "again")]) == 0
    assert here.ran() == ["train"]
    assert (tmp_path / "again/data/split/t.txt").exists()


@pytest.mark.slow
def test_data_that_is_nowhere(here: Made, tmp_path: Path) -> None:
    cache = here.path / ".dvc/cache"
    cache.rename(tmp_path / "away")
    try:
        with pytest.raises(UserError, match="the data is not to be had"):
            reproduce.main(["1", "--into", str(tmp_path / "again")])
    finally:
        (tmp_path / "away").rename(cache)
    assert reproduce.main(["1", "--into", str(tmp_path / "again")]) == 0  # what was made of the clone is used


@pytest.mark.slow
def test_a_killed_rebuild_goes_on(here: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                  capsys: pytest.CaptureFixture[str]) -> None:
    real, asked = rebuilding.stages.stream, []

    def broken(command: list[str], *words: object) -> tuple[int, list[str]]:
        asked.append(command[-1])
        if command[-1] == "train" and asked.count("train") == 1:
            return -9, ["ERROR: it was killed"]
        return real(command, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(rebuilding.stages, "stream", broken)
    assert reproduce.main(["1", "--into", str(tmp_path / "again")]) == 1
    said = capsys.readouterr().out
    assert "train failed: ERROR: it was killed" in said and "not rebuilt" in said
    assert reproduce.main(["1", "--into", str(tmp_path / "again")]) == 0
    assert asked == ["code", "split", "train", "train"] and here.ran() == ["split", "train"]


@pytest.mark.slow
def test_a_killed_clone_leaves_nothing_that_stops_the_next(here: Made, tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(rebuilding, "_settings", lambda *words: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            reproduce.main(["1", "--into", str(tmp_path / "again")])
    assert not (tmp_path / "again").exists()
    assert reproduce.main(["1", "--stages", "split", "--into", str(tmp_path / "again")]) == 0


def test_what_is_refused(here: Made, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter.txt").write_text("mine")
    for words, said in ((["1", "--into", str(tmp_path / "full")], "holds no rebuild of this version"),
                        (["1", "--into", str(here.path)], "is the workspace itself"),
                        (["1", "--into", str(here.path.parent)], "is the workspace itself"),
                        (["1", "--stages", "trian"], "no stage is called 'trian'"),
                        (["1", "--tolerance", "7"], "between 0 and 1"),
                        (["1", "--check", "--into", str(tmp_path / "nothing")], "nothing was built"),
                        (["2", "--into", str(tmp_path / "two")], r"not committed as it ran \(weights.txt, params.yaml"),
                        (["3", "--into", str(tmp_path / "three")], "is not in this repository"),
                        (["nobody"], "no alias 'nobody'")):
        with pytest.raises(UserError, match=said):
            reproduce.main(words)
    assert here.ran() == [] and (tmp_path / "full/letter.txt").read_text() == "mine"


@pytest.fixture
def restless(tmp_path: Path, store_file: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """A line whose weights are others each time, registered a second time as code was not committed."""
    made = Made(tmp_path / "restless", store_file, OTHER)
    made.register(call(made.path, "git", "rev-parse", "HEAD").strip(), "weights.txt, params.yaml")
    made.register("none", "no repository")
    monkeypatch.chdir(made.path)
    return made


@pytest.mark.slow
def test_what_differs_and_what_nobody_can_promise(restless: Made, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    assert reproduce.main(["1", "--into", str(tmp_path / "one")]) == 3
    said = capsys.readouterr().out
    assert "models/trained  differs" in said and "w.txt" in said and "1 equal, 1 differs" in said
    assert reproduce.main(["2", "--stages", "split", "--anyway", "--into", str(tmp_path / "two")]) == 0
    assert "warning: the code of this version was not committed" in capsys.readouterr().out
    assert reproduce.main(["3", "--stages", "split", "--anyway", "--into", str(tmp_path / "three")]) == 0


@pytest.mark.slow
def test_a_version_without_artefacts(restless: Made, tmp_path: Path) -> None:
    shutil.rmtree(restless.path / "mlruns")
    mlflow = store.client(restless.path)
    mlflow.set_model_version_tag("toy", "1", "visionmill.git_commit", "none")
    with pytest.raises(UserError, match="cannot be built again: dvc.lock"):
        reproduce.main(["1", "--into", str(tmp_path / "one")])


def test_a_workspace_below_the_top_of_its_repository(tmp_path: Path) -> None:
    call(tmp_path, "git", "init", "-q")
    (tmp_path / "inside").mkdir()
    assert rebuilding._below(tmp_path / "inside") == Path("inside") and rebuilding._below(tmp_path) == Path()
