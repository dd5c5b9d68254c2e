from __future__ import annotations

import hashlib
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.splitting import assign

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}
# (content, class) of each picture; few contents, so that some are equal
PICTURES = st.lists(st.tuples(st.integers(0, 60), st.integers(-1, 5)), min_size=1, max_size=120)


def digest(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def columns(pictures: list[tuple[int, int]]) -> tuple[list[str], list[int]]:
    return [digest(content) for content, _ in pictures], [label for _, label in pictures]


@given(PICTURES, st.randoms(use_true_random=False), st.integers(0, 3))
def test_order_does_not_matter(pictures: list[tuple[int, int]], chance: random.Random, seed: int) -> None:
    first = assign(*columns(pictures), SHARES, seed)
    order = list(range(len(pictures)))
    chance.shuffle(order)
    again = assign(*columns([pictures[i] for i in order]), SHARES, seed)
    assert again == [first[i] for i in order]


@given(PICTURES)
def test_equal_pictures_stay_together(pictures: list[tuple[int, int]]) -> None:
    splits: dict[int, set[str]] = {}
    for (content, _), split in zip(pictures, assign(*columns(pictures), SHARES), strict=True):
        splits.setdefault(content, set()).add(split)
    assert all(len(found) == 1 for found in splits.values())


@given(st.lists(st.integers(0, 5), min_size=1, max_size=300), st.integers(0, 5))
def test_shares_hold_for_all_and_in_every_class(labels: list[int], seed: int) -> None:
    splits = assign([digest(i) for i in range(len(labels))], labels, SHARES, seed)
    total = Counter(splits)
    for name, share in SHARES.items():
        assert abs(total[name] - share * len(labels)) <= 2
        for label in set(labels):
            mine = [split for split, other in zip(splits, labels, strict=True) if other == label]
            assert abs(mine.count(name) - share * len(mine)) <= 3


def test_many_rare_classes_do_not_all_go_to_train() -> None:
    assert Counter(assign([digest(i) for i in range(80)], list(range(80)), SHARES)) == {
        "train": 56, "val": 12, "test": 12}


@pytest.mark.parametrize("count", [20, 100])
def test_the_seed_gives_another_split(count: int) -> None:
    digests = [digest(i) for i in range(count)]
    assert assign(digests, [0] * count, SHARES, 0) != assign(digests, [0] * count, SHARES, 1)
