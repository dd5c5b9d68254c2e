from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.commands import plugin
from tasks.base.errors import DataError, UserError
from tasks.data.store.layout import Store, Version
from tasks.plugins.miner import rank
from tasks.plugins.trainer import train
from tests.plugins.programs import describe

Pool = tuple[Store, Version]


def test_pictures_are_ranked(tmp_path: Path, pool: Pool) -> None:
    store, version = pool
    found = rank(f"plugin:{describe(tmp_path, 'good')}", version, store, tmp_path)
    # pictures 5 and 6 have one content, and one score
    assert found == pytest.approx({0: 1.0, 1: 0.9, 2: 0.8, 3: 0.7, 4: 0.6, 5: 0.5, 6: 0.5})
    assert list(found) == [0, 1, 2, 3, 4, 5, 6]
    assert rank("good", version, store, tmp_path, image_ids=[4, 2]) == pytest.approx({2: 1.0, 4: 0.9})


def test_scores_count_where_the_order_is_another(tmp_path: Path, pool: Pool,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    found = rank(describe(tmp_path, "unsorted"), pool[1], pool[0], tmp_path)
    assert list(found)[:2] == [0, 1]
    assert "not sorted by score (result.tsv:2: a score of 0.6 after one of 0.5)" in capsys.readouterr().err


@pytest.mark.parametrize(("how", "words"), [
    ("nothing", "there is no result.tsv"), ("rubbish", "expected a picture, a tab and a finite score"),
    ("nan", "expected a picture, a tab and a finite score"), ("twice", "is there twice"),
    ("climbs", "'../../etc/passwd' is not one of the pictures")])
def test_a_ranking_that_cannot_be_used_is_refused(tmp_path: Path, pool: Pool, how: str, words: str) -> None:
    with pytest.raises(DataError) as raised:
        rank(describe(tmp_path, how), pool[1], pool[0], tmp_path)
    assert words in str(raised.value)


@pytest.mark.parametrize("form", ["ark", "voc", "coco"])
def test_a_model_is_trained(tmp_path: Path, pool: Pool, form: str) -> None:
    store, version = pool
    told = train(describe(tmp_path, "good", annotations=form), version.folder, store.pictures, tmp_path / "out",
                 tmp_path)
    assert told["best"] == "epoch1" and told["stages"] == {"epoch1": {"files": ["weights.bin"], "mAP": 0.5}}
    assert json.loads((tmp_path / "out/trained.json").read_text()) == told
    lines = (tmp_path / "out/epoch1/weights.bin").read_text().splitlines()
    # of seven pictures two judge, and two of the others are one
    assert len(lines) == 4 and all(len(line.split("\t")) == 2 for line in lines)
    ending = {"ark": ".txt", "voc": ".xml", "coco": "coco-annotations.json"}[form]
    assert all(line.split("\t")[0].endswith(".png") and line.endswith(ending) for line in lines)


@pytest.mark.parametrize(("how", "words"), [
    ("nothing", "there is no result.yaml"), ("rubbish", "is not YAML"), ("list", "'absent.bin' is no file"),
    ("climbs", "is no file in the folder of models"), ("link", "'secret' is no file"),
    ("classes", "'epoch9' is none of its stages")])
def test_models_that_cannot_be_used_are_refused(tmp_path: Path, pool: Pool, how: str, words: str) -> None:
    with pytest.raises(UserError) as raised:
        train(describe(tmp_path, how), pool[1].folder, pool[0].pictures, tmp_path / "out", tmp_path)
    assert words in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_a_person_trains_by_the_command(tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch,
                                        capsys: pytest.CaptureFixture[str]) -> None:
    describe(tmp_path, "good")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VISIONMILL_STORE", str(pool[0].root))
    assert plugin.main(["run", "plugin:good", "--train", "pool", "--out", "models/good", "--set", "epochs=3"]) == 0
    assert capsys.readouterr().out == "epoch1 (best): weights.bin, mAP 0.500 by its own count\nwritten to models/good\n"
    assert (tmp_path / "models/good/epoch1/weights.bin").is_file()
    with pytest.raises(UserError, match="'epochs' is not KEY=VALUE"):
        plugin.main(["run", "good", "--train", "pool", "--out", "models/x", "--set", "epochs"])
