"""`visionmill mine`: what a person types, and what stands on the console."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows import cli
from flows.datastore import DVC, open_store, owner
from flows.workspace import render, surroundings
from tasks.data.store.site import store_of
from tests.labelling.ponds import folder_of, looked_at, pond


def call(*command: str, cwd: Path) -> None:
    subprocess.run(command, cwd=cwd, capture_output=True, check=True)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with git and DVC; two pools, one of them looked at; and a folder of pictures beside it."""
    root = tmp_path_factory.mktemp("mine")
    folder = root / "workspace"
    folder.mkdir()
    call("git", "init", "-q", cwd=folder)
    call(*DVC, "init", "-q", cwd=folder)
    for name in ("dvc.yaml", "params.yaml"):
        (folder / name).write_text(render(name, "catalogue"))
    for name, text in surroundings().items():
        (folder / name).write_text(text)
    folder_of(root / "pictures", range(14))
    store = store_of(folder)
    pool = pond(store, root / "pictures", [], "pool")
    looked_at(pool, store, folder)
    pond(store, root / "pictures", [], "bare")
    return folder


@pytest.fixture
def here(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("VISIONMILL_STORE", raising=False)
    monkeypatch.chdir(workspace)
    return workspace


def test_the_list_of_strategies(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["mine", "--list"]) == 0
    said = capsys.readouterr().out
    assert "mixed     unsure boxes of poorly known classes" in said and "--set epsilon=0.05" in said


def test_a_folder_becomes_a_pool_is_mined_and_mined_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["mine", "../pictures", "--strategy", "coverage", "--budget", "4"]) == 0
    said = capsys.readouterr().out
    assert "pictures-picked@1: 4 of the 14 pictures of pictures@1, by coverage" in said
    assert "rank     score" in said and "unlike all that is labelled or picked" in said
    assert "no model has looked" in said and "next:    visionmill label send pictures-picked" in said
    for part in ("versions/pictures/1.dvc", "pictures/pictures-1.dvc", "versions/pictures-picked/1.dvc"):
        assert (here / "data/store" / part).is_file(), "DVC tracks the pool and the pick"
    # the picks of the first round are known in the second
    assert cli.main(["mine", "pictures", "--strategy", "random", "--budget", "30", "--set", "seed=3"]) == 0
    said = capsys.readouterr().out
    assert "pictures-picked@2: 10 of the 14" in said and "4 pictures are labelled or were picked" in said
    assert "the budget of 30 is larger than what is left of the pool: all 10 are taken" in said
    assert cli.main(["mine", "pictures", "--strategy", "random"]) == 2
    assert "nothing is left of the 14 pictures of the pool" in capsys.readouterr().err


def test_with_prelabels_known_versions_and_parameters(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store()
    assert cli.main(["mine", "pool", "--budget", "5", "--out", "first", "--set", "quality={cell: 0.9}", "times=2"]) == 0
    said = capsys.readouterr().out
    assert "first@1: 5 of the 14 pictures of pool@1, by mixed" in said and "weighted bits open" in said
    assert "boxes:   cell" in said
    picked = store.find("first").meta.recipe["labels"]["picked"]
    assert picked["parameters"]["quality"] == {"cell": 0.9} and picked["parameters"]["times"] == 2
    assert cli.main(["mine", "pool", "--strategy", "entropy", "--budget", "50", "--model", "reader@1", "--out", "rest",
                     "--known", "first"]) == 0
    first, rest = (set(pq.read_table(store.find(name).folder / "images.parquet")["digest"].to_pylist())
                   for name in ("first", "rest"))
    assert len(rest) == 9 and not first & rest
    assert store.find("rest").facts["owner"] == owner()
    assert cli.main(["mine", "pool", "--chunk", "6", "--budget", "2", "--out", "blocks"]) == 0
    assert store.find("blocks").meta.recipe["labels"]["picked"]["block"] == [0, 5]


def test_a_pool_is_imported_shown_and_exported(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data", "import", "../pictures", "--format", "pictures", "--name", "lake"]) == 0
    said = capsys.readouterr().out
    assert "pictures without labels" in said and "14 pictures, 0 labels" in said and "made lake@1" in said
    assert cli.main(["data", "show", "lake"]) == 0
    assert "pictures:  14" in capsys.readouterr().out
    assert cli.main(["data", "export", "lake", "--format", "pictures", "--out", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out").rglob("*.png"))) == 14 and "lost" not in capsys.readouterr().out


def test_pool_auto_stands_for_its_pool(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store()
    looked_at(store.find("pool"), store, Path()).version(store, "pool-auto", owner())
    assert cli.main(["mine", "pool-auto", "--strategy", "entropy", "--budget", "3", "--out", "auto-picked"]) == 0
    assert "auto-picked@1: 3 of the 14 pictures of pool@1" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "told"), [
    ([], "which pool"), (["nowhere"], "no dataset is called 'nowhere'"),
    (["pool", "--strategy", "covrage"], "did you mean 'coverage'"), (["pool", "--budget", "0"], "budget: at least 1"),
    (["pool", "--set", "most"], "--set 'most' is not KEY=VALUE"),
    (["pool", "--set", "most=many"], "most: Input should be a valid integer"),
    (["pool", "--known", "nothing"], "no dataset is called 'nothing'"),
    (["pool", "--model", "cells@3"], "pool@1 has not been pre-labelled by cells@3"),
    (["pool", "--strategy", "aldd"], "label auto pool@1 --model models:/reader/1 --for aldd"),
    (["bare", "--strategy", "mixed"], "no model has looked at bare@1"),
    (["pool", "--strategy", "failures"], "no trained model"),
    (["pool", "--strategy", "plugin:nobody"], "nobody"),
])
def test_bad_words(here: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["mine", *words]) == 2
    assert told in capsys.readouterr().err


def test_outside_a_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VISIONMILL_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["mine", "pool"]) == 2
