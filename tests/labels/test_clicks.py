"""What each box needed, by hand and against a plain greedy matching."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.labels.clicks import ROWS, Settings, by_picture, compare, totals
from tasks.metrics.detections import detected_boxes, truth_boxes
from tasks.metrics.matching import overlaps
from tests.metrics.conftest import random_case


def test_nothing_costs_nothing(table) -> None:
    rows = compare(table([]), table([]))
    assert rows.schema == ROWS and rows.num_rows == 0
    assert totals(rows).clicks == 0 and totals(rows).share is None
    assert by_picture(rows, np.array([1, 2])).tolist() == [0, 0]


@pytest.mark.parametrize(("before", "after", "needed", "clicks"), [
    ([(0, 0, 0, 0, 10, 10, 0.9)], [(0, 0, 0, 0, 10, 10)], "accepted", 0),
    ([(0, 0, 0, 0, 10, 10, 0.9)], [(0, 1, 0, 0, 10, 10)], "class", 1),
    ([(0, 0, 0, 0, 10, 10, 0.9)], [(0, 0, 0, 0, 10, 8)], "adjusted", 2),
    ([(0, 0, 0, 0, 10, 10, 0.9)], [(0, 1, 0, 0, 10, 8)], "adjusted and class", 3),
    ([(0, 0, 0, 0, 10, 10, 0.9)], [], "deleted", 1),
    ([], [(0, 0, 0, 0, 10, 10)], "drawn", 2),
])
def test_each_act(table, before, after, needed, clicks) -> None:
    rows = compare(table(before), table(after))
    assert rows["needed"].to_pylist() == [needed] and rows["clicks"].to_pylist() == [clicks]
    assert totals(rows).counts[needed] == 1


def test_by_hand(table) -> None:
    before = table([(2, 0, 0, 0, 10, 10, 0.9), (2, 0, 0, 0, 10, 9, 0.8), (5, 1, 0, 0, 10, 10, 0.9),
                    (5, 0, 50, 0, 10, 10, 0.9)])
    after = table([(2, 0, 0, 0, 10, 10), (5, 0, 1, 0, 10, 10), (5, 0, 51, 0, 10, 10), (5, 0, 90, 0, 10, 10)])
    rows = compare(before, after)
    assert rows.select(["image_id", "needed", "before", "after"]).to_pylist() == [
        {"image_id": 2, "needed": "accepted", "before": 0, "after": 0},
        {"image_id": 2, "needed": "deleted", "before": 1, "after": None},
        {"image_id": 5, "needed": "adjusted and class", "before": 2, "after": 1},
        {"image_id": 5, "needed": "adjusted", "before": 3, "after": 2},
        {"image_id": 5, "needed": "drawn", "before": None, "after": 3}]
    sums = totals(rows)
    assert (sums.clicks, sums.from_nothing, sums.share) == (8, 8, 1) and sums.as_dict()["share"] == 1
    assert by_picture(rows, np.array([2, 5])).tolist() == [1, 7]


def test_a_box_that_lies_on_another_picture_or_far_away_is_another(table) -> None:
    rows = compare(table([(0, 0, 0, 0, 10, 10, 0.9)]), table([(1, 0, 0, 0, 10, 10), (0, 0, 8, 0, 10, 10)]))
    assert sorted(rows["needed"].to_pylist()) == ["deleted", "drawn", "drawn"]


def test_an_oracle_may_be_content_with_less(table) -> None:
    pair = table([(0, 0, 0, 0, 10, 10, 0.9)]), table([(0, 0, 0, 0, 10, 9)])
    assert totals(compare(*pair, Settings(same=0.8)), Settings(same=0.8)).clicks == 0
    assert compare(*pair, Settings(adjust=1.5))["clicks"].to_pylist() == [1.5]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_matches_are_those_of_a_plain_loop(seed) -> None:
    dataset, found = random_case(seed, crowd=0)
    rows = compare(found, dataset.annotations, Settings(least=0.3))
    old, new = detected_boxes(dataset, found), truth_boxes(dataset)
    used, theirs, matched = set(), set(), set()
    for same in (True, False):
        pairs = overlaps(new, old, 0.3, same_class=same)
        for at in np.lexsort((pairs.truth, pairs.found, -pairs.iou)):
            f, t = int(pairs.found[at]), int(pairs.truth[at])
            if f not in used and t not in theirs:
                used.add(f)
                theirs.add(t)
                matched.add((f, t))
    both = {(row["before"], row["after"]) for row in rows.to_pylist() if None not in (row["before"], row["after"])}
    assert both == matched
    assert rows.num_rows == len(old) + len(new) - len(matched)


def test_nothing_is_counted_twice() -> None:
    dataset, found = random_case(3)
    rows = compare(found, dataset.annotations)
    for name, many in (("before", found.num_rows), ("after", dataset.annotations.num_rows)):
        assert sorted(rows[name].drop_null().to_pylist()) == list(range(many))
