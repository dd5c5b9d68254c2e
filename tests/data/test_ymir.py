from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.base.errors import DataError
from tasks.data.formats import ymir
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, Picture, Reading, Source
from tasks.data.reading import find_sources
from tests.data.exports import export_of, written
from tests.data.folders import box, coco, image, put, save_picture, xml
from tests.data.roundtrip import plain, read_all, round_trip

LABELS = """labels:
- {id: 0, name: cat, aliases: [kitty, Tom cat], create_time: 2022-01-01 00:00:00}
- {id: 1, name: "null", aliases: []}
ymir_version: 2.5.0
"""
RICH = """<annotation><filename>a.jpg</filename><size><width>64</width><height>48</height><depth>3</depth></size>
<cks><weather>rain</weather><night/></cks><image_quality>0.5</image_quality>
<object><name>Kitty</name><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>20.5</xmax><ymax>30</ymax>
<rotate_angle>0.10</rotate_angle></bndbox><confidence>0.9</confidence><box_quality>0.750</box_quality>
<tags><colour>red</colour><worn/></tags><difficult>1</difficult></object>
<object><name>null</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox>
<confidence>-1.0</confidence><tags/></object></annotation>"""


def make(root: Path, files: dict[str, str | bytes], names: tuple[str, ...] = ("a.jpg", "b.jpg"),
         folder: str = "images") -> Path:
    for number, name in enumerate(names):
        save_picture(root / folder / name, number)
    for name, text in files.items():
        put(root / name, text)
    return root


def claimed(root: Path) -> list[str]:
    return [source.path.relative_to(root).as_posix() for source in ymir.find(FolderIndex(root))]


def test_voc_with_what_ymir_adds(tmp_path: Path) -> None:
    root = make(tmp_path, {"gt/a.xml": RICH, "gt/b.xml": xml("b.jpg"), "labels.yaml": LABELS, "pred/a.xml": RICH})
    (a, b), into = read_all(ymir, root)
    first, second = a.boxes
    assert (a.tags, a.attributes, a.declared) == (["weather:rain", "night"], {"image_quality": "0.5"}, (64, 48))
    assert (first.label, first.x, first.y, first.w, first.h, first.difficult) == ("cat", 2, 3, 18.5, 27, True)
    assert first.score == 0.9 and first.attributes == {"box_quality": "0.750", "rotate_angle": "0.10",
                                                       "tags": {"colour": "red", "worn": ""}}
    assert (second.label, second.score, second.attributes) == ("null", None, {"confidence": "-1.0"})
    assert b.boxes == [] and b.tags is None
    assert into.labels == {"cat", "null"} and into.ids == {"cat": 0, "null": 1} and not into.notes
    assert into.attributes == {"ymir": {"aliases": {"cat": ["kitty", "Tom cat"]}, "predictions left out": 1}}


def test_only_what_is_marked_is_claimed(tmp_path: Path) -> None:
    assert claimed(make(tmp_path / "a", {"set/GT/a.xml": xml("a.jpg")}, folder="set/JPEGImages")) == ["set"]
    assert claimed(make(tmp_path / "b", {"annotations/a.xml": xml("a.jpg")})) == []
    assert claimed(make(tmp_path / "c", {"gt/a.xml": "<html/>", "gt/b.txt": "hello"})) == []
    assert claimed(make(tmp_path / "d", {"gt/a.xml": xml("a.jpg")}, folder="pictures")) == []
    assert claimed(make(tmp_path / "e", {"index.tsv": "images/a.jpg\tlost.txt\n", "train-index.tsv": "a\tb"})) == []
    assert claimed(make(tmp_path / "f", {"gt/a.xml": xml("a.jpg"), "images/x/gt/a.xml": "<annotation>"})) == ["."]


def test_no_other_format_claims_it_too(tmp_path: Path) -> None:
    root = make(tmp_path, {"gt/a.xml": RICH, "pred/a.xml": RICH, "labels.yaml": LABELS})
    assert [(s.format, s.path) for s in find_sources(FolderIndex(root))] == [("ymir", root)]


def test_coco(tmp_path: Path) -> None:
    images = [image(1, file_name="a.jpg"), image(2, file_name="b.jpg")]
    content = coco(images, [box(1, 2), box(2, 2, 2)], ("KITTY", "dog"))
    root = make(tmp_path, {"gt/coco-annotations.json": json.dumps(content), "gt/labels.yaml": LABELS})
    pictures, into = read_all(ymir, root)
    assert [(p.file, [b.label for b in p.boxes]) for p in pictures] == [("images/a.jpg", []),
                                                                       ("images/b.jpg", ["cat", "dog"])]
    assert into.labels == {"cat", "dog", "null"} and into.ids["cat"] == 0


ARK = "0, 2, 3, 20, 30, 0.50, 0.10\n1,1,1,5,5\n\n0, 1, 1, 2, 2, -1.0, 0.0\n"


def test_ark_and_tables_of_splits(tmp_path: Path) -> None:
    root = make(tmp_path, {
        "annotations/ab/1.txt": ARK, "annotations/cd/2.txt": "", "labels.yaml": LABELS,
        "train-index.tsv": "/in/images/a.jpg\t/in/annotations/ab/1.txt\n/in/images/lost.jpg\t/in/annotations/9.txt\n",
        "val-index.tsv": "/in/images/b.jpg\t/in/annotations/cd/2.txt\n/in/images/a.jpg\t/in/annotations/ab/1.txt\n"})
    (a, b), into = read_all(ymir, root)
    assert (a.file, a.split, b.file, b.split) == ("images/a.jpg", "val", "images/b.jpg", "val")
    assert [(x.label, x.x, x.y, x.w, x.h, x.attributes, x.row) for x in a.boxes] == [
        ("cat", 2, 3, 18, 27, {"box_quality": "0.50", "rotate_angle": "0.10"}, "annotations/ab/1.txt#1"),
        ("null", 1, 1, 4, 4, None, "annotations/ab/1.txt#2"), ("cat", 1, 1, 1, 1, None, "annotations/ab/1.txt#4")]
    assert b.boxes == [] and [(n.kind, n.file, n.row) for n in into.notes] == [
        ("leaked", "train-index.tsv", "1"), ("missing_picture", "train-index.tsv", "2")]


def test_ark_in_gt_without_classes_and_inclusive_pixels(tmp_path: Path) -> None:
    root = make(tmp_path, {"gt/a.txt": "7, 1, 1, 64, 48\n", "gt/lost.txt": "7,1,1,2,2"})
    index, into = FolderIndex(root), Reading(voc_pixels="inclusive")
    (picture,) = [p for source in ymir.find(index) for p in ymir.read(index, source, into)]
    (found,) = picture.boxes
    assert (found.label, found.x, found.y, found.w, found.h) == ("7", 0, 0, 64, 48)
    assert [(n.kind, n.file) for n in into.notes] == [("missing_picture", "gt/lost.txt")]


def test_tables_of_voc_files(tmp_path: Path) -> None:
    root = make(tmp_path, {"annotations/1.xml": xml("a.jpg", [("kitty", 1, 1, 5, 5)]), "labels.yaml": LABELS,
                           "test-index.tsv": "images/a.jpg\tannotations/1.xml\nimages/b.jpg\tannotations/2.xml\n"})
    pictures, into = read_all(ymir, root)
    assert [(p.file, p.split, p.boxes[0].label) for p in pictures] == [("images/a.jpg", "test", "cat")]
    assert [(n.kind, n.row) for n in into.notes] == [("dangling", "2")]


@pytest.mark.parametrize(("files", "says"), [
    ({"labels.yaml": "labels: 3"}, "not a list"), ({"labels.yaml": "labels: [{id: 0}]"}, "needs a name"),
    ({"labels.yaml": "labels: [{name: a, aliases: {b: c}}]"}, "needs a name"), ({"labels.yaml": "]"}, "not YAML"),
    ({"labels.yaml": "labels: [{name: [a]}]"}, "needs a name"), ({"labels.yaml": "labels: [a]"}, "not a list"),
    ({"labels.yaml": b"\xff"}, "not UTF-8"), ({"labels.yaml": "- a"}, "no keys"),
    ({"index.tsv": b"\xff"}, "not UTF-8"), ({"gt/b.xml": "<annotation><object>"}, "not XML"),
    ({"gt/b.xml": '<!DOCTYPE a [<!ENTITY b "c">]><annotation><filename>&b;</filename></annotation>'}, "refused XML"),
    ({"gt/b.xml": xml("../../b.jpg")}, "leaves the data folder")])
def test_bad_files_are_refused(tmp_path: Path, files: dict[str, str | bytes], says: str) -> None:
    root = make(tmp_path, {"gt/a.xml": RICH} | files)
    with pytest.raises(DataError, match=says):
        read_all(ymir, root)


@pytest.mark.parametrize(("row", "says"), [
    ("0,1,2", "3 columns"), ("0,1,1,2,2,3,4,5", "8 columns"), (b"\xe9", "UTF-8")])
def test_bad_ark_rows_say_where(tmp_path: Path, row: str | bytes, says: str) -> None:
    root = make(tmp_path, {"gt/a.txt": ARK.encode() + (row.encode() if isinstance(row, str) else row)})
    with pytest.raises(DataError, match=rf"{says}[\s\S]*gt/a.txt:5"):
        read_all(ymir, root)


def test_unknown_classes_double_names_and_nonsense(tmp_path: Path) -> None:
    labels = "labels:\n- {id: 0, name: a, aliases: [x]}\n- {id: 1, name: b, aliases: [x, a]}\n"
    rows = "0,1,1,2,2\n9,1,1,2,2\n-1,1,1,2,2\nx,1,1,2,2\n1,nan,9,1,q\n"
    root = make(tmp_path, {"gt/a.txt": rows, "labels.yaml": labels})
    (picture,), into = read_all(ymir, root)
    assert [b.label for b in picture.boxes] == ["a", "b"] and picture.boxes[1].x != picture.boxes[1].x
    assert [(n.kind, n.row) for n in into.notes] == [
        ("duplicate_id", "labels[1]"), ("duplicate_id", "labels[1]"), ("unknown_class", "2"), ("unknown_class", "3"),
        ("unknown_class", "4")]


def test_round_trip(tmp_path: Path) -> None:
    root = make(tmp_path / "raw", {
        "gt/a.xml": RICH, "gt/b.xml": xml("b.jpg", [("null", 0.1, 0.2, 0.3, 33.333)]), "labels.yaml": LABELS,
        "gt/c.xml": xml("c.jpg"), "test-index.tsv": "images/a.jpg\tgt/a.xml\n",
        "index.tsv": "images/b.jpg\tgt/b.xml\n"}, ("a.jpg", "b.jpg", "c.jpg"))
    before, after = round_trip(ymir, root, tmp_path / "trip")
    assert [plain(p) for p in before] == [plain(p) for p in after] and [p.split for p in after] == ["test", None, None]
    out = tmp_path / "trip/out"
    assert claimed(out) == ["."] and (out / "test-index.tsv").read_text() == "images/a.jpg\tgt/a.xml\n"
    again, first = read_all(ymir, out)[1], read_all(ymir, root)[1]
    assert (again.ids, again.labels, again.attributes) == (first.ids, first.labels, first.attributes)


def test_round_trip_of_ark(tmp_path: Path) -> None:
    before, after = round_trip(ymir, make(tmp_path / "raw", {"gt/a.txt": ARK, "gt/b.txt": ""}), tmp_path / "trip")
    assert [plain(p) | {"declared": None} for p in before] == [plain(p) | {"declared": None} for p in after]


def test_names_classes_and_what_is_lost(tmp_path: Path) -> None:
    files = ["odd #t=1.jpg", "'q' \"d\".jpg", "two\nlines.jpg", "tab\t.jpg", "s/1.jpg", "t/1.jpg", f"{'n' * 251}.jpg",
             "1.png"]
    names = ["null", "a/b", "😀", 'say "x": #', "- y", "<&>"]
    for number, file in enumerate(files):
        save_picture(tmp_path / "raw" / file, number)
    pictures = [Picture(file, "train", None, "r", [Box(name, k, 0, 1, 1, "r", attributes={"tags": {"a b": "1"}})
                                                   for name in names], tags=["a b", "ok:x y"])
                for k, file in enumerate(files)]
    export = written(ymir, pictures, tmp_path / "raw", tmp_path)
    assert +export.losses == {"tags that cannot be names in XML": len(files) * (1 + len(names))}
    found, into = read_all(ymir, export.out)
    assert sorted(p.boxes[0].x for p in found) == list(range(len(files))) and not into.notes
    assert into.labels == set(names) and {tuple(p.tags or ()) for p in found} == {("ok:x y",)}
    assert {p.split for p in found} == {"train"}


def test_labels_of_pictures_are_refused(tmp_path: Path) -> None:
    save_picture(tmp_path / "raw/a.jpg")
    with pytest.raises(DataError, match="--format folders"):
        ymir.write(export_of([Picture("a.jpg", None, None, "r", labels=["a"])], tmp_path / "raw", tmp_path,
                             Reading(problem="classify")))


PARTS = st.sampled_from([
    "0", "1", ",", "nan", "\n", "\t", "images/a.jpg", "gt/a.xml", "gt/a.txt", "../", "\0", "é", "labels", ":", "-", " ",
    "id", "name", "aliases", "[", "]", "{", "}", "<cks>", "</cks>", "<tags>", "<object>", "</object>", "<a/>"])


GIVEN = given(st.lists(PARTS, max_size=30).map("".join) | st.text(max_size=99),
              st.sampled_from(["gt/a.xml", "gt/b.txt", "labels.yaml", "train-index.tsv"]), st.booleans())


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("fuzz"), {})


@settings(max_examples=100, deadline=None)
@GIVEN
def test_any_text_is_read_or_refused(fuzzed: Path, text: str, file: str, inside: bool) -> None:
    check_any_text(fuzzed, text, file, inside)


@pytest.mark.slow
@settings(max_examples=100_000, deadline=None)
@GIVEN
def test_a_hundred_thousand_texts(fuzzed: Path, text: str, file: str, inside: bool) -> None:
    check_any_text(fuzzed, text, file, inside)


def check_any_text(root: Path, text: str, file: str, inside: bool) -> None:
    for name, content in {"gt/a.xml": RICH, "gt/b.txt": ARK, "labels.yaml": LABELS, "train-index.tsv": ""}.items():
        put(root / name, content)
    put(root / file, RICH.replace("<difficult>", text + "<difficult>") if file == "gt/a.xml" and inside else text)
    index, into = FolderIndex(root), Reading()
    ymir.find(index)
    try:
        found = list(ymir.read(index, Source("ymir", root, None), into))
    except DataError:
        return
    assert {one.file for one in found} <= {"images/a.jpg", "images/b.jpg"} and json.dumps(into.attributes)
