"""Levels, expected corrections and what was missed, by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tasks.labels.calibration import calibrate, right_boxes, unreviewed
from tasks.labels.columns import boxes_of
from tasks.labels.difficulty import (
    SHOWN,
    Level,
    Missed,
    in_words,
    levels_of,
    measured,
    missed_rates,
    rate,
    rate_pictures,
)


def rated(image: list[int], p: list[float]) -> pa.Table:
    return pa.table({"image_id": pa.array(image, pa.int64()), "probability": pa.array(p, pa.float64())})


def test_levels_begin_where_they_say() -> None:
    assert levels_of(np.array([1, 0.95, 0.9499, 0.70, 0.6999, 0])).tolist() == [0, 0, 1, 1, 2, 2]
    assert levels_of(np.zeros(0)).shape == (0,)


def test_no_box_is_easy_before_anything_is_reviewed(table) -> None:
    boxes = rate(table([(0, 0, 0, 0, 1, 1, 1.0), (0, 0, 0, 0, 1, 1, 0.0)]), unreviewed())
    assert boxes["level"].to_pylist() == ["medium", "hard"]
    assert boxes["difficulty"].to_pylist() == pytest.approx([0.06, 0.96], abs=2e-4)
    assert rate(boxes, unreviewed()).column_names == boxes.column_names
    assert rate(table([]), unreviewed()).num_rows == 0


def test_corrections_by_hand() -> None:
    tables = [rated([3, 3, 5], [0.9, 0.6, 0.2]), rated([3], [0.1]), rated([99], [0.9])]
    pictures = rate_pictures(np.array([3, 5, 8]), tables, Missed(0.1, 0.5))
    assert pictures["boxes"].to_pylist() == [2, 0, 0] and pictures["medium"].to_pylist() == [1, 0, 0]
    missed = [0.1 + 0.1 * 1.6, 0.2 + 0.02, 0.5]
    assert pictures["missed"].to_pylist() == pytest.approx(missed)
    assert pictures["corrections"].to_pylist() == pytest.approx([0.5 + missed[0], missed[1], missed[2]])
    assert pictures["difficulty"].to_pylist() == pytest.approx(
        [1 - 0.54 * np.exp(-missed[0]), 1 - np.exp(-missed[1]), 1 - np.exp(-0.5)])
    assert pictures["score"].to_pylist() == pytest.approx([0.75, None, None])


def test_no_pictures_and_no_boxes() -> None:
    assert rate_pictures(np.zeros(0, np.int64), []).num_rows == 0
    pictures = rate_pictures(np.array([1]), [])
    assert pictures["corrections"].to_pylist() == [0.5] and "0 boxes on 1 pictures" in in_words(pictures)


def test_missed_objects_by_hand(table) -> None:
    found = table([(0, 0, 0, 0, 10, 10, 0.9), (0, 0, 0, 0, 10, 10, 0.1)])
    truth = table([(0, 0, 0, 0, 10, 10), (0, 0, 50, 0, 10, 10), (1, 0, 0, 0, 10, 10), (1, 0, 20, 0, 10, 10)])
    rates = missed_rates(found, truth, np.array([0, 1]))
    assert rates.per_found == pytest.approx((1 + 2) / (1 + 20)) and rates.on_empty == pytest.approx((2 + 10) / (1 + 20))
    assert Missed(**rates.as_dict()) == rates
    assert missed_rates(table([]), table([]), np.zeros(0, np.int64)) == Missed()


def test_expected_corrections_are_those_that_come(detector) -> None:
    found, truth = detector(5, 4000)
    found = found.filter(np.random.default_rng(0).random(found.num_rows) < 0.85)  # objects are left that nothing is on
    learnt, rates = calibrate(found, truth, np.arange(1000)), missed_rates(found, truth, np.arange(1000))
    later, objects = (side.filter(side["image_id"].to_numpy() >= 1000) for side in (found, truth))
    boxes = rate(later, learnt)
    pictures = rate_pictures(np.arange(1000, 4000), [boxes.slice(0, 5000), boxes.slice(5000)], rates)
    shown = boxes.filter(boxes["probability"].to_numpy() >= SHOWN)
    right = int((right_boxes(boxes_of(shown), boxes_of(objects)) == 1).sum())
    really = shown.num_rows - right + objects.num_rows - right
    assert sum(pictures["corrections"].to_pylist()) == pytest.approx(really, rel=0.06)


def test_levels_are_measured() -> None:
    levels = measured(np.array([0.99, 0.96, 0.8, 0.1]), np.array([True, True, False, False]))
    assert [(level.level, level.boxes, level.right) for level in levels] == [
        ("easy", 2, 1.0), ("medium", 1, 0.0), ("hard", 1, 0.0)]
    assert levels[0].within() and not levels[1].within(0.05) and levels[2].within()
    assert Level("easy", 0, None, 0.95, 1).within()
