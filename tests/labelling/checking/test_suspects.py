"""Suspicious places: each once, with the prediction that speaks, worst first."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tasks.base.errors import DataError
from tasks.data.table import Dataset
from tasks.labelling.checking.suspects import PLACES, Settings, find_suspects
from tasks.labelling.checking.telling import in_lines
from tasks.labels.errors import PICTURES
from tests.metrics.conftest import dataset_of, table_of

from .conftest import changed, labelled

SURE = Settings(sure=0.5)


def grid(pictures: int = 40) -> Dataset:
    """Three objects a picture, far apart, of three classes."""
    return dataset_of(["a", "b", "c"], pictures,
                      [(i, (i + k) % 3, 20 + 200 * k, 30 + (i % 7) * 20, 100, 80) for i in range(pictures)
                       for k in range(3)])


def said(dataset: Dataset, score: float = 0.97) -> list[list[float]]:
    """A prediction on each object."""
    rows = dataset.annotations.select(["image_id", "class_id", "x", "y", "w", "h"]).to_pylist()
    return [[*row.values(), score] for row in rows]


def test_right_labels_are_not_suspicious() -> None:
    dataset = grid()
    found = find_suspects(dataset, table_of(said(dataset)), SURE)
    assert found.places.num_rows == 0 and found.places.schema == PLACES
    assert found.pictures.schema == PICTURES and found.pictures.num_rows == 40


def test_nothing_predicted_and_nothing_labelled() -> None:
    dataset = dataset_of(["a"], 3, [])
    assert find_suspects(dataset, table_of([])).places.num_rows == 0
    assert find_suspects(grid(), table_of([])).places.num_rows == 0


def test_each_kind_has_its_label_and_its_prediction() -> None:
    dataset = grid()
    rows = said(dataset)
    wrong = changed_classes(dataset, drop=[0], move=[4], swap=[8])
    found = find_suspects(wrong, table_of(rows), SURE)
    assert found.counts() == {"overlooked": 1, "badly located": 1, "swapped": 1}
    by_kind = {one["kind"]: one for one in found.places.to_pylist()}
    lost, badly, swapped = (by_kind[kind] for kind in ("overlooked", "badly located", "swapped"))
    assert lost["annotation_id"] is None and [lost[k] for k in ("px", "py", "pw", "ph")] == rows[0][2:6]
    assert [lost[name] for name in "xywh"] == rows[0][2:6] and lost["says"] == lost["class_id"] == rows[0][1]
    assert badly["annotation_id"] == 4 and [badly[k] for k in ("px", "py", "pw", "ph")] == rows[4][2:6]
    assert badly["x"] == rows[4][2] + 70
    assert swapped["annotation_id"] == 8 and swapped["says"] == rows[8][1] != swapped["class_id"]
    assert (np.diff(found.places["quality"].to_numpy()) >= 0).all()
    worst = found.pictures["image_id"].to_pylist()[:3]
    assert set(worst) == {0, 1, 2}


def test_a_place_is_listed_once() -> None:
    dataset = grid()
    wrong = changed_classes(dataset, drop=[0], swap=[4])
    # two predictions of two classes on the lost object; the swapped label is badly located for a third one
    rows = [*said(dataset), [0, 1, 21, 31, 100, 80, 0.96], [1, int(wrong.annotations["class_id"][3].as_py()), 280, 50,
                                                           100, 80, 0.9]]
    found = find_suspects(wrong, table_of(rows), SURE)
    assert found.counts()["overlooked"] == 1
    labels = [one["annotation_id"] for one in found.places.to_pylist() if one["annotation_id"] is not None]
    assert labels == [4]


def test_in_a_crowd_a_prediction_speaks_of_the_object_that_it_is_on() -> None:
    # side by side, overlapping by a twentieth; the middle one has no label, the last one no prediction
    boxes = [(0, 0, x, 10, 100, 100) for x in (0.0, 95.0, 190.0)]
    quiet = [(n, 0, 300.0, 300.0, 80.0, 80.0) for n in range(1, 12)]
    dataset = dataset_of(["a"], 12, [boxes[0], boxes[2], *quiet])
    rows = [[*one, 0.97] for one in (boxes[0], boxes[1], *quiet)]
    found = find_suspects(dataset, table_of(rows), SURE).places.to_pylist()
    assert [(one["kind"], one["annotation_id"], one["x"]) for one in found] == [("overlooked", None, 95.0)]
    # nothing is wrong where the neighbour's prediction alone touches the label
    both = dataset_of(["a"], 12, [*boxes, *quiet])
    assert find_suspects(both, table_of(rows), SURE).places.num_rows == 0


def test_two_labels_in_one_place_need_no_prediction() -> None:
    dataset = dataset_of(["a", "b"], 2, [(0, 0, 10, 10, 50, 50), (0, 1, 10, 10, 50, 50), (1, 0, 10, 10, 50, 50),
                                         (1, 1, 400, 400, 50, 50)])
    found = find_suspects(dataset, table_of([[1, 0, 10, 10, 50, 50, 0.9]]), SURE)
    rows = found.places.to_pylist()
    assert [(one["kind"], one["annotation_id"], one["says"], one["px"]) for one in rows] == [
        ("swapped", 0, None, None), ("swapped", 1, None, None)]


def test_predictions_need_not_be_surer_than_wrong_labels_let_them_be() -> None:
    rng = np.random.default_rng(0)
    dataset = grid(100)
    lost = rng.choice(dataset.annotations.num_rows, 45, replace=False).tolist()
    wrong = labelled(dataset, dataset.annotations.take(pa.array(np.setdiff1d(np.arange(300), lost))))
    found = find_suspects(wrong, table_of(said(dataset)))
    # 15 in 100 predictions are on no label: a probability of 0.95 is out of reach
    assert 0.7 < found.sure < 0.95
    assert found.counts() == {"overlooked": 45, "badly located": 0, "swapped": 0}
    assert find_suspects(dataset, table_of(said(dataset))).sure == 0.95


def test_weak_predictions_accuse_nobody() -> None:
    dataset = grid()
    rng = np.random.default_rng(0)
    noise = [[int(rng.integers(40)), int(rng.integers(3)), float(rng.uniform(0, 500)), float(rng.uniform(0, 500)), 90.0,
              90.0, float(rng.uniform(0.05, 0.2))] for _ in range(400)]
    found = find_suspects(dataset, table_of([*noise, *(said(dataset, 0.15)[:20])]))
    assert found.sure == 0.5 and found.usual < 0.5 and found.counts() == {
        "overlooked": 0, "badly located": 0, "swapped": 0}
    assert "the predictions are weak" in in_lines(found, dataset)[1]


def test_planted_errors_come_first() -> None:
    rng = np.random.default_rng(1)
    dataset = grid(150)
    planted = rng.permutation(dataset.annotations.num_rows)[:75].tolist()
    wrong = changed_classes(dataset, drop=planted[:25], move=planted[25:50], swap=planted[50:])
    rows = [[*row[:2], *(np.array(row[2:6]) + rng.normal(0, 3, 4)), rng.uniform(0.6, 1)] for row in said(dataset)]
    noise = [[int(rng.integers(150)), int(rng.integers(3)), float(rng.uniform(0, 500)), 400.0, 90.0, 90.0,
              float(rng.uniform(0.05, 0.5))] for _ in range(200)]
    worst = find_suspects(wrong, table_of([*rows, *noise])).places.slice(0, 50).to_pylist()
    lost = {planted_row // 3 for planted_row in planted[:25]}
    hits = [one["annotation_id"] in planted[25:] if one["annotation_id"] is not None else one["image_id"] in lost
            for one in worst]
    assert len(worst) == 50 and np.mean(hits) >= 0.9


def test_pictures_that_nobody_spoke_of_are_not_judged() -> None:
    dataset = grid(10)
    wrong = changed_classes(dataset, swap=[0, 27])
    rows = [row for row in said(dataset) if row[0] < 5]
    found = find_suspects(wrong, table_of(rows), SURE, spoken=np.arange(5))
    assert found.pictures.num_rows == 5 and found.places["annotation_id"].to_pylist() == [0]


def test_predictions_on_pictures_that_are_not_there() -> None:
    with pytest.raises(DataError, match="boxes on picture 99"):
        find_suspects(grid(3), table_of([[99, 0, 1, 1, 5, 5, 0.9]]), SURE)


def changed_classes(dataset: Dataset, drop: list[int] | None = None, move: list[int] | None = None,
                    swap: list[int] | None = None) -> Dataset:
    """As `changed`, for three classes and boxes of 100 pixels."""
    table = dataset.annotations
    x, label = table["x"].to_numpy().copy(), table["class_id"].to_numpy().copy()
    x[move or []] += 70
    label[swap or []] = (label[swap or []] + 1) % 3
    for name, values in (("x", x), ("class_id", label)):
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(name), pa.array(values, table.schema.field(name).type))
    return labelled(dataset, changed(table, drop=drop or []))
