"""Pre-labels as versions, what was learnt of them, and how they are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tasks.base.errors import UserError
from tasks.data.store.labelled import attributes_of, publish_labels
from tasks.data.store.layout import Store, Version
from tasks.data.table import read_dataset
from tasks.labelling.prelabelling import (
    Prelabels,
    known_calibration,
    known_missed,
    learn,
    newest,
    prelabel,
)
from tasks.labelling.prelabelling.words import basis, levels, told
from tasks.labelling.teachers import open_teacher
from tasks.labels.calibration import prior
from tasks.labels.difficulty import EASY
from tests.labelling.quarter_pool import QUICK, Made, make_pool, whole

COUNT = 120


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, quarters: Path) -> Made:
    """A pool without labels, whose pictures people have seen in `truth`."""
    here = Made(tmp_path_factory.mktemp("ws"), quarters, COUNT, labelled=False)
    here.truth = make_pool(here.path, here.store, COUNT, "truth")  # type: ignore[attr-defined]
    return here


@pytest.fixture
def looked(made: Made, tmp_path: Path) -> Prelabels:
    """In a workspace of its own: nothing was learnt there."""
    teacher = open_teacher(str(made.quarters), ["red", "green"], workspace=tmp_path)
    return prelabel(made.pool, made.store, teacher, QUICK, tmp_path)


def test_a_version_with_the_boxes_that_are_shown(made: Made, looked: Prelabels) -> None:
    version, new = looked.version(made.store, "pool-auto", "me")
    dataset, table = read_dataset(version.folder), whole(looked)
    assert new and version.ref == "pool-auto@1" and dataset.images.num_rows == COUNT
    rows = dataset.annotations
    assert rows.num_rows == table.num_rows and set(rows["source"].to_pylist()) == {"model:quarters"}
    p = prior(table["score"].to_numpy())
    assert rows["difficulty"].to_numpy() == pytest.approx(1 - p, abs=1e-6)
    assert rows["uncertainty"].to_numpy() == pytest.approx(-p * np.log2(p) - (1 - p) * np.log2(1 - p), abs=1e-5)
    assert rows["score"].to_numpy() == pytest.approx(table["score"].to_numpy())
    assert rows["reviewed_by"].null_count == rows.num_rows
    assert dataset.meta.recipe["labels"] == {
        "by": "model:quarters", "model_digest": looked.facts["model_digest"], "shown": 1 / 3,
        "settings": looked.facts["settings"], "calibration": {"kind": "prior", "reviewed": 0}}
    assert dataset.meta.parents == ["pool@1"]
    # and the same again is the same version
    assert looked.version(made.store, "pool-auto", "me") == (version, False)


def test_what_each_picture_is_told(made: Made, looked: Prelabels) -> None:
    version, _ = looked.version(made.store, "pool-auto", "me")
    said, rows = attributes_of(version, "prelabel"), looked.pictures().to_pylist()
    assert sorted(said) == list(range(COUNT))
    for row in rows:
        mine = said[row["image_id"]]
        assert mine.pop("model") == "quarters"
        assert mine == pytest.approx({name: row[name] for name in mine}, abs=1e-4)
        assert set(mine) == {"score", "uncertainty", "difficulty", "corrections", "boxes", "easy", "medium", "hard"}
    empty = next(row for row in rows if row["boxes"] == 0)
    # nobody knows yet how often nothing is found where something is: the prior says every second time
    assert empty["score"] is None and empty["corrections"] == pytest.approx(0.5)


def test_boxes_that_are_not_worth_showing(made: Made, looked: Prelabels) -> None:
    version, _ = looked.version(made.store, "pool-none", "me", shown=0.99)
    assert read_dataset(version.folder).annotations.num_rows == 0
    said = attributes_of(version, "prelabel")
    assert all(one["boxes"] == 0 for one in said.values()) and said[0]["corrections"] > 0


def test_a_pool_without_classes_gets_those_of_the_teacher(made: Made, tmp_path: Path) -> None:
    teacher = open_teacher(str(made.quarters), [], {"green": "leaf"}, workspace=tmp_path, drop_rest=True)
    version, _ = prelabel(made.pool, made.store, teacher, QUICK, tmp_path).version(made.store, "leaves", "me")
    assert version.meta.classes == ["leaf"]


def test_a_pool_that_has_gone(made: Made, looked: Prelabels, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pool@1 is not in the store as it was looked at"):
        looked.version(Store(tmp_path / "other"), "x", "me")


def test_before_anything_is_reviewed_nothing_is_easy(made: Made, looked: Prelabels) -> None:
    lines = told(looked, made.store)
    boxes = whole(looked).num_rows
    assert lines[0].startswith(f"{boxes} boxes on {COUNT} pictures are worth showing (right with 33% at least)")
    assert "easy      0    0%   at least 95 of 100 are right" in lines[1]
    assert "stated prior" in lines[-1] and "nobody has reviewed boxes of quarters" in lines[-1]
    assert looked.calibration().kind == "prior"


def test_what_people_say_is_learnt_and_used_from_then_on(made: Made, looked: Prelabels, tmp_path: Path) -> None:
    learnt = learn(looked, made.truth, tmp_path)  # type: ignore[attr-defined]
    digest = looked.facts["model_digest"]
    assert learnt.kind in ("isotonic", "beta") and learnt.reviewed == whole(looked).num_rows
    assert known_calibration(digest, tmp_path) == learnt
    missed = known_missed(digest, tmp_path)
    # every object has its box: fewer are missed than the prior says
    assert missed is not None and missed.reviewed == COUNT and missed.per_found < 0.1 and missed.on_empty < 0.5
    # all boxes were right: they are easy now
    assert {level for table in looked.rated() for level in table["level"].to_pylist()} == {"easy"}
    assert looked.pictures()["corrections"].to_numpy().sum() < 0.2 * COUNT
    assert basis(looked)[0].startswith(f"  learnt from {learnt.reviewed:,} boxes on {learnt.pictures} reviewed")
    version, new = looked.version(made.store, "pool-learnt", "me")
    assert new and (read_dataset(version.folder).annotations["difficulty"].to_numpy() <= 1 - EASY + 1e-6).all()
    assert newest(made.pool, tmp_path).calibration() == learnt
    assert known_calibration("0" * 64, tmp_path) is None and known_missed("0" * 64, tmp_path) is None


def reviewed_of(made: Made, out: str, keep: list[int], seen: list[int], wrong: bool = False) -> Version:
    """Some pictures of `truth`, `seen` of them by people; with `wrong` no label stays."""
    truth = made.truth  # type: ignore[attr-defined]
    labels = read_dataset(truth.folder).annotations
    inside = np.isin(labels["image_id"].to_numpy(), keep)
    rows = labels.filter(pa.array(inside & (not wrong)))
    return publish_labels(made.store, truth, out=out, owner="me", said={"by": "people"}, annotations=rows,
                          keep=np.array(keep), pictures={image: {"review": {"by": "ann"}} for image in seen})[0]


def test_only_reviewed_pictures_teach_and_they_go_by_their_digest(made: Made, looked: Prelabels,
                                                                  tmp_path: Path) -> None:
    # image_ids of this version are others than the pool's
    some = reviewed_of(made, "some", list(range(60, 100)), list(range(60, 80)))
    learnt = learn(looked, some, tmp_path)
    seen = set(read_dataset(some.folder).images["digest"].to_pylist()[:20])
    digests = read_dataset(made.pool.folder).images["digest"].to_pylist()
    mine = [image for image, digest in enumerate(digests) if digest in seen]
    assert learnt.reviewed == np.isin(whole(looked)["image_id"].to_numpy(), mine).sum()
    missed = known_missed(looked.facts["model_digest"], tmp_path)
    assert missed is not None and missed.reviewed == len(seen) == 20


def test_classes_go_by_name(made: Made, looked: Prelabels, tmp_path: Path) -> None:
    teacher = open_teacher(str(made.quarters), ["green", "blue", "red"], workspace=tmp_path)
    other = prelabel(made.pool, made.store, teacher, QUICK, tmp_path)
    learnt = learn(other, made.truth, tmp_path)  # type: ignore[attr-defined]
    assert {level for table in other.rated(learnt) for level in table["level"].to_pylist()} == {"easy"}


def test_rounds_add_up_and_a_later_review_goes_before(made: Made, looked: Prelabels, tmp_path: Path) -> None:
    first = learn(looked, reviewed_of(made, "one", list(range(40)), list(range(40)), wrong=True), tmp_path)
    second = learn(looked, reviewed_of(made, "two", list(range(30, 70)), list(range(30, 70))), tmp_path)
    again = learn(looked, made.store.find("two"), tmp_path)
    assert first.reviewed < second.reviewed == again.reviewed
    missed = known_missed(looked.facts["model_digest"], tmp_path)
    assert missed is not None and missed.reviewed == 70
    score = pa.table({"score": [0.9], "class_id": pa.array([0], pa.int32()), "margin": [0.9], "spread": [0.0]})
    # 30 pictures without a label, then 40 where all is right
    assert first.probability(score)[0] < 0.2 < second.probability(score)[0] < 0.9


def test_reviewed_pictures_of_somewhere_else(made: Made, looked: Prelabels, tmp_path: Path, quarters: Path) -> None:
    other = Made(tmp_path / "other", quarters, 3)
    images = read_dataset(other.pool.folder).images
    digests = pa.array([f"{at:064}" for at in range(3)])
    from tasks.data.table import IMAGES, write_table

    (other.pool.folder / "images.parquet").unlink()
    write_table(other.pool.folder / "images.parquet", [images.set_column(4, IMAGES.field("digest"), digests)], IMAGES)
    with pytest.raises(UserError, match="no reviewed picture of pool@1 is one that quarters has looked at"):
        learn(looked, other.pool, tmp_path)
    assert known_calibration(looked.facts["model_digest"], tmp_path) is None


def test_a_workspace_that_was_moved_knows_what_it_knew(quarters: Path, tmp_path: Path) -> None:
    made = Made(tmp_path / "before", quarters, 20)
    first = learn(made.look(QUICK), made.pool, made.path)
    (tmp_path / "before").rename(tmp_path / "after")
    moved = newest(made.pool, tmp_path / "after")
    assert moved.calibration() == first and moved.vectors.shape == (20, 256)
    store = Store(tmp_path / "after/store")
    # the pictures of the first time still count
    assert learn(moved, store.find("pool"), tmp_path / "after").reviewed == first.reviewed
    assert moved.version(store, "out", "me")[0].ref == "out@1"


def test_boxes_that_lack_what_was_learnt_from_are_rated_by_the_prior(made: Made, looked: Prelabels,
                                                                     tmp_path: Path) -> None:
    from dataclasses import replace

    learnt = learn(looked, made.truth, tmp_path)  # type: ignore[attr-defined]
    kept = tmp_path / ".visionmill/calibrations" / f"{looked.facts['model_digest']}.json"
    replace(learnt, features=("margin", "flip", "spread"), weights=(0.0, 1.0, 0.0, 0.0, 0.0)).write(kept)
    assert looked.calibration().kind == "prior" and basis(looked)[0].startswith("  by a stated prior")


@pytest.mark.parametrize(("rows", "lines"), [
    ({"easy": [3, 1], "medium": [0, 2], "hard": [1, 0], "boxes": [4, 3], "corrections": [0.5, 1.0]},
     ["7 boxes on 2 pictures are worth showing (right with 50% at least)",
      "  easy    4   57%   at least 95 of 100 are right", "  medium  2   29%   70 to 95 of 100 are right",
      "  hard    1   14%   fewer than 70 of 100 are right", "  about 2 corrections are expected, 0.8 a picture"]),
    ({"easy": [0], "medium": [0], "hard": [0], "boxes": [0], "corrections": [0.5]},
     ["0 boxes on 1 picture are worth showing (right with 50% at least); none on 1 picture"])])
def test_levels_in_words(rows: dict[str, Any], lines: list[str]) -> None:
    assert levels(pa.table(rows), 0.5)[:len(lines)] == lines
