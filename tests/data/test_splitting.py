from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.base.errors import DataError
from tasks.data.splitting import Pictures, assign, folds, rarest_class, read_near, read_pictures
from tests.data.ops.versions import version

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}
# (content, class) of each picture; few contents, so that some are equal
PICTURES = st.lists(st.tuples(st.integers(0, 60), st.integers(-1, 5)), min_size=1, max_size=120)


def digest(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def columns(pictures: list[tuple[int, int]]) -> tuple[list[str], list[int]]:
    return [digest(content) for content, _ in pictures], [label for _, label in pictures]


@settings(deadline=None)
@given(PICTURES, st.randoms(use_true_random=False), st.integers(0, 3))
def test_order_does_not_matter(pictures: list[tuple[int, int]], chance: random.Random, seed: int) -> None:
    first = assign(*columns(pictures), SHARES, seed)
    order = list(range(len(pictures)))
    chance.shuffle(order)
    again = assign(*columns([pictures[i] for i in order]), SHARES, seed)
    assert again == [first[i] for i in order]


@settings(deadline=None)
@given(PICTURES)
def test_equal_pictures_stay_together(pictures: list[tuple[int, int]]) -> None:
    splits: dict[int, set[str]] = {}
    for (content, _), split in zip(pictures, assign(*columns(pictures), SHARES), strict=True):
        splits.setdefault(content, set()).add(split)
    assert all(len(found) == 1 for found in splits.values())


@settings(deadline=None)
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


def plain(digests: Sequence[str], strata: Sequence[int], shares: Mapping[str, float], seed: int) -> list[str]:
    """The algorithm as it reads: the split that a picture's stratum and the whole lack most, one picture at a time."""
    sizes = Counter(strata)
    order = sorted(range(len(digests)), key=lambda i: (
        sizes[strata[i]], strata[i], hashlib.sha256(f"{seed}:{digests[i]}".encode()).hexdigest()))
    whole, parts = Counter[str](), {stratum: Counter[str]() for stratum in sizes}
    chosen = [""] * len(digests)
    for i in order:
        mine = parts[strata[i]]
        lacks = {name: share * (mine.total() + 1) - mine[name] + share * (whole.total() + 1) - whole[name]
                 for name, share in shares.items()}
        chosen[i] = max(lacks, key=lambda name: round(lacks[name], 9))
        mine[chosen[i]] += 1
        whole[chosen[i]] += 1
    return chosen


@settings(deadline=None)
@given(st.lists(st.integers(-1, 6), max_size=200), st.integers(0, 9),
       st.sampled_from([SHARES, {"train": 0.7 / 0.85, "val": 0.15 / 0.85}, dict.fromkeys("abcde", 0.2)]))
def test_it_is_the_plain_algorithm(strata: list[int], seed: int, shares: dict[str, float]) -> None:
    digests = [digest(i) for i in range(len(strata))]
    assert assign(digests, strata, shares, seed) == plain(digests, strata, shares, seed)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(-1, 3)), min_size=1, max_size=60),
       st.randoms(use_true_random=False))
def test_groups_stay_together_in_any_order(pictures: list[tuple[int, int]], chance: random.Random) -> None:
    digests, strata = [digest(i) for i in range(len(pictures))], [label for _, label in pictures]
    groups = np.unique([group for group, _ in pictures], return_inverse=True)[1]
    first = assign(digests, strata, SHARES, groups=groups)
    assert len(set(zip(groups.tolist(), first, strict=True))) == groups.max() + 1
    order = list(range(len(pictures)))
    chance.shuffle(order)
    renamed = groups.max() - groups[order]
    again = assign([digests[i] for i in order], [strata[i] for i in order], SHARES, groups=renamed)
    assert again == [first[i] for i in order]


def test_shares_hold_with_groups_of_many_sizes() -> None:
    sizes = [1] * 300 + [5] * 60 + [40] * 10
    groups = np.repeat(np.arange(len(sizes)), sizes)
    digests, strata = [digest(i) for i in range(len(groups))], groups % 3
    total = Counter(assign(digests, strata, SHARES, groups=groups))
    assert all(abs(total[name] / len(groups) - share) < 0.02 for name, share in SHARES.items())


@pytest.mark.parametrize("count", [0, 1])
def test_few_pictures(count: int) -> None:
    assert assign([digest(0)] * count, [0] * count, SHARES) == ["train"] * count


@pytest.mark.parametrize(("labels", "classes", "wanted"), [
    ([], 0, [-1, -1, -1]), ([], 2, [-1, -1, -1]), ([(0, 0), (1, 0), (1, 1)], 2, [0, 1, -1]),
    ([(0, 1), (1, 0)], 2, [1, 0, -1]), ([(0, 0), (0, 1), (2, 1), (2, 1), (2, 0)], 2, [0, -1, 0]),
    ([(0, 2), (1, 2), (2, 2), (0, 1), (1, 1), (2, 0)], 3, [1, 1, 0])])
def test_rarest_class(labels: list[tuple[int, int]], classes: int, wanted: list[int]) -> None:
    owners, ids = (np.array([pair[side] for pair in labels], np.int64) for side in (0, 1))
    assert rarest_class(owners, ids, 3, classes).tolist() == wanted


def pictures_of(count: int, group: int = 1) -> Pictures:
    return Pictures([digest(i) for i in range(count)], np.arange(count) % 3, np.arange(count) // group,
                    np.full(count, 3))


@pytest.mark.parametrize(("count", "k", "group"), [(0, 3, 1), (30, 3, 1), (31, 5, 1), (60, 10, 2), (10, 10, 1)])
def test_folds_are_equal_and_stratified(count: int, k: int, group: int) -> None:
    found = folds(pictures_of(count, group), k)
    sizes = np.bincount(found, minlength=k)
    assert len(found) == count and sizes.max() - sizes.min() <= group
    assert all(len(set(found[i:i + group].tolist())) == 1 for i in range(0, count, group))
    assert count < 30 or (folds(pictures_of(count, group), k, seed=1) != found).any()


FILES: dict[str, Any] = {
    "a/1": {"group": "g"}, "a/2": {"tags": ["s-1", "x"]}, "b/3": {"group": "g"}, "b/4": {"tags": ["s-1"]},
    "c/5": {"tags": ["x"]}, "c/d/6": {"digest": "c/5"}, "top": {}}


@pytest.mark.parametrize(("groups", "wanted"), [
    ("none", ["c/5 c/d/6"]), ("column", ["a/1 b/3", "c/5 c/d/6"]), ("folder", ["a/1 a/2 b/3 b/4", "c/5 c/d/6"]),
    ("tag:s-", ["a/1 b/3", "a/2 b/4", "c/5 c/d/6"]), ("tag:", ["a/1 b/3", "a/2 b/4 c/5 c/d/6"]),
    ("tag:%", ["a/1 b/3", "c/5 c/d/6"])])
def test_what_belongs_together(tmp_path: Path, groups: str, wanted: list[str]) -> None:
    found = read_pictures(version(tmp_path / "in", FILES).folder, groups).components
    assert together(found) == wanted


def together(components: np.ndarray) -> list[str]:
    names = np.array(sorted(FILES))
    several = [" ".join(names[components == number]) for number in range(components.max() + 1)]
    return sorted(files for files in several if " " in files)


def test_near_duplicates_belong_together(tmp_path: Path) -> None:
    near = np.array([0, 1, 2, 1, 4, 5, 0])
    found = read_pictures(version(tmp_path / "in", FILES).folder, "column", near)
    assert together(found.components) == ["a/1 b/3 top", "a/2 b/4", "c/5 c/d/6"]


def test_labels_of_whole_pictures_are_strata(tmp_path: Path) -> None:
    pictures: dict[str, Any] = {"a": {"labels": ["cat"]}, "b": {"labels": ["cat", "dog"]}, "c": {"labels": None},
                                "d": [("cat", 1, 1, 2, 2)]}
    assert read_pictures(version(tmp_path / "in", pictures).folder).strata.tolist() == [0, 1, -1, 0]


@pytest.mark.parametrize(("rows", "message"), [
    (None, "no near-duplicates can be read"), ({"image_id": [0, 1]}, "no near-duplicates can be read"),
    ({"image_id": [0], "near": [0]}, "of another dataset: 1 pictures, not 2"),
    ({"image_id": [0, 2], "near": [0, 0]}, "of another dataset"),
    ({"image_id": [0, 1], "near": [0, 2]}, "of another dataset"),
    ({"image_id": [0, 1], "near": [0, -1]}, "of another dataset")])
def test_near_duplicates_that_do_not_fit(tmp_path: Path, rows: Any, message: str) -> None:
    if rows is not None:
        pq.write_table(pa.table(rows), tmp_path / "groups.parquet")
    with pytest.raises(DataError, match=message):
        read_near(tmp_path, 2)


def test_near_duplicates_in_any_order(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image_id": [2, 0, 1], "near": [0, 0, 1]}), tmp_path / "groups.parquet")
    assert read_near(tmp_path, 3).tolist() == [0, 1, 0]
