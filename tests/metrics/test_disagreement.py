"""Two detectors matched one to one: tables of cases, the empty one first."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.metrics.disagreement import disagreement

from .conftest import dataset_of, table_of

HERE, SHIFTED, ELSEWHERE = (10, 10, 20, 20), (14, 10, 20, 20), (100, 100, 20, 20)  # IoU of the first two: 0.67


@pytest.mark.parametrize(("a", "b", "expected"), [
    # detections (class, box, score) of either side; only A, only B, other class
    ([], [], (0, 0, 0)),
    ([(0, HERE, 0.9)], [], (1, 0, 0)),
    ([], [(0, HERE, 0.9)], (0, 1, 0)),
    ([(0, HERE, 0.9)], [(0, SHIFTED, 0.6)], (0, 0, 0)),
    ([(0, HERE, 0.9)], [(1, SHIFTED, 0.6)], (0, 0, 1)),
    ([(0, HERE, 0.9)], [(0, ELSEWHERE, 0.9)], (1, 1, 0)),
    ([(0, HERE, 0.9)], [(0, HERE, 0.49)], (1, 0, 0)),  # below the threshold it is not shown
    ([(0, HERE, 0.9)], [(0, HERE, 0.9), (0, SHIFTED, 0.8)], (0, 1, 0)),  # one partner each
    ([(0, HERE, 0.9)], [(1, HERE, 0.9), (0, SHIFTED, 0.6)], (0, 1, 0)),  # the same class goes first
    ([(0, HERE, 0.9), (1, SHIFTED, 0.9)], [(1, HERE, 0.9), (0, SHIFTED, 0.9)], (0, 0, 0))])
def test_pairs(a: list[Any], b: list[Any], expected: tuple[int, int, int]) -> None:
    dataset = dataset_of(["x", "y"], 2, [])
    tables = [table_of([(1, label, *box, score) for label, box, score in side]) for side in (a, b)]
    found = disagreement(dataset, *tables)
    assert (found.only_a, found.only_b, found.other_class) == expected
    assert found.pictures == len(found.worst) == (1 if any(expected) else 0)


def test_the_worst_picture_comes_first_and_says_why() -> None:
    dataset = dataset_of(["x", "y"], 4, [])
    a = table_of([(0, 0, *HERE, 0.9), (2, 0, *HERE, 0.9), (2, 0, *ELSEWHERE, 0.6)])
    b = table_of([(0, 1, *HERE, 0.8), (3, 0, *HERE, 0.9)])
    found = disagreement(dataset, a, b)
    assert [one.image_id for one in found.worst] == [2, 0, 3]
    assert [(one.only_a, one.only_b, one.other_class) for one in found.worst] == [(2, 0, 0), (0, 0, 1), (0, 1, 0)]
    assert [seen.kind for seen in found.worst[1].a + found.worst[1].b] == ["other", "other"]
    assert found.worst[0].a[0].box == (10, 10, 30, 30) and found.worst[0].a[0].score > found.worst[0].a[1].score
    assert len(disagreement(dataset, a, b, most=1).worst) == 1
    assert disagreement(dataset, a, b, threshold=0.95).pictures == 0
