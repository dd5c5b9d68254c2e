"""Operations that keep some pictures or labels of a version: exclude, filter, sample, subset."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tasks.base.errors import DataError, ParamsError
from tasks.base.files import digest_tree
from tasks.data.ops import Parent, exclude, filter, sample, subset
from tasks.data.table import read_meta
from tests.data.ops.versions import apply, column, said, version

CAT, DOG, LARGE = ("cat", 1, 1, 10, 10), ("dog", 5, 5, 10, 10), ("cat", 9, 1, 40, 40)
PICTURES = {"a": [CAT, DOG], "b": [DOG], "c": [], "d": {"boxes": [CAT, LARGE], "split": "test", "tags": ["night"]}}


@pytest.mark.parametrize(("gone", "left"), [
    ([{}], "abcd"), ([{"a": [DOG]}], "bcd"), ([{"z": {"digest": "b"}}], "acd"),
    ([{"a": []}, {"d": [], "x": []}], "bc")])
def test_exclude(tmp_path: Path, gone: Any, left: str) -> None:
    first = version(tmp_path / "first", PICTURES, licence="CC0-1.0")
    others = [version(tmp_path / f"v{i}", pictures, ["dog", "x"], licence="other") for i, pictures in enumerate(gone)]
    made = apply(exclude, [first, *others], tmp_path / "out")
    assert said(made) == {file: boxes for file, boxes in said(first).items() if file in left}
    meta = read_meta(made.folder)
    assert (meta.licence, meta.parents) == ("CC0-1.0", ["first@1", *(f"v{i}@1" for i in range(len(others)))])


@pytest.mark.parametrize(("others", "message"), [
    (0, "needs a version and at least one"), (1, "no picture is left")])
def test_exclude_everything(tmp_path: Path, others: int, message: str) -> None:
    first = version(tmp_path / "first", PICTURES)
    with pytest.raises(DataError, match=message):
        apply(exclude, [first] * (1 + others), tmp_path / "out")


@pytest.mark.parametrize(("expression", "more", "wanted"), [
    ("class = 'cat'", {}, {"a": [("cat", 1)], "d": [("cat", 1), ("cat", 9)]}),
    ("class = 'cat'", {"keep_empty": True}, {"a": [("cat", 1)], "b": [], "c": [], "d": [("cat", 1), ("cat", 9)]}),
    ("class = 'cat'", {"what": "pictures"}, {"a": [("cat", 1), ("dog", 5)], "d": [("cat", 1), ("cat", 9)]}),
    ("area > 1000 or class='dog'", {}, {"a": [("dog", 5)], "b": [("dog", 5)], "d": [("cat", 9)]}),
    ("not area > 1000", {}, {"a": [("cat", 1), ("dog", 5)], "b": [("dog", 5)], "c": [], "d": [("cat", 1)]}),
    ("split = 'test'", {}, {"d": [("cat", 1), ("cat", 9)]}),
    ("tag != 'night' and width = 100", {}, {"a": [("cat", 1), ("dog", 5)], "b": [("dog", 5)], "c": []}),
])
def test_filter(tmp_path: Path, expression: str, more: Any, wanted: Any) -> None:
    made = apply(filter, [version(tmp_path / "in", PICTURES)], tmp_path / "out", expression=expression, **more)
    assert said(made) == wanted


@pytest.mark.parametrize(("what", "wanted"), [
    ("labels", {"a": [("cat",)], "c": [("cat",)]}), ("pictures", {"a": [("cat",)], "c": [("cat",), ("dog",)]})])
def test_filter_labels_of_whole_pictures(tmp_path: Path, what: str, wanted: Any) -> None:
    pictures = {"a": {"labels": ["cat"]}, "b": {"labels": ["dog"]}, "c": {"labels": ["cat", "dog"]}, "d": {},
                "e": {"labels": []}}
    parent = version(tmp_path / "in", pictures, problem="classify")
    assert said(apply(filter, [parent], tmp_path / "out", expression="class = 'cat'", what=what)) == wanted
    made = apply(filter, [parent], tmp_path / "all", expression="not class = 'dog'", keep_empty=True)
    assert column(made, "labels") == {"a": [0], "b": [], "c": [0], "d": None, "e": []}


def test_filter_that_keeps_nothing(tmp_path: Path) -> None:
    parent = version(tmp_path / "in", PICTURES)
    with pytest.raises(DataError, match="no picture is left"):
        apply(filter, [parent], tmp_path / "out", expression="width > 100")
    with pytest.raises(ParamsError, match=r"no class is called 'kat'[\s\S]*did you mean 'cat'"):
        apply(filter, [parent], tmp_path / "two", expression="class = 'kat'")


def many(tmp_path: Path, count: int = 200, name: str = "in") -> Parent:
    """A tenth of the pictures has a dog, and one a fish."""
    return version(tmp_path / name, {f"{i:03}": [("dog" if i % 10 == 0 else "cat", i, 0, 1, 1),
                                                *([("fish", i, 0, 1, 1)] if i == 77 else [])] for i in range(count)},
                   ["cat", "dog", "fish"])


@pytest.mark.parametrize(("params", "count"), [({"count": 1}, 1), ({"count": 200}, 200), ({"rate": 0.25}, 50),
                                               ({"rate": 1.0}, 200), ({"rate": 0.5, "seed": 3}, 100)])
def test_sample_has_the_number_asked_for(tmp_path: Path, params: Any, count: int) -> None:
    parent = many(tmp_path)
    first, again = (said(apply(sample, [parent], tmp_path / f"out{i}", **params)) for i in (1, 2))
    assert len(first) == count and first == again
    assert all(first[file] == boxes for file, boxes in said(parent).items() if file in first)


def test_a_smaller_sample_is_a_part_of_a_larger_one(tmp_path: Path) -> None:
    parent = many(tmp_path)
    found = [set(said(apply(sample, [parent], tmp_path / f"{count}", count=count))) for count in (20, 60)]
    assert found[0] < found[1]
    assert found[0] != set(said(apply(sample, [parent], tmp_path / "other", count=20, seed=1)))


def test_sample_goes_by_content(tmp_path: Path) -> None:
    one = version(tmp_path / "one", {f"{i:03}": {"digest": i} for i in range(50)})
    two = version(tmp_path / "two", {f"{99 - i:03}": {"digest": i} for i in range(50)})
    found = [set(column(apply(sample, [parent], tmp_path / f"out-{parent.folder.name}", count=9), "digest").values())
             for parent in (one, two)]
    assert found[0] == found[1] and len(found[0]) == 9


@pytest.mark.parametrize(("params", "wanted"), [
    ({"rate": 0.5}, {"cat": 89, "dog": 10, "fish": 1}), ({"count": 3}, {"cat": 1, "dog": 1, "fish": 1}),
    ({"count": 199}, {"cat": 178, "dog": 20, "fish": 1})])
def test_a_stratified_sample_has_every_class(tmp_path: Path, params: Any, wanted: Any) -> None:
    found = said(apply(sample, [many(tmp_path)], tmp_path / "out", stratify=True, **params))
    assert Counter("fish" if len(boxes) > 1 else boxes[0][0] for boxes in found.values()) == wanted


@pytest.mark.parametrize(("sizes", "count", "wanted"), [
    ([], 0, []), ([5], 3, [3]), ([1, 1, 1], 2, [1, 1, 0]), ([10, 10], 5, [3, 2]), ([98, 1, 1], 10, [8, 1, 1]),
    ([98, 1, 1], 3, [1, 1, 1]), ([98, 1, 1], 2, [2, 0, 0]), ([3, 3, 3], 9, [3, 3, 3]), ([50, 30, 20], 10, [5, 3, 2])])
def test_quotas(sizes: list[int], count: int, wanted: list[int]) -> None:
    assert sample.quotas(np.array(sizes, np.int64), count).tolist() == wanted


@pytest.mark.parametrize("params", [{"count": 5}, {"rate": 0.5}])
def test_sample_of_too_few(tmp_path: Path, params: Any) -> None:
    with pytest.raises(DataError, match="5 pictures are asked for, there are 0|no picture is left"):
        apply(sample, [version(tmp_path / "in", {})], tmp_path / "out", stratify=True, **params)


@pytest.mark.parametrize(("module", "params", "message"), [
    (sample, {}, "either count or rate"), (sample, {"count": 1, "rate": 0.5}, "either count or rate"),
    (sample, {"count": 0}, "greater than 0"), (sample, {"rate": 1.5}, "less than or equal to 1"),
    (subset, {}, "either split or folds"), (subset, {"split": "test", "folds": 3}, "either split or folds"),
    (subset, {"folds": 1}, "at least 2"), (subset, {"folds": 3, "fold": 3}, "fold below"),
    (subset, {"split": "dev"}, "train"), (filter, {}, "expression"),
    (filter, {"expression": "", "what": "x"}, "labels"),
])
def test_params_that_are_refused(module: ModuleType, params: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        module.Params(**params)


def test_subset_of_a_split(tmp_path: Path) -> None:
    parent = version(tmp_path / "in", PICTURES | {"e": {"split": "train", "boxes": [CAT]}})
    made = apply(subset, [parent], tmp_path / "out", split="test")
    assert (said(made), column(made, "split")) == ({"d": [("cat", 1), ("cat", 9)]}, {"d": "test"})
    with pytest.raises(DataError, match="no picture is in val: 1 in test, 1 in train, 3 in no split"):
        apply(subset, [parent], tmp_path / "none", split="val")


def test_subsets_of_folds_are_all_pictures_once(tmp_path: Path) -> None:
    pictures = {f"{i}": {"boxes": [CAT], "group": f"g{i // 2}"} for i in range(10)}
    parent = version(tmp_path / "in", pictures)
    found = [set(said(apply(subset, [parent], tmp_path / f"out{fold}", folds=5, fold=fold))) for fold in range(5)]
    assert sorted(file for files in found for file in files) == sorted(pictures)
    assert all(len({int(file) // 2 for file in files}) == 1 and len(files) == 2 for files in found)


@pytest.mark.parametrize(("module", "params"), [
    (filter, {"expression": "true"}), (sample, {"count": 1}), (subset, {"split": "test"})])
@pytest.mark.parametrize("count", [0, 2])
def test_one_parent_is_read(tmp_path: Path, module: ModuleType, params: Any, count: int) -> None:
    parents = [version(tmp_path / f"v{i}", PICTURES) for i in range(count)]
    with pytest.raises(DataError, match=f"takes one version, not {count}"):
        apply(module, parents, tmp_path / "out", **params)


@pytest.mark.parametrize(("module", "params"), [
    (filter, {"expression": "class = 'cat'"}), (sample, {"count": 3, "stratify": True}), (subset, {"split": "test"})])
def test_made_twice_gives_the_same_bytes(tmp_path: Path, module: ModuleType, params: Any) -> None:
    parent = version(tmp_path / "in", PICTURES, licence="CC0-1.0", attributes={"ids": {"cat": 3}})
    for place in ("x", "y"):
        apply(module, [parent], tmp_path / place / "out", **params)
    assert digest_tree(tmp_path / "x") == digest_tree(tmp_path / "y")
    meta = read_meta(tmp_path / "x/out")
    assert (meta.name, meta.parents, meta.licence, meta.recipe) == ("out", ["in@1"], "CC0-1.0", {})
    assert meta.attributes == {"ids": {"cat": 3}}


