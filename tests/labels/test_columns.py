"""Pairs, places and ranks against plain loops."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.base.errors import DataError
from tasks.labels.columns import boxes_of, entropy, iou_of, optional, places_of, ranked_within, together

groups = st.lists(st.integers(0, 5), max_size=30).map(lambda g: np.array(g, np.int64))


@settings(max_examples=60, deadline=None)
@given(ours=groups, theirs=groups, block=st.sampled_from([1, 3, 1000]))
def test_pairs_are_those_of_a_double_loop(ours, theirs, block) -> None:
    found = [pair for a, b in together(ours, theirs, block) for pair in zip(a.tolist(), b.tolist(), strict=True)]
    assert sorted(found) == [(i, j) for i in range(len(ours)) for j in range(len(theirs)) if ours[i] == theirs[j]]


@settings(max_examples=60, deadline=None)
@given(group=groups, seed=st.integers(0, 99))
def test_ranks_count_what_is_better_in_the_group(group, seed) -> None:
    value = np.random.default_rng(seed).random(len(group)).round(1)
    slow = [sum(group[j] == group[i] and (value[j] > value[i] or (value[j] == value[i] and j < i))
                for j in range(len(group))) for i in range(len(group))]
    assert ranked_within(group, value).tolist() == slow


def test_places() -> None:
    assert places_of(np.array([], np.int64), np.array([3])).tolist() == [-1]
    assert places_of(np.array([2, 5, 9]), np.array([9, 1, 5, 12])).tolist() == [2, -1, 1, -1]


def test_overlap_by_hand() -> None:
    a = np.array([[0, 0, 2, 2], [0, 0, 0, 0], [0, 0, 1, 1.0]])
    b = np.array([[1, 0, 2, 2], [0, 0, 0, 0], [1, 0, 1, 1.0]])
    assert iou_of(a, b) == pytest.approx([2 / 6, 0, 0])


def test_entropy_by_hand() -> None:
    assert entropy(np.array([0, 0.5, 1, 0.25])) == pytest.approx([0, 1, 0, 0.25 * 2 + 0.75 * np.log2(4 / 3)])


def test_nulls_have_the_default(table) -> None:
    rows = table([(0, 0, 0, 0, 1, 1, 0.5)]).append_column("flip", pa.array([None], pa.float32()))
    assert optional(rows, "flip", 0.3).tolist() == [0.3] and optional(rows, "none", 2).tolist() == [2]
    assert len(boxes_of(table([]))) == 0


@pytest.mark.parametrize("row", [(0, 0, 0, 0, -1, 1, 0.5), (0, 0, float("nan"), 0, 1, 1, 0.5),
                                 (0, 0, 0, 0, 1, 1, float("inf"))])
def test_what_is_no_box_is_told(table, row) -> None:
    with pytest.raises(DataError, match="row 1, the first of 1"):
        boxes_of(table([(0, 0, 0, 0, 1, 1, 0.5), row]))


def test_a_missing_column_is_named(table) -> None:
    with pytest.raises(DataError, match="'h'"):
        boxes_of(table([(0, 0, 0, 0, 1, 1, 0.5)]).drop_columns(["h"]))
