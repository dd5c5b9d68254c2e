from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.base.errors import DataError
from tasks.data.diff import ClassCounts, Difference, diff
from tasks.data.ops._pairing import Labels, overlap, pair
from tests.data.ops.versions import version

CAT, DOG, FAR = ("cat", 10, 10, 20, 20), ("dog", 60, 10, 20, 20), ("cat", 70, 30, 5, 5)
MOVED = ("cat", 12, 10, 20, 20)


def compared(tmp_path: Path, a: Any, b: Any, classes: Sequence[str] = ("cat", "dog")) -> Difference:
    found = diff(version(tmp_path / "a", a).folder, version(tmp_path / "b", b, classes).folder)
    for one in found.classes.values():
        assert one.after == one.before + one.added - one.removed + one.gained - one.lost
    return found


def counted(**wanted: int) -> ClassCounts:
    return ClassCounts(**wanted)


@pytest.mark.parametrize(("a", "b", "wanted"), [
    ({}, {}, {}), ({}, {"a": []}, {"after": 1, "added": 1}), ({"a": []}, {}, {"before": 1, "removed": 1}),
    ({"a": [CAT]}, {"a": [CAT]}, {"before": 1, "after": 1, "kept": 1}),
    ({"a": [CAT]}, {"b": {"digest": "a", "boxes": [CAT]}}, {"before": 1, "after": 1, "kept": 1, "renamed": 1}),
    ({"a": []}, {"a": {"digest": "other"}}, {"before": 1, "after": 1, "added": 1, "removed": 1}),
    ({"a": {"split": "train"}}, {"a": {"split": "test"}}, {"before": 1, "after": 1, "kept": 1, "moved": 1}),
    ({"a": {"split": None}}, {"a": {"split": "test"}}, {"before": 1, "after": 1, "kept": 1, "moved": 1}),
    ({"a": [CAT]}, {"a": [DOG]}, {"before": 1, "after": 1, "kept": 1, "relabelled": 1}),
    # of two copies one goes: the one whose name is gone
    ({"a": [], "b": {"digest": "a"}}, {"b": {"digest": "a"}}, {"before": 2, "after": 1, "kept": 1, "removed": 1}),
    ({"a": [], "b": {"digest": "a"}}, {"c": {"digest": "a"}}, {
        "before": 2, "after": 1, "kept": 1, "removed": 1, "renamed": 1}),
], ids=str)
def test_pictures(tmp_path: Path, a: Any, b: Any, wanted: dict[str, int]) -> None:
    found = vars(compared(tmp_path, a, b).pictures)
    assert {name: count for name, count in found.items() if count} == wanted


@pytest.mark.parametrize(("a", "b", "cat", "dog"), [
    ([], [], {}, {}), ([CAT], [CAT], {"before": 1, "after": 1}, {}), ([CAT, DOG], [DOG, CAT], {
        "before": 1, "after": 1}, {"before": 1, "after": 1}),
    ([], [CAT], {"after": 1, "added": 1}, {}), ([CAT, CAT], [CAT], {"before": 2, "after": 1, "removed": 1}, {}),
    ([CAT], [MOVED], {"before": 1, "after": 1, "moved": 1}, {}),
    ([CAT], [FAR], {"before": 1, "after": 1, "added": 1, "removed": 1}, {}),
    ([CAT], [("dog", 10, 10, 20, 20)], {"before": 1, "lost": 1}, {"after": 1, "gained": 1}),
    ([CAT], [("dog", 12, 10, 20, 20)], {"before": 1, "lost": 1}, {"after": 1, "gained": 1}),
    ([CAT], [("dog", 12, 10, 20, 20), ("cat", 14, 10, 20, 20)], {"before": 1, "after": 1, "moved": 1}, {
        "after": 1, "added": 1}),
    ([CAT], [(*CAT, {"difficult": True})], {"before": 1, "after": 1, "altered": 1}, {}),
    ([CAT], [(*CAT, {"attributes": '{"a": 1}'})], {"before": 1, "after": 1, "altered": 1}, {}),
    ([CAT], [(*CAT, {"rle": {"h": 9, "w": 9, "counts": "x"}})], {"before": 1, "after": 1, "altered": 1}, {}),
    ([CAT], [(*CAT, {"source": "human", "reviewed_by": "ann", "row": "elsewhere", "score": 0.5})], {
        "before": 1, "after": 1}, {}),
    ([("cat", float("nan"), 1, 1, 1)], [("cat", float("nan"), 1, 1, 1)], {"before": 1, "after": 1}, {}),
    ([("cat", float("nan"), 1, 1, 1)], [("cat", 1, 1, 1, 1)], {"before": 1, "after": 1, "added": 1, "removed": 1}, {}),
    ([("cat", 5, 5, 0, 0)], [("cat", 5, 5, 0, 0), CAT], {"before": 1, "after": 2, "added": 1}, {}),
    # two that moved: each goes to the one that it overlaps most
    ([("cat", 10, 0, 20, 20), ("cat", 14, 0, 20, 20)], [("cat", 13, 0, 20, 20), ("cat", 18, 0, 20, 20)], {
        "before": 2, "after": 2, "moved": 1, "added": 1, "removed": 1}, {}),
], ids=str)
def test_labels(tmp_path: Path, a: Any, b: Any, cat: dict[str, int], dog: dict[str, int]) -> None:
    found = compared(tmp_path, {"x": a, "same": [CAT, DOG]}, {"x": b, "same": [CAT, DOG]})
    one = {"before": 1, "after": 1}
    wanted = {name: counted(**{key: mine.get(key, 0) + one.get(key, 0) for key in {*mine, *one}})
              for name, mine in (("cat", cat), ("dog", dog))}
    assert found.classes == wanted


def test_labels_go_with_their_pictures(tmp_path: Path) -> None:
    found = compared(tmp_path, {"a": [CAT, DOG], "k": {"labels": ["cat"]}}, {"b": [DOG], "k": {"labels": ["cat"]}})
    assert found.classes == {"cat": counted(before=2, after=1, removed=1),
                             "dog": counted(before=1, after=1, added=1, removed=1)}


@pytest.mark.parametrize(("a", "b", "cat", "dog"), [
    (["cat"], ["cat"], {"before": 1, "after": 1}, {}), (None, ["cat"], {"after": 1, "added": 1}, {}),
    (["cat"], ["dog"], {"before": 1, "lost": 1}, {"after": 1, "gained": 1}),
    (["cat"], ["cat", "dog"], {"before": 1, "after": 1}, {"after": 1, "added": 1}),
    (["cat", "dog"], [], {"before": 1, "removed": 1}, {"before": 1, "removed": 1})])
def test_labels_of_whole_pictures(tmp_path: Path, a: Any, b: Any, cat: Any, dog: Any) -> None:
    found = compared(tmp_path, {"x": {"labels": a}}, {"x": {"labels": b}})
    assert found.classes == {"cat": counted(**cat), "dog": counted(**dog)}


def test_classes_are_compared_by_name(tmp_path: Path) -> None:
    found = compared(tmp_path, {"x": [CAT, DOG]}, {"x": [CAT, DOG, ("bee", 1, 1, 2, 2)]}, ("bee", "dog", "cat"))
    assert found.classes == {"bee": counted(after=1, added=1), "cat": counted(before=1, after=1),
                             "dog": counted(before=1, after=1)}


def test_many_pictures_in_several_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.data.diff.AT_ONCE", 3)
    monkeypatch.setattr("tasks.data.ops._pairing.AT_ONCE", 2)
    before = {f"{i:02}": [CAT, DOG, FAR] for i in range(20)}
    after = {f"x{99 - i}": {"digest": f"{i:02}", "boxes": [MOVED, DOG]} for i in range(20)}
    assert compared(tmp_path, before, after).total == counted(before=60, after=40, removed=20, moved=20)


def test_what_is_printed_and_written(tmp_path: Path) -> None:
    more = {f"n{i:02}": [] for i in range(12)}
    made = [version(tmp_path / "a", {"a": [CAT], "b": [DOG], "c": [CAT]}),
            version(tmp_path / "b", {"a": [MOVED], "b": [("cat", 60, 10, 20, 20)], **more})]
    found = diff(made[0].folder, made[1].folder, ("a@1", "b@2"))
    assert str(found) == "\n".join([
        "a@1 -> b@2",
        "pictures  3 -> 14: 12 added, 1 removed, 2 kept (0 renamed, 0 in another split, 2 with other labels)",
        "labels    3 -> 2: 0 added, 1 removed, 1 moved, 0 altered, 1 of another class",
        "",
        "class  before  after  added  removed  moved  altered  gained  lost",
        "cat         2      2      0        1      1        0       1     0",
        "dog         1      0      0        0      0        0       0     1",
        "",
        "1 labels: dog -> cat",
        "added: " + ", ".join(f"n{i:02}" for i in range(10)) + " and 2 more",
        "removed: c",
        "relabelled: a, b"])
    told = json.loads(json.dumps(found.to_json()))
    assert told["exchanged"] == [{"from": "dog", "to": "cat", "labels": 1}]
    assert told["pictures"]["added"] == 12 and told["classes"]["cat"]["moved"] == 1 and told["labels"]["removed"] == 1
    same = str(diff(made[0].folder, made[0].folder))
    assert same.endswith("0 of another class") and "class " not in same


def test_a_damaged_folder(tmp_path: Path) -> None:
    made = version(tmp_path / "a", {"a": [CAT]})
    with pytest.raises(DataError, match="not a dataset folder"):
        diff(made.folder, tmp_path / "none")


BOX = st.tuples(st.integers(0, 2), st.integers(0, 1), *(st.integers(1, 12) for _ in range(4)))


def labels(rows: list[tuple[int, ...]]) -> Labels:
    table = np.array(sorted(rows, key=lambda row: row[0]), np.int64).reshape(-1, 6)
    place = np.array([hash(tuple(row)) % (1 << 62) for row in table[:, 2:].tolist()], np.uint64)
    placed = np.array([hash(tuple(row)) % (1 << 62) for row in table[:, 1:].tolist()], np.uint64)
    return Labels(table[:, 0], table[:, 1], table[:, 2:].astype(float), placed, placed, place)


@settings(deadline=None)
@given(st.lists(BOX, max_size=12), st.lists(BOX, max_size=12))
def test_matching_is_that_of_a_plain_greedy_loop(a: list[tuple[int, ...]], b: list[tuple[int, ...]]) -> None:
    one, other = labels(a), labels(b)
    found = pair(one, other)
    free_a, free_b = set(range(len(a))), set(range(len(b)))
    for name in ("equal", "other", "kind"):  # these come before what overlaps
        same_place = [(i, j) for i, j in zip(*(side.tolist() for side in found[name]), strict=True)
                      if one.box[i].tolist() == other.box[j].tolist()]
        for i, j in same_place:
            assert one.picture[i] == other.picture[j] and (name == "kind") == (one.kind[i] != other.kind[j])
            free_a.remove(i)
            free_b.remove(j)
    edges = sorted((one.kind[i] != other.kind[j], -overlap(one.box[[i]], other.box[[j]])[0], i, j)
                   for i in free_a for j in free_b if one.picture[i] == other.picture[j])
    wanted = set()
    for _, negative, i, j in edges:
        if negative <= -0.5 and i in free_a and j in free_b:
            wanted.add((i, j))
            free_a.remove(i)
            free_b.remove(j)
    matched = {(i, j) for name in ("box", "kind") for i, j in
               zip(*(side.tolist() for side in found[name]), strict=True)}
    assert {(i, j) for i, j in matched if one.box[i].tolist() != other.box[j].tolist()} == wanted


@pytest.mark.parametrize(("a", "b", "wanted"), [
    ((0, 0, 10, 10), (0, 0, 10, 10), 1), ((0, 0, 10, 10), (5, 0, 10, 10), 1 / 3), ((0, 0, 10, 10), (10, 0, 10, 10), 0),
    ((0, 0, 10, 10), (20, 20, 5, 5), 0), ((0, 0, 10, 10), (2, 2, 5, 4), 0.2)])
def test_overlap(a: tuple[float, ...], b: tuple[float, ...], wanted: float) -> None:
    assert overlap(np.array([a], float), np.array([b], float))[0] == pytest.approx(wanted)
