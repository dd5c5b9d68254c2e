"""ObjectLab's scores by hand, against cleanlab's own numbers, and planted errors."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tasks.base.errors import DataError
from tasks.labels.errors import BOXES, PICTURES, Found, Settings, fold_of, label_errors, out_of_fold
from tests.metrics.conftest import random_case

# cleanlab 2.9.0, get_label_quality_scores on the case below
CLEANLAB: list[float] = [
    0.63507, 0.863676, 0.949822, 0.908494, 0.003539, 0.839798, 0.0, 0.004091, 0.785452, 1.0, 1e-06, 1e-06]


def images(count: int, width: int = 100) -> pa.Table:
    return pa.table({"image_id": np.arange(count), "width": np.full(count, width), "height": np.full(count, width)})


def of(found: Found, kind: str) -> list[float]:
    return found.boxes.filter(pc.equal(found.boxes["kind"], kind))["quality"].to_pylist()


def near(distance: float, iou: float = 0.0) -> float:
    return 0.9 * iou + 0.1 * np.exp(-0.1 * distance)


def test_no_pictures_no_labels_no_predictions(table) -> None:
    nothing = label_errors(images(0), table([]), table([]))
    assert nothing.boxes.schema == BOXES and nothing.pictures.schema == PICTURES and nothing.pictures.num_rows == 0
    assert label_errors(images(2), table([]), table([])).pictures["quality"].to_pylist() == [1, 1]
    alone = label_errors(images(1), table([(0, 0, 0, 0, 9, 9)]), table([]))
    assert alone.boxes["quality"].to_pylist() == [1, 1] and alone.boxes["says"].null_count == 2
    lost = label_errors(images(1), table([]), table([(0, 0, 0, 0, 9, 9, 0.96)]))
    assert of(lost, "overlooked") == pytest.approx([1.0 * 0.04])


def test_overlooked_by_hand(table) -> None:
    labels = table([(0, 0, 0, 0, 10, 10), (0, 1, 0, 50, 10, 10)])
    predictions = table([(0, 0, 30, 0, 10, 10, 0.95), (0, 0, 5, 0, 10, 10, 0.99), (0, 0, 60, 0, 10, 10, 0.94),
                         (1, 0, 0, 0, 10, 10, 0.97)])
    found = label_errors(images(2), labels, predictions)
    # the second touches a label, the third is not sure; the least similarity is that of the third and the second label
    least = near(np.hypot(60, 50))
    assert of(found, "overlooked") == pytest.approx([least * 0.03, near(30)])
    row = found.boxes.to_pylist()[0]
    assert row["image_id"] == 1 and row["annotation_id"] is None and row["score"] == pytest.approx(0.97)


def test_badly_located_by_hand(table) -> None:
    labels = table([(0, 0, 0, 0, 10, 10), (0, 0, 50, 0, 10, 10), (0, 1, 80, 0, 10, 10)]).append_column(
        "annotation_id", pa.array([7, 8, 9]))
    predictions = table([(0, 0, 0, 0, 10, 5, 0.6), (0, 0, 52, 0, 10, 10, 0.5), (0, 0, 80, 0, 10, 10, 0.9)])
    found = label_errors(images(1), labels, predictions)
    assert sorted(of(found, "badly located")) == pytest.approx([near(2.5, 0.5), 1, 1])
    row = found.boxes.filter(pc.less(found.boxes["quality"], 0.9)).to_pylist()[0]
    assert (row["annotation_id"], row["says"], row["iou"]) == (7, 0, 0.5)


def test_swapped_by_hand(table) -> None:
    labels = table([(0, 0, 0, 0, 10, 10), (0, 0, 50, 0, 10, 10), (0, 1, 50, 0, 10, 10)])
    predictions = table([(0, 1, 0, 0, 10, 8, 0.96), (0, 1, 0, 0, 10, 10, 0.95)])
    found = label_errors(images(1), labels, predictions)
    least = near(np.hypot(50, 1))
    # the last two contradict each other
    assert sorted(of(found, "swapped")) == pytest.approx(sorted([1 - near(1, 0.8), least, least]))


def test_of_a_picture_it_is_the_soft_minimum_and_the_geometric_mean(table) -> None:
    labels, predictions = table([(0, 0, 0, 0, 10, 10), (0, 0, 50, 0, 10, 10)]), table([(0, 0, 0, 0, 10, 5, 0.6)])
    found = label_errors(images(1), labels, predictions)
    low = near(2.5, 0.5)
    weights = np.exp(-np.array([low, 1.0]) / 0.1)
    badly = (weights * [low, 1.0]).sum() / weights.sum()
    [row] = found.pictures.to_pylist()
    assert (row["overlooked"], row["swapped"]) == (1, 1) and row["badly_located"] == pytest.approx(badly)
    assert row["quality"] == pytest.approx(badly ** (1 / 3))


def test_the_numbers_are_those_of_cleanlab() -> None:
    dataset, predictions = random_case(3, crowd=0.0)
    score = predictions["score"].to_numpy().astype(np.float64)
    score = np.where(score > 0.6, 0.9 + score / 10.5, score)
    predictions = predictions.set_column(6, "score", pa.array(score))
    found = label_errors(dataset.images, dataset.annotations, predictions)
    by_picture = dict(zip(*found.pictures.select(["image_id", "quality"]).to_pydict().values(), strict=True))
    assert [by_picture[i] for i in range(12)] == pytest.approx(CLEANLAB, abs=2e-6)
    assert (np.diff(found.boxes["quality"].to_numpy()) >= 0).all()


def test_blocks_join_without_a_seam(monkeypatch) -> None:
    dataset, predictions = random_case(5, crowd=0.0)
    whole = label_errors(dataset.images, dataset.annotations, predictions, Settings(high=0.6))
    monkeypatch.setattr("tasks.labels.errors.BLOCK", 7)
    parts = label_errors(dataset.images, dataset.annotations, predictions, Settings(high=0.6))
    assert parts.boxes.equals(whole.boxes) and parts.pictures.equals(whole.pictures)


def test_relative_distances_do_not_depend_on_the_size_of_pictures(table) -> None:
    labels, predictions = table([(0, 0, 0, 0, 10, 10)]), table([(0, 0, 2, 0, 10, 10, 0.9)])
    large = [side.set_column(n, name, pc.multiply(side[name], 8.0)) for side in (labels, predictions)
             for n, name in ((2, "x"),)]
    for n, name in ((4, "w"), (5, "h")):
        large = [side.set_column(n, name, pc.multiply(side[name], 8.0)) for side in large]
    one = label_errors(images(1, 80), labels, predictions, Settings(distance="relative"))
    two = label_errors(images(1, 640), *large, Settings(distance="relative"))
    assert one.pictures["quality"].to_pylist() == pytest.approx(two.pictures["quality"].to_pylist())


def test_planted_errors_come_first() -> None:
    rng = np.random.default_rng(0)
    count = 900
    truth = pa.table({"image_id": np.repeat(np.arange(300), 3), "class_id": rng.integers(0, 3, count).astype(np.int32),
                      "x": np.tile([0.0, 60, 120], 300), "y": rng.random(count) * 60, "w": np.full(count, 30.0),
                      "h": np.full(count, 30.0), "annotation_id": np.arange(count)})
    jitter = rng.normal(0, 1, (count, 4))
    predictions = pa.table({"image_id": truth["image_id"], "class_id": truth["class_id"],
                            **{name: truth[name].to_numpy() + jitter[:, n] for n, name in enumerate("xywh")},
                            "score": rng.uniform(0.94, 1, count)})
    planted = rng.permutation(count)[:75]
    lost, moved, swapped = planted[:25], planted[25:50], planted[50:]
    x, label = truth["x"].to_numpy().copy(), truth["class_id"].to_numpy().copy()
    x[moved] += 17
    label[swapped] = (label[swapped] + 1) % 3
    wrong = truth.set_column(2, "x", pa.array(x)).set_column(1, "class_id", pa.array(label))
    wrong = wrong.take(pa.array(np.setdiff1d(np.arange(count), lost)))
    worst = label_errors(images(300), wrong, predictions).boxes.slice(0, 50).to_pylist()
    hit = [row["annotation_id"] in set(planted.tolist()) if row["annotation_id"] is not None else
           row["image_id"] in set((lost // 3).tolist()) for row in worst]
    assert np.mean(hit) >= 0.9


def test_a_box_on_an_unknown_picture(table) -> None:
    with pytest.raises(DataError, match="boxes on picture 3"):
        label_errors(images(3), table([(1, 0, 0, 0, 1, 1)]), table([(3, 0, 0, 0, 1, 1, 0.5)]))


def test_folds_keep_near_duplicates_together(tmp_path, make_folder) -> None:
    near = np.array([0, 0, 2, 3, 4, 4])
    fold = fold_of(make_folder(tmp_path, 6), k=3, near=near)
    assert fold[0] == fold[1] and fold[4] == fold[5] and set(fold) <= {0, 1, 2} and len(fold) == 6


def test_folds_are_joined_and_leaks_refused(table) -> None:
    parts = {0: table([(1, 0, 0, 0, 1, 1, 0.5)]), 1: table([(2, 0, 0, 0, 1, 1, 0.5)])}
    ids, fold = np.array([1, 2, 3]), np.array([0, 1, 1])
    assert out_of_fold(ids, fold, parts)["image_id"].to_pylist() == [1, 2]
    with pytest.raises(DataError, match="fold 0: predictions on picture 2"):
        out_of_fold(ids, fold, {0: parts[1], 1: parts[1]})
    with pytest.raises(DataError, match="no predictions for fold 1"):
        out_of_fold(ids, fold, {0: parts[0]})
