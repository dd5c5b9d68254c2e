"""A pool is looked at once, whatever happens on the way, and what was found is as the teacher says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.base.errors import DataError, UserError
from tasks.data.classes import ClassList
from tasks.data.store.importing import Importing, bring_in
from tasks.data.table import read_dataset
from tasks.labelling.prelabelling import Prelabels, Settings, newest, prelabel
from tasks.labelling.prelabelling.changed import covered, mirror, smaller
from tasks.labelling.prelabelling.shards import BOXES, Rows, shard_size
from tasks.labelling.teachers import open_teacher
from tests.labelling.quarter_pool import CELLS, COUNT, QUICK, Made, quarters_of, stamps, whole


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, quarters: Path) -> Made:
    return Made(tmp_path_factory.mktemp("ws"), quarters)


@pytest.fixture(scope="module")
def looked(made: Made) -> Prelabels:
    """By two processes, with everything."""
    return made.look(Settings(consistency=True), processes=2)


@pytest.fixture
def own(tmp_path: Path, quarters: Path) -> Made:
    return Made(tmp_path, quarters)


def test_every_picture_and_each_of_its_boxes(made: Made, looked: Prelabels) -> None:
    table = whole(looked)
    ids = table["image_id"].to_numpy()
    assert np.all(np.diff(ids) >= 0) and looked.image_id.tolist() == list(range(COUNT))
    for image, seed in enumerate(made.seeds(looked.image_id)):
        wanted = {(*cell, channel) for cell, channel in zip(CELLS, quarters_of(seed), strict=True)
                  if channel in (0, 1)}
        rows = table.filter(pa.array(ids == image)).to_pylist()
        assert {(row["x"], row["y"], row["class_id"]) for row in rows} == wanted
        assert all((row["w"], row["h"]) == (48, 32) and abs(row["score"] - 230 / 255) < 1e-2 for row in rows)
    assert "polygons" not in table.column_names and looked.unreadable == {}
    # the mirrored picture says the same
    assert table["flip"].to_numpy() == pytest.approx(1, abs=1e-3)
    assert table["margin"].to_numpy() == pytest.approx(table["score"].to_numpy(), abs=1e-6)


def test_what_is_known_of_them(made: Made, looked: Prelabels) -> None:
    facts = looked.facts
    assert (facts["model"], facts["classes"], facts["pictures"]) == ("quarters", ["red", "green"], COUNT)
    assert facts["pool"]["ref"] == "pool@1" and facts["pool"]["digest"] == made.pool.digest
    assert facts["boxes"] == whole(looked).num_rows and facts["unreadable"] == 0
    assert looked.workspace == made.path and looked.name == "quarters"
    vectors = looked.vectors
    assert vectors.shape == (COUNT, 256) and vectors.dtype == np.float16
    plain = [seed for seed, image in zip(made.seeds(looked.image_id), looked.image_id.tolist(), strict=True)
             if not vectors[image].any()]
    # a picture that is black, or blue, in all of its quarters shows nothing
    assert all(len(set(quarters_of(seed))) == 1 for seed in plain)


def test_processes_change_nothing(made: Made, looked: Prelabels, tmp_path: Path) -> None:
    made_alone = prelabel(made.pool, made.store, open_teacher(str(made.quarters), ["red", "green"],
                          workspace=tmp_path), Settings(consistency=True, vectors=False), tmp_path)
    assert whole(made_alone).equals(whole(looked)) and not (made_alone.folder / "vectors.npy").exists()
    assert made_alone.folder.name == looked.folder.name and np.array_equal(
        made_alone.columns["consistency"], looked.columns["consistency"])


def test_a_second_time_there_is_nothing_to_do(made: Made, looked: Prelabels) -> None:
    before = stamps(looked.folder)
    again = made.look(Settings(consistency=True), teacher=made_like(made))
    assert again.folder == looked.folder and stamps(looked.folder) == before


def made_like(made: Made) -> Any:
    """The same teacher, which must not be asked."""
    teacher = open_teacher(str(made.quarters), ["red", "green"], workspace=made.path)
    teacher.ask = lambda pictures: pytest.fail("asked again")  # type: ignore[method-assign]
    return teacher


def test_other_settings_and_other_classes_are_other_prelabels(made: Made, looked: Prelabels) -> None:
    quick = made.look(QUICK)
    fewer = made.look(QUICK, classes=["green"])
    assert len({looked.folder, quick.folder, fewer.folder}) == 3
    assert "flip" not in whole(quick).column_names and quick.columns == {}
    assert set(whole(fewer)["class_id"].to_pylist()) == {0} and fewer.classes == ["green"]
    # the vectors are no other pre-labels: they are made when they are asked for, now or later
    assert not (quick.folder / "vectors.npy").exists()
    assert made.look(Settings(flip=False, vectors=True)).folder == quick.folder
    assert (quick.folder / "vectors.npy").is_file() and np.array_equal(quick.vectors, looked.vectors)


def test_the_newest_is_what_was_asked_for_last(made: Made, looked: Prelabels) -> None:
    fewer = made.look(QUICK, classes=["green"])
    assert newest(made.pool, made.path).folder == fewer.folder
    made.look(Settings(consistency=True))
    assert newest(made.pool, made.path).folder == looked.folder
    assert newest(made.pool, made.path, "quarters").folder == looked.folder
    with pytest.raises(UserError, match="pool@1 has not been pre-labelled by cells@3") as told:
        newest(made.pool, made.path, "cells@3")
    assert "visionmill label auto pool@1 --model cells@3" in str(told.value)


def test_nobody_has_looked(made: Made, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has not been pre-labelled") as told:
        newest(made.pool, tmp_path)
    assert "visionmill label auto pool@1 --model models:/NAME@champion" in str(told.value)


def test_pictures_that_cannot_be_read_are_listed_and_tried_again(own: Made) -> None:
    broken, gone = own.places()[3], own.places()[20]
    content = broken.read_bytes()
    for path in (broken, gone):
        path.chmod(0o644)
    broken.write_bytes(content[:60])
    kept = gone.with_suffix(".kept")
    gone.rename(kept)
    found = own.look(QUICK, processes=2)
    assert sorted(found.unreadable) == [3, 20] and "truncated" in found.unreadable[3]
    assert found.facts["unreadable"] == 2 and found.readable.tolist() == [i for i in range(COUNT) if i not in (3, 20)]
    assert not set(whole(found)["image_id"].to_pylist()) & {3, 20} and found.pictures().num_rows == COUNT - 2
    version, _ = found.version(own.store, "out", "me")
    told = [text for text in read_dataset(version.folder).images["attributes"].to_pylist() if "unreadable" in text]
    assert len(told) == 2
    # one is mended: its shard alone is done again
    before = stamps(found.folder)
    assert not found.vectors[20].any()
    kept.rename(gone)
    again = own.look(QUICK)
    assert again.vectors[20].any()
    assert sorted(again.unreadable) == [3] and again.facts["unreadable"] == 1
    changed = {name for name, stamp in stamps(found.folder).items() if stamp != before[name]}
    assert changed == {"000001.boxes.parquet", "000001.pictures.parquet"}


def test_pictures_that_are_not_here(own: Made) -> None:
    for place in own.places():
        place.unlink()
    with pytest.raises(DataError, match=f"none of the {COUNT} pictures of pool@1 can be read") as told:
        own.look(QUICK)
    assert "visionmill data pull pool@1" in str(told.value)
    with pytest.raises(UserError):
        newest(own.pool, own.path)


def test_pictures_in_archives(own: Made) -> None:
    raw = Importing(own.path / "pool", "packed", "here", ClassList([]), shard_over=5)
    packed = bring_in(own.store, raw, "me").version
    assert list(own.store.pictures.glob("packed-1/*.zip"))
    teacher = open_teacher(str(own.quarters), ["red", "green"], workspace=own.path)
    found = prelabel(packed, own.store, teacher, Settings(), own.path, 2)
    plain = own.look(Settings())
    assert found.folder != plain.folder and whole(found).equals(whole(plain))
    assert np.array_equal(found.vectors, plain.vectors) and found.vectors.any()


def test_an_empty_pool(own: Made) -> None:
    images = own.pool.folder / "images.parquet"
    table = pq.read_table(images)
    images.unlink()
    pq.write_table(table.slice(0, 0), images)
    with pytest.raises(DataError, match="the pool has no pictures"):
        own.look(QUICK)


def test_consistency_is_that_of_changed_copies(looked: Prelabels) -> None:
    steady = looked.columns["consistency"]
    having = np.isin(looked.image_id, whole(looked)["image_id"].to_numpy())
    # without a box it is 0, the least consistent; the mirrored picture agrees, the covered one not always
    assert steady.shape == (COUNT,) and not steady[~having].any() and (steady[having] >= 0).all()
    assert len(np.unique(steady[having])) > 1


def test_changed_copies() -> None:
    picture = np.arange(40 * 60 * 3, dtype=np.uint32).reshape(40, 60, 3).astype(np.uint8)
    assert np.array_equal(mirror(mirror(picture)), picture) and np.array_equal(mirror(picture)[:, 0], picture[:, 59])
    assert np.array_equal(covered(picture, 3), covered(picture, 3))
    changed = (covered(picture, 3) != picture).any(axis=2)
    assert 0 < changed.mean() < 2 * 0.2 * 0.2 + 0.01 and not np.array_equal(covered(picture, 4), covered(picture, 3))
    small = smaller(picture)
    assert small.shape == (50, 75, 3) and np.array_equal(small[:40, :60], picture) and (small[40:] == 114).all()
    assert covered(np.zeros((1, 1, 3), np.uint8), 0).shape == (1, 1, 3)


@pytest.mark.parametrize(("pictures", "size"), [(1, 16), (300, 16), (1024, 16), (2000, 32), (10_000, 157),
                                                (1_000_000, 512)])
def test_shards_are_neither_many_nor_large(pictures: int, size: int) -> None:
    assert shard_size(pictures) == size


def test_rows_of_a_table_in_groups(tmp_path: Path, made: Made) -> None:
    table = read_dataset(made.pool.folder).images
    pq.write_table(table, tmp_path / "images.parquet", row_group_size=7)
    rows = Rows(tmp_path / "images.parquet")
    assert len(rows) == COUNT
    for start, stop in ((0, 5), (5, 9), (6, 30), (39, 40), (0, COUNT)):
        assert rows(start, stop)["image_id"].to_pylist() == list(range(start, stop))
    assert [(start, some.num_rows) for start, some in rows.blocks(16)] == [(0, 16), (16, 16), (32, 8)]


def test_outlines_are_kept(own: Made) -> None:
    from dataclasses import replace

    teacher = open_teacher(str(own.quarters), ["red", "green"], workspace=own.path)
    ask = teacher.ask
    teacher.ask = lambda pictures: [  # type: ignore[method-assign]
        replace(one, polygons=[[[0.0, 0.0, 5.5, 0.0, 5.0, 5.0]] for _ in range(len(one))]) for one in ask(pictures)]
    found = own.look(QUICK, teacher=teacher)
    table = whole(found)
    assert table.num_rows and table["polygons"].to_pylist() == [[[0.0, 0.0, 5.5, 0.0, 5.0, 5.0]]] * table.num_rows
    version, _ = found.version(own.store, "outlined", "me")
    assert read_dataset(version.folder).annotations["polygons"][0].as_py() == [[0.0, 0.0, 5.5, 0.0, 5.0, 5.0]]


def test_the_form_of_what_is_kept(looked: Prelabels) -> None:
    [first, *_] = sorted(looked.folder.glob("shards/*.boxes.parquet"))
    assert pq.read_schema(first).names == BOXES.names

