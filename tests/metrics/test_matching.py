"""Overlaps and claims against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.metrics import matching
from tasks.metrics.detections import detected_boxes, truth_boxes
from tasks.metrics.matching import claim, overlaps, ranks


def plain_overlaps(truth, found, least, same_class) -> list[tuple[int, int, float]]:
    pairs = []
    for d in range(len(found)):
        for t in range(len(truth)):
            if found.image[d] != truth.image[t] or (same_class and found.label[d] != truth.label[t]):
                continue
            (x, y, w, h), (left, top, width, height) = found.xywh[d], truth.xywh[t]
            shared = max(min(x + w, left + width) - max(x, left), 0) * max(min(y + h, top + height) - max(y, top), 0)
            overlap = shared / (w * h if truth.crowd[t] else w * h + width * height - shared)
            if overlap >= least:
                pairs.append((d, t, overlap))
    return pairs


def plain_claim(pairs, rank) -> list[tuple[int, int]]:
    taken, claims = set(), []
    for d in sorted({d for d, _, _ in pairs}, key=lambda d: rank[d]):
        free = [(overlap, t) for d2, t, overlap in pairs if d2 == d and t not in taken]
        if free:
            taken.add(max(free)[1])
            claims.append((d, max(free)[1]))
    return claims


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), same_class=st.booleans(), least=st.sampled_from([0.1, 0.5, 0.9]))
def test_they_agree_with_plain_loops(make_random, seed, same_class, least) -> None:
    dataset, table = make_random(seed)
    truth, found = truth_boxes(dataset), detected_boxes(dataset, table)
    pairs = overlaps(truth, found, least, same_class=same_class)
    expected = plain_overlaps(truth, found, least, same_class)
    assert list(zip(pairs.found, pairs.truth, strict=True)) == [(d, t) for d, t, _ in expected]
    assert pairs.iou == pytest.approx([overlap for _, _, overlap in expected])
    claimed = claim(pairs, ranks(found), len(truth))
    assert list(zip(claimed.found, claimed.truth, strict=True)) == plain_claim(expected, ranks(found))


def test_chunks_join_without_a_seam(make_random, monkeypatch) -> None:
    dataset, table = make_random(5)
    truth, found = truth_boxes(dataset), detected_boxes(dataset, table)
    whole = overlaps(truth, found, 0.1)
    monkeypatch.setattr(matching, "CHUNK", 3)
    parts = overlaps(truth, found, 0.1)
    assert len(whole) > 10
    for name in ("found", "truth", "iou"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


def test_a_turned_away_detection_takes_its_next_object(make_dataset, make_table) -> None:
    """The middle one overlaps the left object more, but the best score has it."""
    dataset = make_dataset(["a"], 1, [(0, 0, 0, 0, 10, 10), (0, 0, 4, 0, 10, 10)])
    table = make_table([(0, 0, 1, 0, 10, 10, 0.5), (0, 0, 0, 0, 10, 10, 0.9)])
    truth, found = truth_boxes(dataset), detected_boxes(dataset, table)
    claimed = claim(overlaps(truth, found, 0.3), ranks(found), len(truth))
    assert list(zip(claimed.found, claimed.truth, strict=True)) == [(1, 0), (0, 1)]


def test_boxes_without_area_overlap_nothing(make_dataset, make_table) -> None:
    dataset = make_dataset(["a"], 1, [(0, 0, 5, 5, 0, 0)])
    found = detected_boxes(dataset, make_table([(0, 0, 5, 5, 0, 0, 0.5)]))
    assert len(overlaps(truth_boxes(dataset), found, 0.1)) == 0
