"""Calibration: the curves, what is kept, and how few reviewed boxes count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.base.errors import DataError
from tasks.labels.calibration import Calibration, Settings, calibrate, prior, right_boxes, unreviewed
from tasks.labels.columns import boxes_of
from tasks.labels.curves import beta, calibration_error, isotonic, log_loss, logistic, sigmoid


def pooled(y: list[float], w: list[float]) -> list[float]:
    """Adjacent violators, one by one."""
    blocks = [[value, weight, 1] for value, weight in zip(y, w, strict=True)]
    at = 0
    while at + 1 < len(blocks):
        (a, u, m), (b, v, n) = blocks[at], blocks[at + 1]
        if a < b:
            at += 1
            continue
        blocks[at:at + 2] = [[(a * u + b * v) / (u + v), u + v, m + n]]
        at = max(at - 1, 0)
    return [value for value, _, many in blocks for _ in range(many)]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 30))
def test_isotonic_is_that_of_pooling_by_hand(seed, count) -> None:
    rng = np.random.default_rng(seed)
    x, y, w = np.sort(rng.random(count)), rng.integers(0, 2, count).astype(float), rng.random(count) + 0.1
    at, p = isotonic(x, y, w)
    slow = np.clip(pooled(y.tolist(), w.tolist()), 1e-4, 1 - 1e-4)
    assert p == pytest.approx(slow[np.flatnonzero(np.diff(slow, prepend=-1))])
    assert (np.diff(at) > 0).all()


def test_isotonic_takes_equal_scores_together() -> None:
    at, p = isotonic(np.array([0.2, 0.2, 0.8]), np.array([0, 1, 1.0]), np.ones(3))
    assert at == pytest.approx([0.2, 0.8]) and p == pytest.approx([0.5, 1], abs=1e-3)


def test_beta_finds_the_curve_that_made_the_data() -> None:
    rng = np.random.default_rng(0)
    x = rng.random(40_000)
    truth = 1 / (1 + 1 / (np.exp(0.3) * x ** 2.0 / (1 - x) ** 0.7))
    at, p = beta(x, (rng.random(len(x)) < truth).astype(float), np.ones(len(x)))
    assert np.abs(np.interp(x, at, p) - truth).mean() < 0.01


def test_beta_never_falls() -> None:
    x = np.linspace(0.01, 0.99, 200)
    _, p = beta(x, (x < 0.5).astype(float), np.ones(200))
    assert (np.diff(p) >= -1e-12).all()


def test_logistic_by_its_own_condition() -> None:
    rng = np.random.default_rng(1)
    terms, y = rng.normal(size=(50, 2)), rng.integers(0, 2, 50).astype(float)
    w, start, held = rng.random(50), np.array([1.0, -1.0]), np.array([2.0, 0.5])
    found = logistic(terms, y, w, start, held)
    slope = terms.T @ (w * (sigmoid(terms @ found) - y)) + held * (found - start)
    assert np.abs(slope).max() < 1e-6


def test_logistic_ends_where_newton_overshoots() -> None:
    """Nearly separable: from here whole steps lead away."""
    x = np.array([0.30, 0.31, 0.90, 0.97, 0.999, 0.9995, 0.9999])
    terms = np.stack([np.log(x), -np.log(1 - x), np.ones(len(x))], axis=1)
    y, held = np.array([0, 0, 0, 1, 1, 1, 1.0]), np.full(3, 1e-3)
    found = logistic(terms, y, np.ones(7), np.array([1.0, 1.0, 0.0]), held)
    slope = terms.T @ (sigmoid(terms @ found) - y) + held * (found - [1.0, 1.0, 0.0])
    assert np.abs(slope).max() < 1e-4


def test_calibration_error_by_hand() -> None:
    p, right = np.array([0.1, 0.15, 0.95, 1.0]), np.array([0, 1, 1, 0])
    # bins (0, 0.1], (0.1, 0.2] and (0.9, 1]: gaps 0.1, 0.85 and |1.95 − 1|
    assert calibration_error(p, right) == pytest.approx((0.1 + 0.85 + 0.95) / 4)
    assert calibration_error(np.zeros(0), np.zeros(0)) == 0 and log_loss(np.zeros(0), np.zeros(0)) == 0


def test_right_is_one_to_one_and_of_the_class(table) -> None:
    found = table([(0, 0, 0, 0, 10, 10, 0.6), (0, 0, 0, 0, 10, 9, 0.9), (0, 1, 0, 0, 10, 10, 0.9),
                   (1, 0, 0, 0, 10, 10, 0.9), (0, 0, 50, 0, 10, 4.9, 0.9)])
    truth = table([(0, 0, 0, 0, 10, 10), (0, 0, 50, 0, 10, 10)])
    assert right_boxes(boxes_of(found), boxes_of(truth)).tolist() == [0, 1, 0, 0, 0]


def test_before_anything_is_reviewed_it_is_the_prior(table) -> None:
    found = table([(0, 0, 0, 0, 10, 10, s) for s in (0.0, 0.5, 1.0)])
    assert unreviewed().probability(found) == pytest.approx([0.04, 0.49, 0.94], abs=2e-4)
    low, high = unreviewed().interval(found)
    assert ((high - low) > 0.3).all()
    nothing = calibrate(found, table([]), np.array([7]))
    assert nothing.kind == "prior" and nothing == unreviewed()
    assert unreviewed().probability(table([])).shape == (0,)


def test_few_reviewed_boxes_stay_near_the_prior_and_the_interval_narrows(detector, table) -> None:
    found, truth = detector(0, 400, sharp=3.0)
    ask = table([(0, 0, 0, 0, 10, 10, 0.5)])
    truly, distance, width = 0.5 ** 3, [], []
    for pictures in (1, 5, 40, 400):
        learnt = calibrate(found, truth, np.arange(pictures))
        low, high = learnt.interval(ask)
        distance.append(abs(learnt.probability(ask)[0] - prior(np.array([0.5]))[0]))
        width.append((high - low)[0])
        assert low[0] <= learnt.probability(ask)[0] <= high[0]
    assert distance[0] < distance[-1] and distance[0] < 0.2
    assert width[0] > width[1] > width[2] > width[3]
    assert abs(learnt.probability(ask)[0] - truly) < 0.06


@pytest.mark.parametrize("sharp", [0.4, 1.0, 3.0])
def test_held_out_pictures_are_calibrated(detector, sharp) -> None:
    found, truth = detector(1, 500, sharp=sharp)
    learnt = calibrate(found, truth, np.arange(250))
    held = found.filter(found["image_id"].to_numpy() >= 250)
    right = right_boxes(boxes_of(held), boxes_of(truth)) == 1
    assert calibration_error(learnt.probability(held), right) < 0.05
    assert learnt.error is not None and learnt.error < 0.05
    assert learnt.reviewed == 1500 and learnt.pictures == 250 and len(learnt.scores) == 4


def test_a_feature_that_tells_is_used_and_then_asked_for(detector) -> None:
    found, truth = detector(2, 300)
    right = right_boxes(boxes_of(found), boxes_of(truth)) == 1
    rng = np.random.default_rng(0)
    flip = np.where(right, 0.8, 0.2) + rng.normal(0, 0.2, len(right))
    told = found.append_column("flip", [flip])
    learnt = calibrate(told, truth, np.arange(300))
    assert learnt.features == ("flip",) and learnt.scores["beta with features"] < learnt.scores["beta"] - 0.1
    with pytest.raises(DataError, match="'flip'"):
        learnt.probability(found)


def test_a_class_that_is_worse_than_its_scores_is_learnt(detector) -> None:
    found, truth = detector(3, 400)
    label = found["class_id"].to_numpy()
    rng = np.random.default_rng(0)
    truth = truth.filter((truth["class_id"].to_numpy() == 0) | (rng.random(truth.num_rows) < 0.3))
    learnt = calibrate(found, truth, np.arange(400))
    p, right = learnt.probability(found), right_boxes(boxes_of(found), boxes_of(truth)) == 1
    for k in (0, 1):
        assert abs(p[label == k].mean() - right[label == k].mean()) < 0.04


def test_it_is_written_and_read(tmp_path, detector) -> None:
    found, truth = detector(0, 60)
    learnt = calibrate(found, truth, np.arange(60))
    learnt.write(tmp_path / "calibration.json")
    assert Calibration.read(tmp_path / "calibration.json") == learnt
    assert calibrate(found, truth, np.arange(60)) == learnt
    assert calibrate(found, truth, np.arange(60), Settings(seed=1)).reviewed == learnt.reviewed
    with pytest.raises(DataError, match="no calibration there"):
        Calibration.read(tmp_path / "nothing.json")
    (tmp_path / "other.json").write_text('{"kind": "beta"}')
    with pytest.raises(DataError, match="this is no calibration"):
        Calibration.read(tmp_path / "other.json")


@pytest.mark.parametrize("right", [True, False])
def test_only_right_or_only_wrong_boxes(table, right) -> None:
    found = table([(i, 0, 0, 0, 10, 10, 0.5) for i in range(50)])
    truth = table([(i, 0, 0, 0, 10, 10) for i in range(50)]) if right else table([])
    p = calibrate(found, truth, np.arange(50)).probability(found)
    assert np.isfinite(p).all() and (p > 0.7 if right else p < 0.3).all()
