"""`visionmill label auto` as a person types it: what it says, what it makes, what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.cli import main
from flows.datastore import make_shared
from tasks.data.store.layout import Store
from tasks.data.table import read_dataset
from tasks.labelling.prelabelling import learn, newest
from tests.labelling.quarter_pool import make_pool, write_coco

COUNT = 20


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, quarters: Path) -> Path:
    """A store with a pool of two classes, and a model."""
    folder = tmp_path_factory.mktemp("shared")
    store = make_shared(folder / "store")
    make_pool(folder, store, COUNT, labelled=False)
    make_pool(folder, store, COUNT, "truth")
    shutil.copy(quarters, folder / "model.onnx")
    return folder


@pytest.fixture
def here(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VISIONMILL_STORE", str(shared / "store"))
    monkeypatch.chdir(tmp_path)
    shutil.copy(shared / "model.onnx", tmp_path / "model.onnx")
    return tmp_path


def auto(*words: str) -> int:
    return main(["label", "auto", *words])


def test_a_pool_is_pre_labelled(here: Path, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert auto("pool", "--model", "model.onnx", "--processes", "2") == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "model looks at pool@1" and f"boxes on {COUNT} pictures are worth showing" in lines[1]
    assert [line.split()[0] for line in lines[2:5]] == ["easy", "medium", "hard"]
    assert "at least 95 of 100 are right" in lines[2] and "corrections are expected" in lines[5]
    assert "by a stated prior" in lines[6] and lines[7] == "made pool-auto@1"
    assert "visionmill mine pool@1" in lines[8] and "visionmill label send pool-auto@1" in lines[9]
    assert f"pre-labelled {COUNT}/{COUNT} (100 %)" in err
    store = Store(shared / "store")
    version = store.find("pool-auto")
    assert set(read_dataset(version.folder).annotations["source"].to_pylist()) == {"model:model"}
    assert (store.versions / "pool-auto/1.dvc").is_file()
    # again, by another number of processes: nothing is looked at, nothing is made
    assert auto("pool", "--model", "model.onnx", "--processes", "1") == 0
    out, err = capsys.readouterr()
    assert "nothing new: pool-auto@1" in out and "pre-labelled" not in err
    # people have seen them: the same command says so
    learn(newest(store.find("pool"), here), store.find("truth"), here)
    assert auto("pool", "--model", "model.onnx", "--out", "pool-learnt", "--shown", "0.5") == 0
    out = capsys.readouterr().out
    assert "  learnt from " in out and "made pool-learnt@1" in out and "(right with 50% at least)" in out


def test_options_reach_the_look(here: Path, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert auto("pool", "--model", "model.onnx", "--map", "red=red", "--drop-rest", "--no-flip", "--for", "cald",
                "--processes", "1", "--out", "reds") == 0
    assert "1 of the 2 classes of model are left out: green" in capsys.readouterr().out
    pool = Store(shared / "store").find("pool")
    made = newest(pool, here)
    assert made.facts["settings"] == {"flip": False, "aldd": False, "consistency": True}
    assert set(made.columns) == {"consistency"} and {
        label for table in made.boxes() for label in table["class_id"].to_pylist()} == {pool.meta.classes.index("red")}


def test_pictures_that_must_not_be_mirrored_are_not(here: Path, shared: Path, capsys: pytest.CaptureFixture[str]
                                                    ) -> None:
    (here / "params.yaml").write_text("train:\n  augment: {flip: none}\n")
    assert auto("pool", "--model", "model.onnx", "--processes", "1", "--out", "digits") == 0
    assert "not at mirror images: params.yaml, train.augment.flip" in capsys.readouterr().out
    assert newest(Store(shared / "store").find("pool"), here).facts["settings"]["flip"] is False
    assert auto("pool", "--model", "model.onnx", "--processes", "1", "--out", "digits", "--flip") == 0
    assert newest(Store(shared / "store").find("pool"), here).facts["settings"]["flip"] is True


def test_a_folder_of_pictures_is_imported_first(here: Path, shared: Path,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    write_coco(here / "raw", 5)
    shutil.move(here / "raw/images", here / "photos")
    assert auto("./photos", "--model", "model.onnx", "--processes", "1") == 0
    out = capsys.readouterr().out
    assert "made photos-auto@1" in out
    # the model's classes are the pool's, which had none
    assert Store(shared / "store").find("photos-auto").meta.classes == ["red", "green"]


@pytest.mark.parametrize(("words", "message"), [
    (["pool", "--model", "model.onnx", "--map", "red=red"], "the map leaves 1 of the 2 classes of model out: green"),
    (["pool", "--model", "model.onnx", "--map", "red=red,green=red"], "red, green all become red"),
    (["pool", "--model", "model.onnx", "--map", "red"], "'red' maps nothing"),
    (["pool", "--model", "model.onnx", "--map", "rde=red"], "did you mean 'red'?"),
    (["pond", "--model", "model.onnx"], "did you mean 'pool'?"),
    (["pool", "--model", "nowhere.onnx"], "no such model")])
def test_what_is_refused(here: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert auto(*words) == 2
    assert message in capsys.readouterr().err
    assert not (here / ".visionmill/prelabels").exists()


@pytest.mark.parametrize("words", [
    ["pool"], ["pool", "--model", "x", "--processes", "0"], ["pool", "--model", "x", "--shown", "2"],
    ["pool", "--model", "x", "--for", "entropy"], ["pool", "--model", "x", "--shown", "much"]])
def test_words_that_are_not_understood(here: Path, words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        auto(*words)
    assert ended.value.code == 2
