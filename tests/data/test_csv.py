from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.base.errors import DataError
from tasks.data.formats import csv
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, Picture, Reading, Source
from tests.data.exports import export_of, written
from tests.data.folders import put, save_picture
from tests.data.roundtrip import plain, read_all, round_trip

TENSORFLOW = "filename,width,height,class,xmin,ymin,xmax,ymax\n"


def make(root: Path, text: str | bytes, names: tuple[str, ...] = ("a.jpg", "b.jpg"), file: str = "labels.csv") -> Path:
    for number, name in enumerate(names):
        save_picture(root / "images" / name, number)
    put(root / file, text)
    return root


def labels(root: Path) -> dict[str, list[str] | None]:
    return {Path(p.file).name: p.labels for p in read_all(csv, root)[0]}


@pytest.mark.parametrize("text", [
    "file,label\na.jpg,cat\nb.jpg,dog\n", "\ufeffFileName ; Class\r\na.jpg; cat \r\nb.jpg;dog\r\n",
    "image_path\tlabel\nimages/a.jpg\tcat\n./images/b.jpg\tdog",
    'path,label\n"/home/me/images/a.jpg","cat"\n\nb,dog\n'])
def test_a_row_a_picture(tmp_path: Path, text: str) -> None:
    root = make(tmp_path, text)
    assert labels(root) == {"a.jpg": ["cat"], "b.jpg": ["dog"]}
    into = read_all(csv, root)[1]
    assert into.problem == "classify" and into.labels == {"cat", "dog"} and not into.notes


def test_several_labels(tmp_path: Path) -> None:
    assert labels(make(tmp_path / "a", "file,labels\na.jpg,cat|dog\nb.jpg,cat; null ;\n")) == {
        "a.jpg": ["cat", "dog"], "b.jpg": ["cat", "null"]}
    assert labels(make(tmp_path / "b", "file,label\na.jpg,cat\nb.jpg,cow\na.jpg,dog\n")) == {
        "a.jpg": ["cat", "dog"], "b.jpg": ["cow"]}


def test_a_column_a_class(tmp_path: Path) -> None:
    root = make(tmp_path, "filename, cat, dog, unused\na.jpg, 1, 1, 0\nb.jpg,0,0,0\n", file="train/_classes.csv")
    pictures, into = read_all(csv, root)
    assert {p.file[-5:]: (p.labels, p.split) for p in pictures} == {"a.jpg": (["cat", "dog"], "train"),
                                                                   "b.jpg": ([], "train")}
    assert into.labels == {"cat", "dog", "unused"} and not into.notes
    put(tmp_path / "train/_classes.csv", "filename,cat,dog\n" + "a.jpg,1,0\n" * 30 + "b.jpg,2,0\n")
    with pytest.raises(DataError, match=r"'cat' is '2', expected 0 or 1[\s\S]*_classes.csv:32"):
        read_all(csv, tmp_path)


def test_splits_notes_and_other_columns(tmp_path: Path) -> None:
    text = ("file,label,split,camera,score\na.jpg,cat,valid,left,7\nb.jpg,,train,,\nlost.jpg,cat,train,,\n"
            "a.jpg,cat,test,,\n,cat,,,\n")
    pictures, into = read_all(csv, make(tmp_path, text))
    assert [(p.file, p.split, p.labels, p.attributes) for p in pictures] == [
        ("images/a.jpg", "val", ["cat"], {"camera": "left", "score": "7"}), ("images/b.jpg", "train", None, None)]
    assert [(n.kind, n.row) for n in into.notes] == [
        ("unannotated", "3"), ("missing_picture", "4"), ("leaked", "5"), ("duplicate_id", "5"),
        ("missing_picture", "6")]


def test_boxes(tmp_path: Path) -> None:
    text = TENSORFLOW + "a.jpg,64,48,cat,2,3,20.5,30\nb.jpg,64,48,dog,1,1,5,5\na.jpg,64,48,null,0,0,9,9\nb.jpg,,,,,,,\n"
    pictures, into = read_all(csv, make(tmp_path, text))
    (a, b) = pictures
    assert (a.declared, a.row) == ((64, 48), "labels.csv#2") and into.problem is None and not into.notes
    assert [(x.label, x.x, x.y, x.w, x.h, x.row) for x in a.boxes] == [
        ("cat", 2, 3, 18.5, 27, "labels.csv#2"), ("null", 0, 0, 9, 9, "labels.csv#4")]
    assert len(b.boxes) == 1 and into.labels == {"cat", "dog", "null"}


def test_retinanet_without_header(tmp_path: Path) -> None:
    root = make(tmp_path, "/data/images/a.jpg,1,2,3,4,cat\n/data/images/b.jpg,,,,,\n", file="train.csv")
    put(root / "classes.csv", "cat,3\ndog,0\n")
    pictures, into = read_all(csv, root)
    assert [(p.file, p.split, len(p.boxes)) for p in pictures] == [("images/a.jpg", "train", 1),
                                                                  ("images/b.jpg", "train", 0)]
    assert into.ids == {"cat": 3, "dog": 0} and into.labels == {"cat", "dog"}


def test_flags_of_a_box(tmp_path: Path) -> None:
    text = ("image,class,x1,y1,x2,y2,iscrowd,difficult,truncated,occluded,confidence,angle\n"
            "a.jpg,cat,0,0,1,1,1,True,0.5,2,0.9,45\na.jpg,cat,0,0,1,1,0,0,,many,,\n")
    (picture,), _ = read_all(csv, make(tmp_path, text))
    first, second = picture.boxes
    assert (first.iscrowd, first.difficult, first.truncation, first.occlusion, first.score) == (True, True, 0.5, 2, 0.9)
    assert first.attributes == {"angle": "45"}
    assert (second.iscrowd, second.difficult, second.truncation, second.occlusion, second.score) == (
        False, False, None, None, None) and second.attributes == {"occlusion": "many"}


def test_splits_of_boxes(tmp_path: Path) -> None:
    text = "file,class,xmin,ymin,xmax,ymax,split\na.jpg,cat,0,0,1,1,train\na.jpg,cat,0,0,2,2,test\n"
    (picture,), into = read_all(csv, make(tmp_path, text))
    assert picture.split == "train" and len(picture.boxes) == 2 and [n.kind for n in into.notes] == ["leaked"]


@pytest.mark.parametrize("text", [
    "", "a,b,c", "file,label\nlost.jpg,cat\n", "file,label",
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\na.jpg,,cat,,0,1,0,1",
    "file\na.jpg", "filename,count\na.jpg,1", "filename,height\na.jpg,0.5", b"file,label\n\xff,cat", b"\0\0,\0",
    "x" * 2_000_000, '"' + "x" * 200_000, "file,a,b\na.jpg,0.3,1\n"])
def test_what_is_no_table_of_labels_is_not_claimed(tmp_path: Path, text: str | bytes) -> None:
    assert csv.find(FolderIndex(make(tmp_path, text))) == []


@pytest.mark.parametrize(("bad", "says"), [
    ("a.jpg,cat,more", r"3 columns, the first row has 2[\s\S]*labels.csv:23"), ("a.jpg", "1 columns"),
    (b"a.jpg,\xe9", r"not UTF-8[\s\S]*labels.csv:23"), ("a.jpg,\0", "NUL"),
    ("a.jpg," + "x" * 150_000, "not CSV: field"),
    ("x" * 2_000_000, "more than 1,048,576 bytes"), ('a.jpg,"cat\n', "not CSV"), ('a.jpg,"c"at"', "not CSV"),
    ("../a.txt/../../b,cat", "leaves the data folder"), ("/etc/passwd,cat", "leaves the data folder")])
def test_bad_rows_say_where(tmp_path: Path, bad: str | bytes, says: str) -> None:
    text = ("file,label\n" + "a.jpg,cat\n" * 21).encode() + (bad.encode() if isinstance(bad, str) else bad)
    with pytest.raises(DataError, match=says):
        read_all(csv, make(tmp_path, text))


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    root = make(tmp_path, "file,label\na.jpg,cat\n", ("x/a.jpg", "y/a.jpg"))
    with pytest.raises(DataError, match="2 times"):
        read_all(csv, root)


def test_nonsense_boxes_are_given_as_they_are(tmp_path: Path) -> None:
    corners = ("x,3,4,5", "9,9,1,1", "-5,0,999,1", "1,1,1,1")
    text = TENSORFLOW + "".join(f"a.jpg,64,48,cat,{one}\n" for one in corners)
    (picture,), _ = read_all(csv, make(tmp_path, text))
    nan, inverted, outside, flat = picture.boxes
    assert nan.x != nan.x and nan.w != nan.w and inverted.w == -8 and outside.w == 1004 and flat.w == 0


def test_round_trip_of_labels(tmp_path: Path) -> None:
    text = "file,labels,split,note\na.jpg,cat|null,val,\"a \"\"b\"\"\"\nb.jpg,naïve 😀,,\n"
    before, after = round_trip(csv, make(tmp_path / "a", text), tmp_path / "trip")
    assert [plain(p) for p in before] == [plain(p) for p in after]
    assert read_all(csv, tmp_path / "trip/out")[1].problem == "classify"
    text = (tmp_path / "trip/out/labels.csv").read_text()
    assert text.startswith("file,labels,split,note\nimages/a.jpg,cat|null,val,")


def test_round_trip_of_boxes(tmp_path: Path) -> None:
    head = "filename,width,height,class,xmin,ymin,xmax,ymax,split,iscrowd,truncated,occluded,score,angle\n"
    text = (head + "a.jpg,64,48,cat,2,3,20,30,train,1,0.25,3,0.9,0.10\na.jpg,64,48,dog,0.1,0.2,0.3,1e-9,train,0,,,,\n"
            "b.jpg,64,48,,,,,,val,,,,,\n")
    before, after = round_trip(csv, make(tmp_path / "a", text), tmp_path / "trip")
    assert after[0].boxes[0].score == pytest.approx(0.9) and [len(p.boxes) for p in after] == [2, 0]
    assert [plain(p) for p in before] == [plain(p) for p in after]
    assert (tmp_path / "trip/out/annotations.csv").read_text() == (
        "filename,width,height,class,xmin,ymin,xmax,ymax,split,iscrowd,truncation,occlusion,score,angle\n"
        "images/a.jpg,64,48,cat,2,3,20,30,train,1,0.25,3,0.9,0.10\n"
        "images/a.jpg,64,48,dog,0.1,0.2,0.3,0.000000001,train,0,,,,\nimages/b.jpg,64,48,,,,,,val,,,,,\n")


def test_names_and_classes_of_any_kind(tmp_path: Path) -> None:
    files = ["odd #t=1.jpg", "'q', \"d\".jpg", " lead.jpg", "two\nlines.jpg", f"{'n' * 251}.jpg", "Case.jpg",
             "case.jpg", "s/1.jpg", "t/1.jpg"]
    names = ["null", "a/b", "😀", 'say "x", y', "two\nlines", "=1+1"]
    for number, file in enumerate(files):
        save_picture(tmp_path / "raw" / file, number)
    pictures = [Picture(file, "test", None, "r", [Box(name, k, 0, 1, 1, "r") for name in names])
                for k, file in enumerate(files)]
    export = written(csv, pictures, tmp_path / "raw", tmp_path)
    found, into = read_all(csv, export.out)
    assert not into.notes and sorted(p.boxes[0].x for p in found) == list(range(len(files)))
    assert into.labels == set(names) and {p.split for p in found} == {"test"}


def test_what_csv_cannot_carry_is_counted(tmp_path: Path) -> None:
    save_picture(tmp_path / "raw/a.jpg")
    box = Box("cat", 1, 1, 2, 2, "r", attributes={"deep": {"a": 1}, "flat": 1.5, "class": "no"})
    picture = Picture("a.jpg", None, None, "r", [box], labels=["cat"], attributes={"a": 1})
    export = written(csv, [picture], tmp_path / "raw", tmp_path / "1")
    assert +export.losses == {"annotations.attributes": 1, "images.labels": 1, "images.attributes": 1}
    assert read_all(csv, export.out)[0][0].boxes[0].attributes == {"flat": "1.5"}
    export = written(csv, [Picture("a.jpg", None, None, "r", [box], labels=[])], tmp_path / "raw", tmp_path / "2",
                     Reading(problem="classify"))
    assert +export.losses == {"annotations": 1, "pictures said to show none of the classes": 1}


def test_a_class_with_a_separator_and_masks_are_refused(tmp_path: Path) -> None:
    save_picture(tmp_path / "raw/a.jpg")
    picture = Picture("a.jpg", None, None, "r", labels=["a|b"])
    with pytest.raises(DataError, match="relabel"):
        csv.write(export_of([picture], tmp_path / "raw", tmp_path / "1", Reading(problem="classify")))
    with pytest.raises(DataError, match="--format masks"):
        csv.write(export_of([picture], tmp_path / "raw", tmp_path / "2", Reading(problem="semantic")))


CELLS = st.sampled_from([
    "a.jpg", "file", "label", "class", "xmin", "1", "0", "nan", "-1e999", ",", ";", "\t", '"', "\n", "\r", "\0", "é",
    "../a.jpg", "/a.jpg", "|", " ", "split", "train", "C:\\a.jpg"])


GIVEN = given(st.sampled_from(["", "file,label\n", TENSORFLOW, "file,cat,dog\n"]),
              st.lists(CELLS, max_size=30).map("".join) | st.lists(CELLS, max_size=30).map(",".join) |
              st.text(max_size=99))


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("fuzz"), "", ("a.jpg",))


@settings(max_examples=100, deadline=None)
@GIVEN
def test_any_text_is_read_or_refused(fuzzed: Path, head: str, text: str) -> None:
    check_any_text(fuzzed, head, text)


@pytest.mark.slow
@settings(max_examples=100_000, deadline=None)
@GIVEN
def test_a_hundred_thousand_texts(fuzzed: Path, head: str, text: str) -> None:
    check_any_text(fuzzed, head, text)


def check_any_text(root: Path, head: str, text: str) -> None:
    put(root / "labels.csv", (head + text).encode("utf-8", "replace"))
    index, into = FolderIndex(root), Reading()
    csv.find(index)
    try:
        found = list(csv.read(index, Source("csv", root / "labels.csv", None), into))
    except DataError:
        return
    assert {one.file for one in found} <= {"images/a.jpg"}
    json.dumps([note.to_json() for note in into.notes])
