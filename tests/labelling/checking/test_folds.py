"""Out-of-fold predictions by real trainings of two steps: kept, gone on with, near-duplicates together."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tasks.base.errors import DataError, UserError, WorkspaceBusy
from tasks.data.classes import ClassList
from tasks.data.store.importing import Importing, bring_in
from tasks.data.store.layout import Store, Version
from tasks.data.table import read_dataset
from tasks.improving import light
from tasks.labelling.checking.folds import PLACE, Folds, predict_out_of_fold
from tasks.labelling.checking.speaking import BY_FOLDS, find_speaker
from tasks.metrics.detections import SCHEMA

from .conftest import Place, by_model, make_raw

SMALL = Folds(folds=2, steps=2, size=64, init="scratch")
PICTURES = 8


@pytest.fixture
def twins(tmp_path: Path) -> tuple[Store, Version]:
    """Eight pictures; the last two show the same as the first two, saved otherwise."""
    raw = make_raw(tmp_path / "raw", PICTURES)
    for number in (0, 1):
        with Image.open(raw / f"{number:03d}.png") as picture:
            picture.resize((192, 128), Image.Resampling.LANCZOS).resize((96, 64)).save(raw / f"{number + 6:03d}.png")
    store = Store(tmp_path / "store")
    return store, bring_in(store, Importing(raw, "squares", "here", ClassList([])), "me").version


def test_each_fold_is_judged_by_who_has_not_seen_it_and_what_is_done_stays(
        twins: tuple[Store, Version], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, version = twins
    asked: list[tuple[list[int], Path]] = []
    real = light.train_and_judge

    def watched(folder: Path, raw: Path, settings: light.Light, **more: object) -> light.Judged:
        asked.append((more["judge"].images["image_id"].to_pylist(), more["out"]))  # type: ignore[attr-defined, arg-type]
        if len(asked) == 2:
            raise KeyboardInterrupt
        return real(folder, raw, settings, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(light, "train_and_judge", watched)
    with pytest.raises(KeyboardInterrupt):
        predict_out_of_fold(version.folder, store.pictures, SMALL, tmp_path)
    first = asked[0][1] / "light.json"
    before = first.stat().st_mtime_ns
    said: list[str] = []
    made = predict_out_of_fold(version.folder, store.pictures, SMALL, tmp_path, said.append)
    # the first fold was read, the second made
    assert len(asked) == 4 and first.stat().st_mtime_ns == before and len(said) == 2
    assert made.fold[0] == made.fold[6] and made.fold[1] == made.fold[7] and set(made.fold.tolist()) == {0, 1}
    assert made.predictions.schema == SCHEMA and made.folder.parent == tmp_path / PLACE
    for number in (0, 1):
        told = light.read_json(made.folder / f"fold-{number}/light.json")["metrics"]
        judged = np.flatnonzero(made.fold == number)
        assert told["train_images"] == PICTURES - len(judged) and asked[2 + number][0] == judged.tolist()
        found = pq.read_table(made.folder / f"fold-{number}/detections.parquet")
        assert set(found["image_id"].to_pylist()) <= set(judged.tolist())
    again = predict_out_of_fold(version.folder, store.pictures, SMALL, tmp_path, said.append)
    assert again.predictions.equals(made.predictions) and again.folder == made.folder


def test_too_few_pictures_and_two_commands_at_once(twins: tuple[Store, Version], tmp_path: Path) -> None:
    store, version = twins
    with pytest.raises(DataError, match="8 pictures are too few for 5 folds"):
        predict_out_of_fold(version.folder, store.pictures, SMALL.model_copy(update={"folds": 5}), tmp_path)
    held: list[Path] = []

    def hold(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            held.append(folder)
            with pytest.raises(WorkspaceBusy, match="another command trains these folds"):
                predict_out_of_fold(version.folder, store.pictures, SMALL, tmp_path)

    from tasks.labelling.checking.folds import _key

    hold(tmp_path / PLACE / _key(version.folder, SMALL, SMALL.light()))
    assert held


def test_pictures_that_hang_together_are_told(tmp_path: Path) -> None:
    raw = make_raw(tmp_path / "raw", 1)
    for number in range(1, 4):
        (raw / f"{number:03d}.png").write_bytes((raw / "000.png").read_bytes())
    told = light.read_json(raw / "instances.json")
    told["images"] = [told["images"][0] | {"id": n, "file_name": f"{n:03d}.png"} for n in range(4)]
    light.write_json(raw / "instances.json", told)
    store = Store(tmp_path / "store")
    version = bring_in(store, Importing(raw, "same", "here", ClassList([])), "me").version
    with pytest.raises(DataError, match="near-duplicates and groups stay together, which leaves 1"):
        predict_out_of_fold(version.folder, store.pictures, SMALL, tmp_path)


def test_who_speaks(place: Callable[[int], Place], tmp_path: Path) -> None:
    here = place(6)
    auto = here.publish("auto", by_model(here.dataset.annotations, np.full(18, 0.9)))
    said: list[str] = []
    found = find_speaker(here.store, here.truth, here.dataset, tmp_path, SMALL, predictions="auto", tell=said.append)
    assert found.spoken.by == "cells@3" and found.said == {"predictions": "cells@3"}
    assert said == [one for one in said if "is not known here" in one] != []
    with pytest.raises(UserError, match="no file and no dataset 'autoo'"):
        find_speaker(here.store, here.truth, here.dataset, tmp_path, SMALL, predictions="autoo")
    with pytest.raises(UserError, match="squares@1 has not been pre-labelled by cells@3"):
        find_speaker(here.store, here.truth, here.dataset, tmp_path, SMALL, model="cells@3")
    bare = here.publish("bare", here.dataset.annotations.slice(0, 0))
    with pytest.raises(DataError, match="bare@1 has no labels that could be wrong"):
        find_speaker(here.store, bare, read_dataset(bare.folder), tmp_path, SMALL)
    few = here.publish("few", read_dataset(auto.folder).annotations.slice(0, 6), keep=np.arange(2))
    some = find_speaker(here.store, here.truth, here.dataset, tmp_path, SMALL, predictions="few", tell=said.append)
    assert some.spoken.images.tolist() == [0, 1] and few.number == 1
    assert said[-1] == "4 pictures have no predictions: their labels are not checked"
    trained = find_speaker(here.store, here.truth, here.dataset, tmp_path, SMALL, tell=said.append)
    assert trained.spoken.by == BY_FOLDS and "2 models" in trained.facts[0][1]
