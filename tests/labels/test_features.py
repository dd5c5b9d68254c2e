"""Margin, spread and flip consistency of cases that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tasks.labels.features import candidate_features, flip_consistency, mirrored


def test_nothing_has_no_features(table) -> None:
    found = candidate_features(np.zeros((0, 4)), np.zeros((0, 2)), np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))
    assert {name: len(values) for name, values in found.items()} == {"margin": 0, "spread": 0, "support": 0}
    assert len(flip_consistency(table([]), table([]))) == 0


def test_a_detection_that_stands_alone() -> None:
    box = np.array([[0, 0, 10, 10.0]])
    found = candidate_features(box, np.array([[0.8, 0.0]]), box, np.array([0.8]), np.array([0]))
    assert found["margin"] == pytest.approx([0.8]) and found["spread"] == pytest.approx([0])
    assert found["support"] == pytest.approx([0.8])


def test_by_hand() -> None:
    # the second lies on the first with IoU 8/10, the third with 6/14 too little to be folded in
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [4, 0, 14, 10], [50, 50, 60, 60.0]])
    scores = np.array([[0.8, 0.1], [0.4, 0.6], [0.7, 0.9], [0.3, 0.2]])
    found = candidate_features(boxes, scores, boxes[[0, 3]], np.array([0.8, 0.3]), np.array([0, 0]))
    assert found["margin"] == pytest.approx([0.8 - 0.6, 0.3 - 0.2])
    assert found["support"] == pytest.approx([0.8 + 0.4, 0.3])
    assert found["spread"] == pytest.approx([0.4 * 0.2 / 1.2, 0])


def test_many_go_in_parts_without_a_seam(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    corner = rng.random((40, 2)) * 20
    boxes, scores = np.concatenate([corner, corner + 10], axis=1), rng.random((40, 3))
    arguments = boxes, scores, boxes[:9], scores[:9, 1], np.ones(9, int)
    whole = candidate_features(*arguments)
    monkeypatch.setattr("tasks.labels.features.ROWS", 2)
    for name, values in candidate_features(*arguments).items():
        np.testing.assert_array_equal(values, whole[name])


def test_flip_by_hand(table) -> None:
    found = table([(0, 0, 0, 0, 10, 10, 0.9), (0, 1, 0, 0, 10, 10, 0.9), (1, 0, 0, 0, 10, 10, 0.5)])
    again = table([(0, 0, 0, 0, 10, 5, 0.7), (0, 0, 0, 0, 10, 10, 0.2), (1, 0, 90, 0, 10, 10, 0.5)])
    assert flip_consistency(found, again) == pytest.approx([max(0.5 * 0.8, 1.0 * 0.3), 0, 0])


def test_mirrored_twice_is_as_before(table) -> None:
    images = pa.table({"image_id": [1, 0], "width": [50, 100]})
    found = table([(0, 0, 10, 5, 20, 5, 0.5), (1, 0, 10, 5, 20, 5, 0.5)])
    assert mirrored(found, images)["x"].to_pylist() == [70, 20]
    assert mirrored(mirrored(found, images), images).equals(found)
