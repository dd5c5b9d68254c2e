from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from tasks.base.errors import DataError
from tasks.base.files import digest_tree
from tasks.data.ops import merge
from tasks.data.rows import rows
from tasks.data.table import read_meta
from tests.data.ops.versions import apply, column, said, version

CAT, DOG = ("cat", 1, 1, 10, 10), ("dog", 5, 5, 10, 10)
NEAR = ("cat", 1 + 4e-7, 1, 10, 10)
FAR = ("cat", 1.00001, 1, 10, 10)
MINE = (*DOG, {"source": "human"})
SEEN = (*DOG, {"reviewed_by": "ann"})


def merged(tmp_path: Path, *parents: dict[str, Any], **params: Any) -> dict[str, Any]:
    made = [version(tmp_path / f"v{number}", pictures) for number, pictures in enumerate(parents)]
    return said(apply(merge, made, tmp_path / "out", **params))


@pytest.mark.parametrize(("first", "second", "wanted"), [
    ({}, {"a": [CAT]}, {"a": [("cat", 1)]}),
    ({"a": [CAT]}, {"b": [DOG]}, {"a": [("cat", 1)], "b": [("dog", 5)]}),
    ({"b": [CAT], "d": []}, {"a": [DOG], "c": [DOG, CAT]}, {
        "a": [("dog", 5)], "b": [("cat", 1)], "c": [("dog", 5), ("cat", 1)], "d": []}),
    ({"a": [CAT, DOG]}, {"a": [DOG, CAT]}, {"a": [("cat", 1), ("dog", 5)]}),
    ({"a": [CAT]}, {"a": [NEAR]}, {"a": [("cat", 1)]}),
    ({"a": [CAT]}, {"z": {"digest": "a", "boxes": [CAT]}}, {"a": [("cat", 1)]}),
    # copies within a version stay, and are one picture for the other version
    ({"a": [CAT], "b": {"digest": "a", "boxes": [CAT]}}, {"c": {"digest": "a", "boxes": [CAT]}},
     {"a": [("cat", 1)], "b": [("cat", 1)]}),
], ids=str)
def test_pictures_of_both(tmp_path: Path, first: Any, second: Any, wanted: Any) -> None:
    assert merged(tmp_path, first, second) == wanted


@pytest.mark.parametrize(("conflict", "labels", "kept"), [
    ("newest", ([CAT], [DOG]), 1), ("newest", ([CAT], [DOG], []), 2), ("newest", ([CAT], [DOG], [CAT]), 2),
    ("first", ([CAT], [DOG]), 0), ("first", ([], [DOG], [CAT]), 0),
    ("human", ([CAT], [MINE]), 1), ("human", ([SEEN], [CAT], []), 0), ("human", ([CAT], [SEEN], [MINE]), 1),
    ("human", ([CAT], [CAT]), 0),
])
def test_conflicts_are_decided(tmp_path: Path, conflict: str, labels: Any, kept: int) -> None:
    found = merged(tmp_path, *({"a": boxes, f"own{number}": [CAT]} for number, boxes in enumerate(labels)),
                   conflict=conflict)
    assert found["a"] == [(name, x) for name, x, *_ in labels[kept]]
    assert set(found) == {"a", *(f"own{number}" for number in range(len(labels)))}


@pytest.mark.parametrize(("conflict", "labels"), [
    ("stop", ([CAT], [DOG])), ("stop", ([CAT], [])), ("stop", ([CAT], [FAR])), ("stop", ([CAT], [CAT, CAT])),
    ("stop", ([CAT], [CAT], [DOG])), ("human", ([CAT], [DOG])), ("human", ([MINE], [(*CAT, {"source": "human"})])),
    ("stop", ([(*CAT, {"polygons": [[1, 1, 9, 1, 9, 9]]})], [(*CAT, {"polygons": [[1, 1, 9, 1, 9, 8]]})])),
    ("stop", ([CAT], [(*CAT, {"rle": {"h": 50, "w": 100, "counts": "0"}})])),
])
def test_open_conflicts_stop(tmp_path: Path, conflict: str, labels: Any) -> None:
    with pytest.raises(DataError, match=r"1 pictures have different labels[\s\S]*a \(v0@1, v[12]@1[\s\S]*--conflict"):
        merged(tmp_path, *({"a": boxes} for boxes in labels), conflict=conflict)
    assert not list((tmp_path / "out").iterdir()), "something half-written stayed"


def test_ten_conflicts_are_listed(tmp_path: Path) -> None:
    names = [f"p{number:02}" for number in range(13)]
    listed = r"13 pictures[\s\S]*p00 \(v0@1, v1@1\)[\s\S]*p09 [\s\S]*… and 3 more"
    with pytest.raises(DataError, match=listed) as raised:
        merged(tmp_path, dict.fromkeys(names, [CAT]), dict.fromkeys(names, [DOG]))
    assert "p10" not in str(raised.value)


def test_unequal_boxes_that_add_up_alike_are_a_conflict(tmp_path: Path) -> None:
    copies = [{"a": [CAT, DOG], "b": {"digest": "a", "boxes": []}}, {"c": {"digest": "a", "boxes": [CAT]},
                                                                   "d": {"digest": "a", "boxes": [DOG]}}]
    with pytest.raises(DataError, match="1 pictures have different labels"):
        merged(tmp_path, *copies)


def test_the_row_is_that_of_the_version_whose_labels_stay(tmp_path: Path) -> None:
    first = version(tmp_path / "a", {"old": {"digest": 1, "boxes": [CAT], "tags": ["x"]}, "s": []})
    second = version(tmp_path / "b", {"new": {"digest": 1, "boxes": [DOG], "tags": ["y"]}, "t": []})
    made = apply(merge, [first, second], tmp_path / "out", conflict="newest")
    assert column(made, "tags") == {"new": ["y"], "s": None, "t": None}


@pytest.mark.parametrize(("given", "wanted", "moved"), [
    (("train", "train"), "train", 0), (("train", "test"), "test", 1), (("val", "train"), "val", 1),
    (("train", None), "train", 0), ((None, None), None, 0)])
def test_the_split_for_evaluation_decides(tmp_path: Path, given: Any, wanted: str, moved: int,
                                          capsys: pytest.CaptureFixture[str]) -> None:
    parents = [version(tmp_path / f"v{i}", {"a": {"split": split, "boxes": [CAT]}, f"b{i}": {"split": "train"}})
               for i, split in enumerate(given)]
    made = apply(merge, parents, tmp_path / "out")
    assert column(made, "split") == {"a": wanted, "b0": "train", "b1": "train"}
    assert f"{moved} in different splits" in capsys.readouterr().out


def test_classes_are_joined_by_name(tmp_path: Path) -> None:
    points = {"dog": {"names": ["nose"]}}
    parents = [version(tmp_path / "a", {"a": [("dog", 1, 1, 2, 2)]}, ["dog", "ant"], licence="CC0-1.0",
                       attributes={"ids": {"dog": 7}, "info": 1, "x": 1}, keypoints=points),
               version(tmp_path / "b", {"b": [("cat", 3, 3, 2, 2), ("dog", 4, 4, 2, 2)]}, ["cat", "dog"],
                       attributes={"ids": {"dog": 7, "cat": 2}, "info": 1, "x": 2}, keypoints=points)]
    made = apply(merge, parents, tmp_path / "out")
    assert said(made) == {"a": [("dog", 1)], "b": [("cat", 3), ("dog", 4)]}
    meta = read_meta(made.folder)
    assert (meta.classes, meta.name, meta.parents) == (["ant", "cat", "dog"], "out", ["a@1", "b@1"])
    assert (meta.licence, meta.keypoints) == ("CC0-1.0 AND unknown", points)
    assert meta.attributes == {"ids": {"dog": 7, "cat": 2}, "info": 1}


@pytest.mark.parametrize(("first", "second", "wanted"), [
    ({"dog": 7}, {"dog": 8}, None), ({"dog": 7}, {"cat": 7}, None), ({"dog": 7}, {}, {"dog": 7}), ({}, {}, None)])
def test_ids_are_kept_only_where_they_agree(tmp_path: Path, first: Any, second: Any, wanted: Any) -> None:
    parents = [version(tmp_path / f"v{i}", {f"{i}": []}, attributes={"ids": ids}) for i, ids in
               enumerate((first, second))]
    assert read_meta(apply(merge, parents, tmp_path / "out").folder).attributes.get("ids") == wanted


def test_one_list_keeps_its_own_order(tmp_path: Path) -> None:
    parents = [version(tmp_path / name, {name: [("zebra", 1, 1, 2, 2)]}, ["zebra", "ant"]) for name in "ab"]
    assert read_meta(apply(merge, parents, tmp_path / "out").folder).classes == ["zebra", "ant"]


@pytest.mark.parametrize(("problems", "wanted"), [
    (("detect", "detect"), "detect"), (("detect", "segment"), "segment"), (("classify", "classify"), "classify")])
def test_problems_that_go_together(tmp_path: Path, problems: Any, wanted: str) -> None:
    parents = [version(tmp_path / f"v{i}", {f"{i}": []}, problem=problem) for i, problem in enumerate(problems)]
    assert read_meta(apply(merge, parents, tmp_path / "out").folder).problem == wanted


@pytest.mark.parametrize(("metas", "message"), [
    (({"problem": "detect"}, {"problem": "classify"}), "different problems[\\s\\S]*v0@1: detect, v1@1: classify"),
    (({"keypoints": {"cat": {"names": ["a"]}}}, {"keypoints": {"cat": {"names": ["b"]}}}), "other keypoints"),
    (({"problem": "semantic"}, {"problem": "semantic", "classes": ["dog", "cat"]}), "masks hold class ids"),
])
def test_versions_that_do_not_go_together(tmp_path: Path, metas: Any, message: str) -> None:
    parents = [version(tmp_path / f"v{i}", {f"{i}": []}, **meta) for i, meta in enumerate(metas)]
    with pytest.raises(DataError, match=message):
        apply(merge, parents, tmp_path / "out")


@pytest.mark.parametrize("count", [0, 1])
def test_one_version_is_too_few(tmp_path: Path, count: int) -> None:
    with pytest.raises(DataError, match="at least two"):
        apply(merge, [version(tmp_path / "a", {"a": []})][:count], tmp_path / "out")


def test_two_empty_versions(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no picture is left"):
        merged(tmp_path, {}, {})


@pytest.mark.parametrize(("first", "second", "wanted"), [
    (["cat"], ["cat"], [("cat",)]), (None, ["cat"], [("cat",)]), (["dog"], None, [("dog",)]), (None, None, []),
    (["cat"], ["dog"], None), ([], ["dog"], None), (["cat", "dog"], ["dog", "cat"], [("cat",), ("dog",)])])
def test_labels_of_whole_pictures(tmp_path: Path, first: Any, second: Any, wanted: Any) -> None:
    """Null is no label, and conflicts with none; an empty list says that no class is there."""
    parents = [version(tmp_path / f"v{i}", {"a": {"labels": labels}}, problem="classify")
               for i, labels in enumerate((first, second))]
    if wanted is None:
        with pytest.raises(DataError, match="different labels"):
            apply(merge, parents, tmp_path / "out")
    else:
        assert said(apply(merge, parents, tmp_path / "out")) == {"a": wanted}


def test_a_mask_is_a_label(tmp_path: Path) -> None:
    parents = [version(tmp_path / f"v{i}", {"a": {"mask": mask}, f"{i}": {}}, problem="semantic")
               for i, mask in enumerate((None, "m.png", "n.png"))]
    assert column(apply(merge, parents[:2], tmp_path / "two"), "mask")["a"] == "m.png"
    with pytest.raises(DataError, match="different labels"):
        apply(merge, parents, tmp_path / "three")


def test_merged_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    parents = [version(tmp_path / name, {f"{name}{i}": [CAT, DOG] for i in range(5)} | {"c": [DOG]}) for name in "ab"]
    for out in ("x/out", "y/out"):
        apply(merge, parents, tmp_path / out)
    assert digest_tree(tmp_path / "x/out") == digest_tree(tmp_path / "y/out")


def test_many_rows_come_in_the_order_of_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a version of a million pictures: several batches of each parent, several steps of the merge."""
    monkeypatch.setattr("tasks.data.ops._taking.BATCH", 7)
    monkeypatch.setattr("tasks.data.ops._taking.STEP", 5)
    monkeypatch.setattr("tasks.data.table.ROW_GROUP", 6)
    parents = [version(tmp_path / f"v{i}", {f"{number:03}": [("cat", number * 10 + box, 0, 1, 1) for box in
                                                           range(number % 4)] for number in range(i, 90, 1 + i)})
               for i in range(3)]
    made = apply(merge, parents, tmp_path / "out")
    assert said(made) == {f"{number:03}": [("cat", number * 10 + box) for box in range(number % 4)]
                          for number in range(90)}
    assert all(box["image_id"] == row.image["image_id"] for row in rows(made.folder) for box in row.boxes)


def test_equal_content_under_names_in_another_order(tmp_path: Path) -> None:
    """The rows of one parent stay in order, whichever parent gives which picture."""
    for seed, order in enumerate(itertools.permutations("abc")):
        first = {file: {"digest": file, "boxes": [CAT] if file != "b" else [MINE]} for file in "abc"}
        second = {file: {"digest": old, "boxes": [MINE] if old != "b" else [CAT]} for file, old in
                  zip("xyz", order, strict=True)}
        found = merged(tmp_path / str(seed), first, second, conflict="human")
        assert set(found) == {"b"} | {file for file, old in zip("xyz", order, strict=True) if old != "b"}


def test_a_file_whose_bytes_changed_is_one_picture(tmp_path: Path) -> None:
    first = {"a": {"digest": 1, "boxes": [CAT]}, "b": {"digest": 2, "boxes": [CAT]}, "c": [CAT]}
    second = {"a": {"digest": 3, "boxes": [DOG]}}
    with pytest.raises(DataError, match="1 pictures have different labels"):
        merged(tmp_path / "stop", first, second)
    assert merged(tmp_path / "new", first, second, conflict="newest") == {
        "a": [("dog", 5)], "b": [("cat", 1)], "c": [("cat", 1)]}
