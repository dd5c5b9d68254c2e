from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.base.errors import DataError
from tasks.data.formats import folders
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, Picture, Reading
from tests.data.exports import export_of, written
from tests.data.folders import put, save_picture
from tests.data.roundtrip import plain, read_all, round_trip

CLASSIFY = Reading(problem="classify")


def make(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        save_picture(root / name, number)
    return root


def found(root: Path) -> dict[str, tuple[str | None, list[str] | None]]:
    return {p.file: (p.split, p.labels) for p in read_all(folders, root)[0]}


def test_a_folder_is_a_class(tmp_path: Path) -> None:
    root = make(tmp_path, "cat/1.jpg", "cat/deep/er/2.jpg", "null/1.jpg", "lone.jpg")
    put(root / "README.txt", "text")
    put(root / "empty/notes.txt", "no picture")
    pictures, into = read_all(folders, root)
    assert {p.file: p.labels for p in pictures} == {"cat/1.jpg": ["cat"], "cat/deep/er/2.jpg": ["cat"],
                                                   "null/1.jpg": ["null"], "lone.jpg": None}
    assert into.labels == {"cat", "null"} and into.problem == "classify"
    assert [(n.kind, n.file, n.picture) for n in into.notes] == [("unannotated", "lone.jpg", "lone.jpg")]


def test_below_splits(tmp_path: Path) -> None:
    assert found(make(tmp_path / "a", "train/cat/1.jpg", "valid/dog/1.jpg", "test/2.jpg", "unsplit/cat/3.jpg")) == {
        "train/cat/1.jpg": ("train", ["cat"]), "valid/dog/1.jpg": ("val", ["dog"]), "test/2.jpg": ("test", None),
        "unsplit/cat/3.jpg": (None, ["cat"])}
    assert found(make(tmp_path / "b", "set/Train/cat/1.jpg", "set/Train/test/1.jpg")) == {
        "set/Train/cat/1.jpg": ("train", ["cat"]), "set/Train/test/1.jpg": ("train", ["test"])}


@pytest.mark.parametrize("names", [
    ("a.jpg",), ("cat/a.jpg",), ("train/a.jpg", "val/b.jpg"), ("images/a.jpg", "masks/a.png"),
    ("JPEGImages/a.jpg", "cat/a.jpg"), ("train/images/a.jpg", "train/labels/a.png"), ("train/cat/a.jpg", "dog/b.jpg"),
    ("train2017/a.jpg", "val2017/a.jpg"), ("train/cat/a.jpg", "val/cat/b.jpg")])
def test_other_layouts_are_not_claimed(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert folders.find(FolderIndex(make(tmp_path, *names))) == []


def test_sign_digits(mirror: Path) -> None:
    pictures, into = read_all(folders, mirror / "datasets/sign_digits")
    assert len(pictures) == 2062 and not into.notes and into.labels == set("0123456789")
    assert all(p.labels == [p.file[0]] for p in pictures)
    assert Counter(p.labels[0] for p in pictures if p.labels)["0"] == 205


def test_round_trip(tmp_path: Path) -> None:
    root = make(tmp_path / "a", "train/cat/1.jpg", "train/dog/1.jpg", "val/dog/1.jpg", "val/Dog/1.jpg",
                "val/😀 #t='1'/x.jpg", "test/2.jpg")
    before, after = round_trip(folders, root, tmp_path / "trip")
    assert [(p.file, plain(p)) for p in before] == [(p.file, plain(p)) for p in after] and len(after) == 6
    root = make(tmp_path / "b", "cat/1.jpg", "null/1.jpg", "lone.jpg")
    before, after = round_trip(folders, root, tmp_path / "trip-b")
    assert [(p.file, plain(p)) for p in before] == [(p.file, plain(p)) for p in after]


def test_some_without_split_keep_having_none(tmp_path: Path) -> None:
    root = make(tmp_path / "raw", "1.jpg", "2.jpg", "3.jpg")
    pictures = [Picture(f"{k}.jpg", split, None, "r", labels=[name]) for k, split, name in (
        (1, None, "a"), (2, "test", "b"), (3, "test", "test"))]
    export = written(folders, pictures, root, tmp_path, CLASSIFY)
    assert found(export.out) == {"unsplit/a/1.jpg": (None, ["a"]), "test/b/2.jpg": ("test", ["b"]),
                                 "test/test/3.jpg": ("test", ["test"])} and not +export.losses


def test_what_folders_cannot_carry_is_counted(tmp_path: Path) -> None:
    names = [f"{k}.jpg" for k in range(9)]
    labels: list[list[str] | None] = [["a/b"], [".hid"], ["train"], ["images"], ["b", "c"], [], None, ["\\"], ["a"]]
    pictures = [Picture(name, None, None, "r", labels=one) for name, one in zip(names, labels, strict=True)]
    pictures[8].boxes.append(Box("a", 1, 1, 1, 1, "r"))
    export = written(folders, pictures, make(tmp_path / "raw", *names), tmp_path, CLASSIFY)
    assert +export.losses == {"class names that no folder can have": 5, "labels beyond the first": 1, "annotations": 1,
                              "pictures said to show none of the classes": 1}
    assert sorted(file for file in found(export.out)) == [
        "5.jpg", "6.jpg", "_/7.jpg", "_hid/1.jpg", "a/8.jpg", "a_b/0.jpg", "b/4.jpg", "images_class/3.jpg",
        "train_class/2.jpg"]


@pytest.mark.parametrize("names", [("a/b", "a_b"), ("x" * 256,), (".", "_")])
def test_classes_without_a_folder_of_their_own_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    pictures = [Picture("1.jpg", None, None, "r", labels=list(names))]
    with pytest.raises(DataError, match="visionmill data relabel"):
        folders.write(export_of(pictures, make(tmp_path / "raw", "1.jpg"), tmp_path, CLASSIFY))


def test_boxes_are_refused(tmp_path: Path) -> None:
    picture = Picture("1.jpg", None, None, "r", [Box("a", 1, 1, 1, 1, "r")])
    with pytest.raises(DataError, match="--format coco"):
        folders.write(export_of([picture], make(tmp_path / "raw", "1.jpg"), tmp_path))


def test_names_of_any_kind(tmp_path: Path) -> None:
    names = ["s/1.jpg", "t/1.jpg", "Case.jpg", "case.jpg", f"{'n' * 251}.jpg", "two\nlines.jpg", 'q "\'.jpg', "1.png",
             "1.jpg"]
    pictures = [Picture(name, None, None, "r", labels=["ab"[k % 2]]) for k, name in enumerate(names)]
    export = written(folders, pictures, make(tmp_path / "raw", *names), tmp_path, CLASSIFY)
    assert len(found(export.out)) == len(names)


PARTS = st.sampled_from(["train", "val", "images", "cat", "dog", "null", "Train2017", "labels", "é", "a b"])


GIVEN = given(st.lists(st.lists(PARTS, max_size=4).map("/".join), min_size=1, max_size=6))


@settings(max_examples=100, deadline=None)
@GIVEN
def test_any_tree_is_read_or_left(trees: list[str]) -> None:
    check_any_tree(trees)


@pytest.mark.slow
@settings(max_examples=100_000, deadline=None)
@GIVEN
def test_a_hundred_thousand_trees(trees: list[str]) -> None:
    check_any_tree(trees)


def check_any_tree(trees: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for tree in trees:
            put(Path(folder) / tree / "a.jpg", b"")
        index = FolderIndex(Path(folder))
    for source in folders.find(index):
        into = Reading()
        read = {p.file: p.labels for p in folders.read(index, source, into)}
        assert set(read) == set(index.pictures()) and len({name for one in read.values() for name in one or ()}) > 1
        assert not into.labels & {"images", "labels"}
