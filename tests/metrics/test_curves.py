"""Curves, thresholds, confusion and mistakes on cases small enough to count by hand, and on real detections."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.table import Dataset
from tasks.metrics.coco import evaluate_coco
from tasks.metrics.curves import best_thresholds, confusion, pr_curves
from tasks.metrics.mistakes import worst_mistakes


def test_curve_counts(make_dataset, make_table) -> None:
    """Right, wrong, right; the last two have one score and so one point."""
    dataset = make_dataset(["a", "absent"], 1, [(0, 0, 0, 0, 10, 10), (0, 0, 50, 50, 10, 10)])
    found = make_table([(0, 0, 50, 50, 10, 10, 0.5), (0, 0, 0, 0, 10, 10, 0.75), (0, 0, 200, 0, 10, 10, 0.5)])
    curves = pr_curves(dataset, found)
    assert curves["absent"] is None
    assert curves["a"].score.tolist() == [0.75, 0.5]
    assert curves["a"].precision.tolist() == pytest.approx([1, 2 / 3])
    assert curves["a"].recall.tolist() == [0.5, 1]
    assert curves["a"].f1.tolist() == pytest.approx([2 / 3, 0.8])
    best = best_thresholds(dataset, found)
    assert best == {"a": pytest.approx({"score": 0.5, "f1": 0.8, "precision": 2 / 3, "recall": 1}), "absent": None}


def test_curve_of_nothing(make_dataset, make_table) -> None:
    dataset = make_dataset(["a"], 1, [(0, 0, 0, 0, 10, 10)])
    assert pr_curves(dataset, make_table([]))["a"].score.size == 0
    assert best_thresholds(dataset, make_table([])) == {"a": None}
    assert best_thresholds(dataset, make_table([(0, 0, 90, 90, 5, 5, 0.9)])) == {"a": None}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_curves_confusion_and_coco_count_alike(make_random, seed) -> None:
    """COCO gives equal scores a point each, a curve one for all: so here there are none."""
    dataset, found = make_random(seed)
    unique = np.argsort(np.argsort(found["score"].to_numpy(), kind="stable")) / found.num_rows
    found = found.set_column(6, "score", pa.array(unique, pa.float32()))
    per_class = evaluate_coco(dataset, found)["per_class"]
    matrix = confusion(dataset, found, score_threshold=0.0)
    for place, (name, curve) in enumerate(pr_curves(dataset, found).items()):
        assert (curve is None) == (per_class[name]["AP50"] is None)
        assert matrix[place].sum() == per_class[name]["ground_truth"]
        if curve is None:
            continue
        hits = curve.recall[-1] * matrix[place].sum() if curve.recall.size else 0
        assert matrix[place, place] == pytest.approx(hits)
        assert (np.diff(curve.recall) >= 0).all() and (np.diff(curve.score) < 0).all()
        envelope = [max(curve.precision[curve.recall >= r], default=0.0) for r in np.linspace(0, 1, 101)]
        assert np.mean(envelope) == pytest.approx(per_class[name]["AP50"], abs=1e-6)


def test_thinned_keeps_the_ends(voc100) -> None:
    curve = pr_curves(*voc100)["person"]
    thin = curve.thinned(10)
    assert len(thin.score) == 10
    assert (thin.score[0], thin.recall[-1]) == (curve.score[0], curve.recall[-1])
    assert curve.thinned(10_000) is curve


@pytest.fixture
def scene(make_dataset, make_table) -> tuple[Dataset, pa.Table]:
    """One of each: right, wrong class, badly placed, missed with a hint, missed without, alarms, one in a crowd."""
    dataset = make_dataset(["cat", "dog"], 3, [
        (0, 0, 0, 0, 10, 10), (0, 0, 100, 0, 10, 10), (0, 1, 200, 0, 10, 10), (1, 1, 0, 0, 30, 30),
        (1, 0, 300, 0, 20, 20), (1, 0, 400, 400, 200, 200, "crowd")])
    found = make_table([
        (0, 0, 0, 0, 10, 10, 0.9),         # right
        (0, 0, 0, 0, 10, 9, 0.8),          # the same once more: an alarm
        (0, 1, 100, 0, 10, 10, 0.7),       # a cat taken for a dog
        (0, 1, 205, 0, 10, 10, 0.625),     # a dog, IoU 1/3
        (1, 1, 0, 0, 30, 30, 0.25),        # a dog, below the threshold
        (1, 0, 450, 450, 10, 10, 0.9),     # in the crowd
        (2, 0, 5, 5, 10, 10, 0.95),        # nothing there
    ])
    return dataset, found


def test_confusion_by_hand(scene) -> None:
    matrix = confusion(*scene, score_threshold=0.5)
    assert matrix.dtype == np.int64
    assert matrix.tolist() == [[1, 1, 1], [0, 0, 2], [2, 1, 0]]


def test_confusion_with_a_threshold_for_each_class(scene) -> None:
    assert confusion(*scene, score_threshold={"cat": 0.99, "dog": 0.2}).tolist() == [[0, 1, 2], [0, 1, 1], [0, 1, 0]]


def test_worst_mistakes_come_in_turns_and_in_order(scene) -> None:
    mistakes = worst_mistakes(*scene, score_threshold=0.5)
    assert [(m.kind, m.image_id, round(m.severity, 3)) for m in mistakes] == [
        ("missed", 1, 1.0), ("false alarm", 2, 0.95), ("wrong class", 0, 0.7), ("badly placed", 0, 0.417),
        ("missed", 1, 0.75), ("false alarm", 0, 0.8)]
    missed, alarm, wrong, placed = mistakes[:4]
    assert (missed.true_class, missed.true_box, missed.found_class) == ("cat", (300, 0, 20, 20), None)
    assert (alarm.true_class, alarm.true_box, alarm.found_class) == (None, None, "cat")
    assert (wrong.true_class, wrong.found_class, wrong.iou) == ("cat", "dog", 1)
    assert (placed.true_class, placed.found_class) == ("dog", "dog")
    assert placed.iou == pytest.approx(1 / 3)
    assert worst_mistakes(*scene, score_threshold=0.5, limit=2) == mistakes[:2]
    json.dumps([mistake.as_dict() for mistake in mistakes], allow_nan=False)


def test_mistakes_on_real_detections_add_up(voc100) -> None:
    dataset, found = voc100
    matrix = confusion(dataset, found, score_threshold=0.5)
    mistakes = worst_mistakes(dataset, found, score_threshold=0.5, limit=10_000)
    count = {kind: sum(m.kind == kind for m in mistakes)
             for kind in ("missed", "false alarm", "wrong class", "badly placed")}
    assert min(count.values()) > 0
    assert count["missed"] + count["badly placed"] == matrix[:, -1].sum()
    assert count["false alarm"] + count["badly placed"] == matrix[-1].sum()
    assert count["wrong class"] == matrix[:-1, :-1].sum() - np.trace(matrix)


def test_a_perfect_detector_makes_no_mistakes(make_dataset, make_table) -> None:
    dataset = make_dataset(["a"], 1, [(0, 0, 0, 0, 10, 10)])
    assert worst_mistakes(dataset, make_table([(0, 0, 0, 0, 10, 10, 0.9)])) == []
    assert confusion(dataset, make_table([(0, 0, 0, 0, 10, 10, 0.9)]), score_threshold=0.5).tolist() == [[1, 0], [0, 0]]
