from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks.base.errors import DataError
from tasks.data.exporting import Export
from tasks.data.formats import pairs
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, Picture, Reading, Source
from tests.data.folders import HEIGHT, WIDTH, put, save_picture
from tests.data.roundtrip import export_of, exported, make_table, plain, read_all, round_trip

CLASSES = {"open": 1, "short": 2, "mousebite": 3, "spur": 4, "copper": 5, "pin-hole": 6}


def make(root: Path, boards: dict[str, str] | None = None, group: str = "group1", **lists: str) -> Path:
    """DeepPCB's layout: boards are stem → rows; lists are name → stems."""
    boards = {"a": "1 2 11 22 1\n", "b": "3,4,13,24,6"} if boards is None else boards
    for number, (stem, rows) in enumerate(boards.items()):
        save_picture(root / f"{group}/1/{stem}_test.jpg", number)
        save_picture(root / f"{group}/1/{stem}_temp.jpg", number + 50)
        put(root / f"{group}/1_not/{stem}.txt", rows)
    for name, stems in lists.items():
        put(root / f"{name}.txt", "".join(f"{group}/1/{stem}.jpg {group}/1_not/{stem}.txt\n" for stem in stems.split()))
    return root


def found(root: Path) -> list[str]:
    return [source.path.relative_to(root).as_posix() for source in pairs.find(FolderIndex(root))]


def test_boards(tmp_path: Path) -> None:
    make(tmp_path, trainval="a", test="b")
    assert found(tmp_path) == ["."]
    (one, two), into = read_all(pairs, tmp_path)
    assert (one.file, one.reference, one.split, one.group) == (
        "group1/1/b_test.jpg", "group1/1/b_temp.jpg", "test", "group1")
    box, = two.boxes
    assert two.split == "train" and (box.label, box.x, box.y, box.w, box.h) == ("open", 1, 2, 10, 20)
    assert [box.label for box in one.boxes] == ["pin-hole"] and box.row == "group1/1_not/a.txt#1"
    assert into.problem == "pairs" and into.ids == CLASSES and into.labels == set(CLASSES) and not into.notes


def test_all_of_deeppcb(mirror: Path, tmp_path: Path) -> None:
    root = mirror / "datasets/deeppcb_300"
    pictures, into = read_all(pairs, root)
    splits = [picture.split for picture in pictures]
    assert (splits.count("train"), splits.count("test"), len(pictures)) == (200, 100, 300) and not into.notes
    assert sum(len(picture.boxes) for picture in pictures) == 1959 and all(picture.reference for picture in pictures)
    assert len({picture.group for picture in pictures}) == 11


def test_a_round_trip_of_deeppcb_changes_nothing(mirror: Path, tmp_path: Path) -> None:
    for group in ("group00041", "group90100"):
        shutil.copytree(mirror / "datasets/deeppcb_300" / group, tmp_path / "in" / group)
    for name in ("test.txt", "trainval.txt"):
        lines = (mirror / "datasets/deeppcb_300" / name).read_text().splitlines()
        put(tmp_path / "in" / name, "\n".join(line for line in lines if line[:10] in ("group00041", "group90100")))
    before, after = round_trip(pairs, tmp_path / "in", tmp_path)
    assert [plain(picture) for picture in before] == [plain(picture) for picture in after] and len(before) > 40
    for one, other in zip(before, after, strict=True):
        assert one.reference and other.reference
        assert (tmp_path / "in" / one.reference).read_bytes() == (tmp_path / "out" / other.reference).read_bytes()
    assert not (tmp_path / "out/classes.txt").exists()


def test_without_lists_every_board_is_read(tmp_path: Path) -> None:
    make(make(tmp_path / "in", group="x/group1"), group="x/group2")
    assert found(tmp_path / "in") == ["x"]
    pictures, _ = read_all(pairs, tmp_path / "in")
    assert [(picture.split, picture.group) for picture in pictures] == [(None, "group1")] * 2 + [(None, "group2")] * 2


def test_boards_that_no_list_names_have_no_split_and_two_lists_leak(tmp_path: Path) -> None:
    make(tmp_path, {"a": "", "b": "", "c": ""}, trainval="a b", test="b")
    pictures, into = read_all(pairs, tmp_path)
    assert {picture.file[9]: picture.split for picture in pictures} == {"a": "train", "b": "test", "c": None}
    assert [(note.kind, note.file, note.row, note.picture) for note in into.notes] == [
        ("leaked", "trainval.txt", "2", "group1/1/b_test.jpg")]


@pytest.mark.parametrize(("name", "kinds", "count"), [
    ("1/b_test.jpg", [("missing_picture", None)], 1), ("1_not/b.txt", [("unannotated", "group1/1/b_test.jpg")], 2),
    ("1/b_temp.jpg", [("missing_picture", "group1/1/b_test.jpg")], 2)])
def test_files_that_a_list_names_and_that_are_missing(tmp_path: Path, name: str, kinds: Any, count: int) -> None:
    (make(tmp_path, trainval="a b") / "group1" / name).unlink()
    pictures, into = read_all(pairs, tmp_path)
    assert [(note.kind, note.picture) for note in into.notes] == kinds and len(pictures) == count
    assert into.notes[0].file == "trainval.txt" and into.notes[0].row == "2"


@pytest.mark.parametrize(("rows", "says"), [
    ("1 2 3\n", "found 3 columns"), ("1 2 3 4 5 6", "found 6 columns"), (b"\xff\xfe1", "not UTF-8"), ("\0", "NUL")])
def test_files_of_boxes_that_are_damaged(tmp_path: Path, rows: Any, says: str) -> None:
    with pytest.raises(DataError, match=says) as raised:
        read_all(pairs, make(tmp_path, {"a": "", "b": rows}))
    assert "group1/1_not/b.txt" in str(raised.value)


@pytest.mark.parametrize("kind", ["0", "7", "x", "-1", "1.5", "٣", "9" * 5000])
def test_types_without_a_name(tmp_path: Path, kind: str) -> None:
    pictures, into = read_all(pairs, make(tmp_path, {"a": f"1 2 3 4 1\n\n1 2 3 4 {kind}\n"}))
    assert len(pictures[0].boxes) == 1 and [(note.kind, note.row) for note in into.notes] == [("unknown_class", "3")]


@pytest.mark.parametrize(("row", "box"), [
    ("9 9 5 9 1", (9, 9, -4, 0)), ("1e9 1 2e9 3 1", (1e9, 1, 1e9, 2)),
    ("nan x 1 2 1", (np.nan, np.nan, np.nan, np.nan))])
def test_nonsense_of_boxes_is_given_as_it_is(tmp_path: Path, row: str, box: Any) -> None:
    _, after = round_trip(pairs, make(tmp_path / "in", {"a": row}), tmp_path)
    made, = after[0].boxes
    np.testing.assert_equal((made.x, made.y, made.w, made.h), box)


@pytest.mark.parametrize(("line", "says"), [
    ("../../etc/a.jpg x.txt", "leaves the data folder"), ("group1/1/a.jpg /etc/passwd.txt", "leaves the data folder"),
    ("group1/1/a.jpg", "expected a picture and its .txt"), ("{}", "expected a picture")])
def test_lists_that_are_damaged(tmp_path: Path, line: str, says: str) -> None:
    make(tmp_path, trainval="a")
    put(tmp_path / "trainval.txt", (tmp_path / "trainval.txt").read_text() + line)
    with pytest.raises(DataError, match=says) as raised:
        read_all(pairs, tmp_path)
    assert "trainval.txt:2" in str(raised.value)


@pytest.mark.parametrize("stem", ["x #t=3", "it's \"b\"", "a b.jpg c", "é 🐈", "l" * 240])
def test_names_of_pictures(tmp_path: Path, stem: str) -> None:
    make(tmp_path / "in", {stem: "1 2 3 4 1"})
    put(tmp_path / "in/test.txt", f"group1/1/{stem}.jpg group1/1_not/{stem}.txt\n")
    before, after = round_trip(pairs, tmp_path / "in", tmp_path)
    assert [plain(picture) for picture in before] == [plain(picture) for picture in after] and before[0].split == "test"


@pytest.mark.parametrize("make_it", [
    lambda root: save_picture(root / "a_test.jpg"),
    lambda root: put(save_picture(root / "a.jpg").parent / "test.txt", "a"),
    lambda root: [save_picture(root / f"{folder}/1.png") for folder in "ABC"],
    lambda root: [save_picture(root / f"{folder}/1.png") for folder in ("A", "label")],
    lambda root: put(save_picture(root / "a.jpg").parent / "pairs.csv", "left,right\n1,2\n")])
def test_folders_that_are_something_else(tmp_path: Path, make_it: Any) -> None:
    make_it(tmp_path)
    assert found(tmp_path) == []


def table(root: Path, text: str) -> Path:
    for number, name in enumerate(("good/gold.jpg", "x/1.jpg", "x/2.jpg", "x/3.jpg")):
        save_picture(root / name, number)
    Image.fromarray(np.full((HEIGHT, WIDTH), 3, np.uint8)).save(root / "x/3_m.png")
    put(root / "x/2.txt", "1 2 3.5 4 2\n")
    put(root / "pairs.csv", text)
    return root


WHOLE = ("\ufeffTest,Reference,label,split,group,remark\r\nx/1.jpg,good/gold.jpg,ok,train,line 1,?\r\n"
         "x/2.jpg,good/gold.jpg,x/2.txt,valid,,\r\n\r\n x/3.jpg ,good/gold.jpg,x/3_m.png\r\n")


def test_a_table_of_pairs(tmp_path: Path) -> None:
    assert found(table(tmp_path / "in", WHOLE)) == ["pairs.csv"]
    (one, two, three), into = read_all(pairs, tmp_path / "in")
    assert (one.file, one.reference, one.labels, one.split, one.group) == (
        "x/1.jpg", "good/gold.jpg", ["ok"], "train", "line 1")
    assert [(box.label, box.w) for box in two.boxes] == [("short", 2.5)] and two.split == "val" and two.labels is None
    assert three.mask == "x/3_m.png" and into.ids == CLASSES | {"class_3": 3} and not into.notes
    before, after = round_trip(pairs, tmp_path / "in", tmp_path)
    assert [plain(picture) for picture in before] == [plain(picture) for picture in after]
    assert sorted(path.name for path in (tmp_path / "out/references").rglob("*.jpg")) == ["gold.jpg"]
    assert {picture.reference for picture in after} == {"references/good/gold.jpg"}


@pytest.mark.parametrize(("row", "kind", "read"), [
    ("x/none.jpg,good/gold.jpg", "missing_picture", 0), ("x/1.jpg,good/none.jpg", "missing_picture", 1),
    ("x/1.jpg,", "missing_picture", 1), ("x/1.jpg,good/gold.jpg,none.txt", "unannotated", 1),
    ("x/1.jpg,good/gold.jpg,none.png", "bad_mask", 1), ("x/1.jpg,good/gold.jpg,x/tiny.png", "bad_mask", 1)])
def test_what_is_noted_of_a_table(tmp_path: Path, row: str, kind: str, read: int) -> None:
    table(tmp_path, f"test,reference,label\n{row}\n")
    Image.new("L", (3, 3)).save(tmp_path / "x/tiny.png")
    pictures, into = read_all(pairs, tmp_path)
    assert [(note.kind, note.file, note.row) for note in into.notes] == [(kind, "pairs.csv", "2")]
    assert len(pictures) == read and not any(picture.mask for picture in pictures)


@pytest.mark.parametrize(("row", "says"), [
    ("../x.jpg,good/gold.jpg,", "leaves the data folder"), ("x/1.jpg,/etc/x.jpg,", "leaves the data folder"),
    ("x/1.jpg,good/gold.jpg,../x.txt", "leaves the data folder"), ("a,b,c,d", "4 cells under 3 columns"),
    (",good/gold.jpg,", "is empty"), ('"x', "not CSV"), ("x" * 200_000, "not CSV"), (b"\xff", "not CSV")])
def test_tables_that_are_damaged(tmp_path: Path, row: Any, says: str) -> None:
    table(tmp_path, "")
    put(tmp_path / "pairs.csv", b"test,reference,label\n" + (row if isinstance(row, bytes) else row.encode()))
    with pytest.raises(DataError, match=says):
        read_all(pairs, tmp_path)


def changes(root: Path, count: int = 2) -> Path:
    for number in range(count):
        save_picture(root / f"A/{number}.jpg", number)
        save_picture(root / f"B/{number}.jpg", number + 50)
        (root / "label").mkdir(exist_ok=True)
        Image.fromarray(np.resize(np.array([0, 255], np.uint8), (HEIGHT, WIDTH))).save(root / f"label/{number}.png")
    return root


def test_folders_of_changes(tmp_path: Path) -> None:
    changes(tmp_path / "in/train"), changes(tmp_path / "in/val", 1)
    assert found(tmp_path / "in") == ["train", "val"]
    pictures, into = read_all(pairs, tmp_path / "in")
    assert [(picture.file, picture.reference, picture.mask, picture.split) for picture in pictures] == [
        ("train/B/0.jpg", "train/A/0.jpg", "train/label/0.png", "train"),
        ("train/B/1.jpg", "train/A/1.jpg", "train/label/1.png", "train"),
        ("val/B/0.jpg", "val/A/0.jpg", "val/label/0.png", "val")]
    assert into.ids == {"class_0": 0, "class_255": 255} and into.problem == "pairs" and not into.notes
    shutil.rmtree(tmp_path / "in/val")
    before, after = round_trip(pairs, tmp_path / "in", tmp_path)
    assert [plain(picture) for picture in before] == [plain(picture) for picture in after]
    assert read_all(pairs, tmp_path / "out")[1].ids == into.ids


def test_changes_with_lists_and_missing_files(tmp_path: Path) -> None:
    root = changes(tmp_path, 4)
    put(root / "list/test.txt", "0.jpg\n")
    (root / "A/1.jpg").unlink()
    (root / "label/2.png").write_bytes(b"x")
    save_picture(root / "B/9.jpg", 9)
    save_picture(root / "A/9.jpg", 9)
    pictures, into = read_all(pairs, root)
    assert [picture.split for picture in pictures] == ["test", None, None, None, None]
    assert [(note.kind, note.picture) for note in into.notes] == [
        ("missing_picture", "B/1.jpg"), ("bad_mask", "B/2.jpg"), ("unannotated", "B/9.jpg")]


def written(tmp_path: Path, *pictures: Picture, problem: str = "pairs") -> Export:
    for number, picture in enumerate(pictures):
        save_picture(tmp_path / "in" / picture.file, number)
        if picture.reference:
            save_picture(tmp_path / "in" / picture.reference, number + 20)
    return export_of(pairs, list(pictures), Reading(problem=problem), tmp_path / "in", tmp_path)


def test_pairs_of_other_classes_are_written(tmp_path: Path) -> None:
    boxes = [Box("a/b", 0.1, 0.2, 0.7, 1e-3, "r"), Box("null", 1 / 3, 2, 3, 4, "r"), Box("🐈", 7, 8, 9, 1e7, "r")]
    one = Picture("1/x.jpg", None, None, "r", boxes, labels=["[odd", "null"], reference="references/x.jpg")
    two = Picture("2/x.jpg", "val", None, "r", labels=[], reference="x.jpg")
    written(tmp_path, one, two)
    first, second = sorted(read_all(pairs, tmp_path / "out")[0], key=lambda picture: -len(picture.boxes))
    for box, other in zip(boxes, first.boxes, strict=True):
        assert (box.label, box.x, box.y) == (other.label, other.x, other.y)
        # corners hold 16 digits of the far edge, not of the size
        assert (other.w, other.h) == pytest.approx((box.w, box.h), abs=1e-15)
    assert sorted(first.labels or ()) == ["[odd", "null"] and second.labels == [] and second.split == "val"
    assert first.reference != second.reference and (tmp_path / "out/classes.txt").exists()


@pytest.mark.parametrize(("picture", "problem", "says"), [
    (Picture("x.jpg", None, None, "r"), "detect", "is for 'detect'"),
    (Picture("x.jpg", None, None, "r", [Box("a\nb", 1, 2, 3, 4, "r")]), "pairs", "several lines")])
def test_what_pairs_cannot_hold(tmp_path: Path, picture: Picture, problem: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        written(tmp_path, picture, problem=problem)


def test_the_same_bytes_twice(tmp_path: Path) -> None:
    make(tmp_path / "in", trainval="a", test="b")
    outs = [exported(pairs, tmp_path / "in", tmp_path / name).out for name in "ab"]
    files = [[(path.relative_to(out).as_posix(),
        path.read_bytes()) for path in sorted(out.rglob("*.*"))] for out in outs]
    assert files[0] == files[1] and len(files[0]) == 7


TEXT = st.text("01 .,/\"\n\tajpgtxb_", max_size=60).map(str.encode) | st.binary(max_size=40)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(["trainval.txt", "group1/1_not/a.txt", "pairs.csv", "classes.txt"]), content=TEXT,
       keep=st.integers(0, 99))
def test_changed_files_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes,
                                           keep: int) -> None:
    root = make(tmp_path_factory.mktemp("fuzz"), trainval="a b")
    put(root / "pairs.csv", "test,reference,label\ngroup1/1/a_test.jpg,group1/1/a_temp.jpg,group1/1_not/a.txt\n")
    before = (root / name).read_bytes()[:keep] if (root / name).exists() else b""
    put(root / name, before + content)
    for source in (Source("pairs", root, None), Source("pairs", root / "pairs.csv", None)):
        into = Reading()
        try:
            pictures = list(pairs.read(FolderIndex(root), source, into))
        except DataError:
            continue
        by_file = {picture.file: picture for picture in pictures}
        make_table(list(by_file.values()), into, root, root / f"table_{source.path.name}")
