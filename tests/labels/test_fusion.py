"""Weighted boxes fusion by hand and against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.labels.fusion import fuse


def overlap(a, b) -> float:
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(wide, 0) * max(high, 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def slow(boxes, scores, voices, weights, iou) -> list[tuple[list[float], float, int]]:
    """As the paper tells it, for one picture and one class."""
    clusters: list[list[int]] = []
    heavy = [s * weights[v] for s, v in zip(scores, voices, strict=True)]

    def middle(rows: list[int]) -> np.ndarray:
        return sum(heavy[r] * boxes[r] for r in rows) / sum(heavy[r] for r in rows)

    for row in sorted(range(len(boxes)), key=lambda r: (-heavy[r], r)):
        met = [overlap(boxes[row], middle(rows)) for rows in clusters]
        at = int(np.argmax(met)) if met else -1
        if met and met[at] > iou:
            clusters[at].append(row)
        else:
            clusters.append([row])
    return [(middle(rows).tolist(), sum(heavy[r] for r in rows) / len(rows) * min(len(rows), len(weights))
             / sum(weights), len({voices[r] for r in rows})) for rows in clusters]


def test_nothing_fuses_to_nothing() -> None:
    done = fuse(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), np.zeros(0, int), np.ones(2))
    assert len(done.cluster) == len(done.xywh) == len(done.score) == 0


def test_by_hand() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [50, 0, 10, 10.0]])
    done = fuse(boxes, np.array([0.9, 0.6, 0.5]), np.zeros(3, int), np.array([0, 1, 0]), np.ones(2))
    assert done.cluster.tolist() == [0, 0, 1]
    assert done.xywh[0] == pytest.approx([0, 0, 10, (0.9 * 10 + 0.6 * 8) / 1.5])
    # two of two voices: the mean; one of two: half
    assert done.score == pytest.approx([0.75, 0.25]) and done.voices.tolist() == [2, 1]
    assert done.first.tolist() == [0, 2] and done.size.tolist() == [2, 1]


def test_weights_by_hand() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 8.0]])
    done = fuse(boxes, np.array([0.5, 0.6]), np.zeros(2, int), np.array([0, 1]), np.array([3.0, 1.0]))
    assert done.xywh[0, 3] == pytest.approx((1.5 * 10 + 0.6 * 8) / 2.1)
    assert done.score == pytest.approx([(1.5 + 0.6) / 2 * 2 / 4])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), cells=st.sampled_from([1, 20, 1 << 20]))
def test_against_a_plain_loop(seed, cells) -> None:
    rng = np.random.default_rng(seed)
    count, voices = int(rng.integers(1, 25)), int(rng.integers(1, 4))
    boxes = np.concatenate([rng.integers(0, 4, (count, 2)) * 4.0, rng.random((count, 2)) * 6 + 6], axis=1)
    group, voice = rng.integers(0, 4, count) * 7, rng.integers(0, voices, count)
    score, weights = rng.random(count) + 0.01, rng.random(voices) + 0.5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tasks.labels.fusion.CELLS", cells)
        done = fuse(boxes, score, group, voice, weights, 0.4)
    for number in np.unique(group):
        rows = np.flatnonzero(group == number)
        expected = slow(boxes[rows], score[rows], voice[rows], weights, 0.4)
        found = np.unique(done.cluster[rows])
        assert done.xywh[found] == pytest.approx(np.array([box for box, _, _ in expected]))
        assert done.score[found] == pytest.approx([value for _, value, _ in expected])
        assert done.voices[found].tolist() == [many for _, _, many in expected]
