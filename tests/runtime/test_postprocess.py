"""One post-processing: against torchvision, against brute force, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import nms

from tasks.runtime.postprocess import NMS_IOU, detections_of, suppress


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.uniform(0, 80, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(1, 40, (count, 2))], axis=1).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 60), st.sampled_from([0.1, 0.5, 0.6, 0.9]))
def test_suppression_equals_torchvision(seed: int, count: int, iou: float) -> None:
    rng = np.random.default_rng(seed)
    boxes, scores = random_boxes(rng, count), np.sort(rng.permutation(count).astype(np.float32))[::-1].copy()
    expected = nms(torch.from_numpy(boxes), torch.from_numpy(scores), iou).numpy()
    assert suppress(boxes, iou).tolist() == expected.tolist()


@pytest.mark.parametrize(("boxes", "kept"), [
    ([], []),
    ([[0, 0, 10, 10]], [0]),
    ([[0, 0, 10, 10], [0, 0, 10, 10]], [0]),
    ([[0, 0, 10, 10], [20, 20, 30, 30]], [0, 1]),
    ([[0, 0, 10, 10], [0, 0, 10, 5.4]], [0, 1]),
    ([[0, 0, 10, 10], [0, 0, 10, 5.6]], [0]),
    ([[0, 0, 0, 0], [0, 0, 0, 0]], [0, 1]),
])
def test_suppression_by_hand(boxes: list[list[float]], kept: list[int]) -> None:
    assert suppress(np.array(boxes, dtype=np.float32).reshape(-1, 4)).tolist() == kept


def test_classes_do_not_suppress_each_other() -> None:
    boxes = np.tile(np.array([[5, 5, 25, 25]], dtype=np.float32), (3, 1))
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.85, 0.3]], dtype=np.float32)
    found = detections_of(boxes, scores, size=(50, 50), scale=1.0, score_threshold=0.25)
    assert found.class_ids.tolist() == [0, 1]
    assert found.scores.tolist() == pytest.approx([0.9, 0.8])


def test_class_wise_suppression_is_that_of_each_class_alone() -> None:
    rng = np.random.default_rng(1)
    boxes, scores = random_boxes(rng, 80), rng.random((80, 3)).astype(np.float32)
    found = detections_of(boxes, scores, size=(200, 200), scale=1.0, score_threshold=0.5, max_detections=1000)
    for k in range(3):
        order = np.argsort(-scores[:, k], kind="stable")
        order = order[scores[order, k] > 0.5]
        alone = order[suppress(boxes[order], NMS_IOU)]
        assert found.scores[found.class_ids == k].tolist() == scores[alone, k].tolist()


def test_boxes_return_to_the_picture_and_are_clipped() -> None:
    boxes = np.array([[-10, 10, 400, 50]], dtype=np.float32)
    found = detections_of(boxes, np.array([[0.9]], dtype=np.float32), size=(240, 320), scale=0.5)
    assert found.boxes.tolist() == [[0, 20, 320, 100]]


def test_thresholds_may_differ_by_class() -> None:
    boxes = np.array([[0, 0, 10, 10], [30, 30, 40, 40]], dtype=np.float32)
    scores = np.array([[0.4, 0.4], [0.6, 0.2]], dtype=np.float32)
    limits = np.array([0.5, 0.3], dtype=np.float32)
    found = detections_of(boxes, scores, size=(50, 50), scale=1.0, score_threshold=limits)
    assert sorted(zip(found.class_ids.tolist(), found.scores.tolist(), strict=True)) == [
        (0, pytest.approx(0.6)), (1, pytest.approx(0.4))]


def test_nothing_found_is_empty_arrays() -> None:
    found = detections_of(np.zeros((4, 4), np.float32), np.zeros((4, 2), np.float32), size=(9, 9), scale=1.0)
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)
    assert found.class_ids.dtype == np.int64


def test_at_most_max_detections_best_first() -> None:
    rng = np.random.default_rng(2)
    found = detections_of(random_boxes(rng, 200), rng.random((200, 4)).astype(np.float32), size=(200, 200), scale=1.0,
                          max_detections=7)
    assert len(found) == 7
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
