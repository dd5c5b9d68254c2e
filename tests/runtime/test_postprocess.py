"""One post-processing: against torchvision, against brute force, and by hand."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import batched_nms, nms

from tasks.base.errors import DataError
from tasks.runtime import choosing, merging
from tasks.runtime.choosing import strongest
from tasks.runtime.postprocess import NMS_IOU, Suppression, detections_of, suppress


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


def today(boxes: np.ndarray, iou: float) -> list[int]:
    """One box after the other, one pair after the other."""
    kept: list[int] = []
    for i, box in enumerate(boxes.astype(np.float64)):
        if all(overlap(box, boxes[j].astype(np.float64)) <= iou for j in kept):
            kept.append(i)
    return kept


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    inner = float(np.prod(np.maximum(sides, 0)))
    union = float(np.prod(np.maximum(a[2:] - a[:2], 0)) + np.prod(np.maximum(b[2:] - b[:2], 0))) - inner
    return inner / union if union > 0 else 0.0


def brute_force(boxes: np.ndarray, scores: np.ndarray, threshold: np.ndarray, iou: float | None, top_k: int,
                keep: int) -> list[tuple[float, int, int]]:
    """Score, row and class of what stays, by Python's own sorting."""
    rows = sorted((-float(scores[a, k]), a, k) for a in range(len(boxes)) for k in range(scores.shape[1])
                  if scores[a, k] > threshold[k])[:top_k]
    if iou is not None:
        within = {k: [r for r in rows if r[2] == k] for k in range(scores.shape[1])}
        rows = sorted(own[i] for own in within.values() for i in today(boxes[[r[1] for r in own]], iou))
    return [(-s, a, k) for s, a, k in rows[:keep]]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 70), st.integers(1, 5), st.sampled_from([2, 5, 1000]),
       st.sampled_from([None, 0.0, 0.3, 0.5, 0.55, 1.0]), st.sampled_from([1, 7, 1000]), st.sampled_from([1, 5, 100]))
def test_detections_equal_brute_force(seed: int, count: int, classes: int, levels: int, iou: float | None, top_k: int,
                                      keep: int) -> None:
    """Few levels give many equal scores: they stay in the order of candidate, then class."""
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, count)
    scores = (rng.integers(0, levels, (count, classes)) / levels).astype(np.float32)
    limits = rng.choice([0.0, 0.2, 0.5], classes).astype(np.float32)
    expected = brute_force(boxes, scores, limits, iou, top_k, keep)
    found = detections_of(boxes, scores, size=(200, 200), scale=1.0, score_threshold=limits,
                          suppression=Suppression(iou, top_k, keep))
    assert found.scores.tolist() == pytest.approx([s for s, _, _ in expected])
    assert found.class_ids.tolist() == [k for _, _, k in expected]
    assert np.array_equal(found.boxes, boxes[[a for _, a, _ in expected]].reshape(-1, 4))


@pytest.mark.parametrize("power", [1, 8, 40])  # from nearly all above the threshold to nearly none
@pytest.mark.parametrize("limits", [0.05, 0.0, "by class"])
def test_many_candidates_equal_torchvisions_path(power: int, limits: float | str) -> None:
    rng = np.random.default_rng(power)
    boxes = random_boxes(rng, 3000)
    scores = (rng.permutation(3000 * 20).reshape(3000, 20) / (3000 * 20)).astype(np.float32) ** np.float32(power)
    limit = np.linspace(0.02, 0.6, 20, dtype=np.float32) if limits == "by class" else np.full(20, limits, np.float32)
    places = np.flatnonzero(scores > limit)
    places = places[np.argsort(-scores.ravel()[places], kind="stable")][:1000]
    kept = batched_nms(torch.from_numpy(boxes[places // 20]), torch.from_numpy(scores.ravel()[places]),
                       torch.from_numpy(places % 20), 0.55)[:100].numpy()
    found = detections_of(boxes, scores, size=(200, 200), scale=1.0,
                          score_threshold=limit if limits == "by class" else float(limits))
    assert np.array_equal(found.boxes, boxes[places[kept] // 20])
    assert np.array_equal(found.scores, scores.ravel()[places[kept]])
    assert np.array_equal(found.class_ids, places[kept] % 20)


@pytest.mark.parametrize(("count", "step"), [(1, 1), (4000, 1), (4000, 64), (640, 63)])
def test_equal_scores_are_taken_from_the_front(count: int, step: int) -> None:
    """Also where the sample from which a higher threshold is guessed sees none, or only the high ones."""
    scores = np.full((count, 4), 0.4, np.float32)
    scores[::step, 1] = 0.8
    best = strongest(scores, 0.1, 1000)
    assert best.tolist() == sorted(range(count * 4), key=lambda i: (-scores.ravel()[i], i))[:1000]


def test_degenerate_boxes_neither_suppress_nor_vanish() -> None:
    boxes = np.array([[5, 5, 5, 5], [5, 5, 5, 5], [0, 0, 10, 10], [9, 9, 1, 1], [3, 0, 3, 10]], np.float32)
    scores = np.linspace(0.9, 0.5, 5, dtype=np.float32)[:, None]
    assert len(detections_of(boxes, scores, size=(20, 20), scale=1.0)) == 5


def test_nan_scores_and_an_empty_batch_are_nothing() -> None:
    for count, classes in ((0, 3), (2, 3), (2, 0)):
        found = detections_of(np.zeros((count, 4), np.float32), np.full((count, classes), np.nan, np.float32),
                              size=(9, 9), scale=1.0)
        assert len(found) == 0


def test_the_order_in_memory_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    boxes, scores = random_boxes(rng, 300), rng.random((300, 6)).astype(np.float32)
    plain = detections_of(boxes, scores, size=(99, 99), scale=0.5)
    turned = detections_of(np.asfortranarray(boxes), np.asfortranarray(scores), size=(99, 99), scale=0.5)
    assert np.array_equal(plain.boxes, turned.boxes)
    assert np.array_equal(plain.scores, turned.scores)


@pytest.mark.parametrize("module", [choosing, merging])
def test_only_numpy_is_needed(module: ModuleType) -> None:
    """Bundles can carry the files; they import nothing of ours."""
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    needed = set(re.findall(r"^\s*(?:import|from) (\S+)", source, re.MULTILINE))
    assert needed <= {"__future__", "collections.abc", "numpy"}


@pytest.mark.parametrize("rule", [Suppression(), Suppression(None, 300, 300), Suppression(0.6, 1000, 10)])
def test_a_suppression_survives_the_metadata(rule: Suppression) -> None:
    assert Suppression.from_json(rule.to_json()) == rule


@pytest.mark.parametrize("text", [None, "", "{}"])
def test_a_file_that_says_nothing_means_the_defaults(text: str | None) -> None:
    assert Suppression.from_json(text) == Suppression(0.55, 1000, 100)


@pytest.mark.parametrize("text", ["{", "[]", "[1]", '{"iou": 2}', '{"iou": "x"}', '{"top_k": 0}', '{"nms": 0.5}', "3",
                                  '{"max_detections": 1.5}', '{"iou": NaN}', '{"top_k": true}'])
def test_a_damaged_suppression_is_told(text: str) -> None:
    with pytest.raises(DataError, match="not understood"):
        Suppression.from_json(text)
