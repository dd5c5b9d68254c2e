"""Predictions that are there already: what fits is read, what does not is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.base.errors import DataError, UserError
from tasks.data.store.labelled import publish_labels
from tasks.labelling.checking.elsewhere import boxes_of_model, read_prelabels, read_table, read_version

from .conftest import CLASSES, Place, by_model, predictions_of

Make = Callable[[int], Place]


@pytest.fixture
def here(place: Make) -> Place:
    return place(4)


def write(path: Path, table: pa.Table) -> Path:
    pq.write_table(table, path)
    return path


def test_pictures_by_digest_file_or_number_and_classes_by_name(here: Place, tmp_path: Path) -> None:
    dataset = here.dataset
    table = predictions_of(dataset)
    plain = read_table(write(tmp_path / "a.parquet", table), dataset)
    assert plain.predictions.equals(table.cast(plain.predictions.schema)) and plain.by == "a.parquet"
    assert plain.images.tolist() == [0, 1, 2, 3]
    rows = table["image_id"].to_numpy()
    for name in ("digest", "file"):
        named = table.drop_columns(["image_id"]).append_column(name, dataset.images[name].take(pa.array(rows)))
        assert read_table(write(tmp_path / "b.parquet", named), dataset).predictions.equals(plain.predictions)
    words = pa.array([CLASSES[label] for label in table["class_id"].to_pylist()])
    named = table.drop_columns(["class_id"]).append_column("class", words)
    assert read_table(write(tmp_path / "c.parquet", named), dataset).predictions.equals(plain.predictions)


@pytest.mark.parametrize(("change", "said"), [
    ({"image_id": 77}, "a picture that is not there: image_id 77"),
    ({"class_id": 2}, "the classes differ: class_id 2, and there are 2"),
    ({"class_id": -1}, "the classes differ: class_id -1"),
    ({"w": -3.0}, "not a box"),
    ({"score": float("nan")}, "not a box"),
    ({"score": None}, "lacks a number"),
])
def test_rows_that_do_not_fit(here: Place, tmp_path: Path, change: dict[str, float], said: str) -> None:
    rows = predictions_of(here.dataset).to_pylist()
    rows[3] |= change
    with pytest.raises(UserError, match=said):
        read_table(write(tmp_path / "a.parquet", pa.Table.from_pylist(rows)), here.dataset)


def test_files_that_are_no_predictions(here: Place, tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("no table")
    with pytest.raises(DataError, match="no table of predictions"):
        read_table(tmp_path / "text.parquet", here.dataset)
    for lacking in ("score", "image_id", "class_id"):
        table = predictions_of(here.dataset).drop_columns([lacking])
        with pytest.raises(DataError, match="a column is missing"):
            read_table(write(tmp_path / "a.parquet", table), here.dataset)
    with pytest.raises(UserError, match="speak of green, which the labels do not have"):
        table = predictions_of(here.dataset).drop_columns(["class_id"])
        read_table(write(tmp_path / "a.parquet", table.append_column("class", pa.array(["green"] * 12))), here.dataset)
    stranger = predictions_of(here.dataset).append_column("digest", pa.array(["0" * 64] * 12))
    with pytest.raises(DataError, match="a picture that is not there: digest '000"):
        read_table(write(tmp_path / "a.parquet", stranger), here.dataset)


def test_a_version_of_other_order_and_fewer_pictures(here: Place) -> None:
    dataset = here.dataset
    told = by_model(dataset.annotations, np.linspace(0.5, 1, 12))
    at = told.schema.get_field_index("class_id")
    turned = told.set_column(at, "class_id", pa.array(1 - told["class_id"].to_numpy()))
    turned = turned.filter(pa.array(turned["image_id"].to_numpy() >= 2))
    other, _ = publish_labels(here.store, here.truth, out="auto", owner="me", said={"by": "m"}, annotations=turned,
                              keep=np.array([2, 3]), classes=CLASSES[::-1])
    spoken = read_version(other, dataset)
    assert spoken.by == "cells@3" and spoken.images.tolist() == [2, 3]
    mine = dataset.annotations.filter(pa.array(dataset.annotations["image_id"].to_numpy() >= 2))
    assert spoken.predictions["image_id"].equals(mine["image_id"])
    assert spoken.predictions["class_id"].to_pylist() == mine["class_id"].to_pylist()


def test_a_version_without_prelabels_of_several_models_or_of_other_classes(here: Place) -> None:
    dataset = here.dataset
    with pytest.raises(DataError, match="squares@1 has no box of a model with a score"):
        read_version(here.truth, dataset)
    both = pa.concat_tables([by_model(dataset.annotations, np.full(12, 0.9)),
                             by_model(dataset.annotations, np.full(12, 0.8), "model:other@1")])
    two = here.publish("two", both)
    with pytest.raises(DataError, match="boxes of 2 models"):
        read_version(two, dataset)
    assert read_version(two, dataset, "model:other@1").predictions["score"].to_pylist() == pytest.approx([0.8] * 12)
    with pytest.raises(DataError, match="no box of 'third'"):
        read_version(two, dataset, "third")
    green, _ = publish_labels(here.store, here.truth, out="green", owner="me", said={"by": "m"},
                              annotations=by_model(dataset.annotations, np.full(12, 0.9)), classes=["red", "green"])
    with pytest.raises(UserError, match="speaks of green, which the labels do not have; the labels have blue"):
        read_version(green, dataset)


def test_a_version_of_other_pictures(here: Place, tmp_path: Path) -> None:
    from tasks.data.classes import ClassList
    from tasks.data.store.importing import Importing, bring_in

    from .conftest import make_raw

    raw = make_raw(tmp_path / "others", 2, seed=9)
    others = bring_in(here.store, Importing(raw, "others", "here", ClassList([])), "me").version
    auto, _ = publish_labels(here.store, others, out="auto", owner="me", said={"by": "m"}, annotations=by_model(
        Place(here.store, others).dataset.annotations, np.full(6, 0.9)))
    with pytest.raises(DataError, match="no picture of auto@1 is among these"):
        read_version(auto, here.dataset)


def test_kept_prelabels(here: Place, tmp_path: Path) -> None:
    class Kept:
        name, classes, folder, readable = "cells@3", CLASSES, tmp_path, np.array([0, 1, 3])

        def boxes(self) -> list[pa.Table]:
            found = predictions_of(here.dataset)
            return [found.slice(0, 6).append_column("margin", pa.array(np.zeros(6))), found.slice(9)]

    spoken = read_prelabels(Kept(), here.dataset)  # type: ignore[arg-type]
    assert spoken.predictions.num_rows == 9 and spoken.images.tolist() == [0, 1, 3] and spoken.by == "cells@3"


def test_boxes_without_a_score_are_no_prelabels(here: Place) -> None:
    told = by_model(here.dataset.annotations, np.full(12, 0.9))
    at = told.schema.get_field_index("score")
    bare = here.publish("bare", told.set_column(at, "score", pa.nulls(12, pa.float32())))
    with pytest.raises(DataError, match="no box of a model with a score"):
        boxes_of_model(Place(here.store, bare).dataset, bare.ref)
