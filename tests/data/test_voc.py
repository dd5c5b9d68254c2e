from __future__ import annotations

from pathlib import Path

import pytest

from tasks.base.errors import DataError
from tasks.data.formats import voc
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Note, Picture
from tests.data.folders import cells, make_voc, put, save_picture, xml

BILLION_LAUGHS = """<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;">]>
<annotation><filename>&lol2;</filename></annotation>"""
READS_A_FILE = """<!DOCTYPE a [<!ENTITY secret SYSTEM "file:///etc/passwd">]>
<annotation><filename>p0.jpg</filename><object><name>&secret;</name></object></annotation>"""


def read(root: Path, pixels: voc.Pixels = "corners") -> tuple[list[Picture], list[Note], set[str]]:
    index, notes, labels = FolderIndex(root), list[Note](), set[str]()
    pictures = [p for source in voc.find(index) for p in voc.read(index, source, notes, labels, pixels)]
    return pictures, notes, labels


def test_boxes_classes_and_rows(tmp_path: Path) -> None:
    pictures, notes, labels = read(make_voc(tmp_path, cells(2)))
    assert [p.file for p in pictures] == ["JPEGImages/p0.jpg", "JPEGImages/p1.jpg"]
    cat, dog = pictures[0].boxes
    assert (cat.label, cat.x, cat.y, cat.w, cat.h, cat.row) == ("cat", 2, 3, 18, 27, "Annotations/p0.xml#0")
    assert dog.row == "Annotations/p0.xml#1" and labels == {"cat", "dog"} and not notes


def test_inclusive_pixels_count_from_one(tmp_path: Path) -> None:
    pictures, _, _ = read(make_voc(tmp_path, {"a": [("cat", 1, 1, 64, 48)]}), "inclusive")
    box = pictures[0].boxes[0]
    assert (box.x, box.y, box.w, box.h) == (0, 0, 64, 48)


def test_given_splits(tmp_path: Path) -> None:
    root = make_voc(tmp_path, cells(4), {"train": ["p0"], "val": ["p1"], "test": ["p2"], "trainval": ["p0", "p1"]})
    put(root / "ImageSets/Main/cat_train.txt", "p0 1\np3 -1\n")
    pictures, _, _ = read(root)
    assert {p.file[-6:-4]: p.split for p in pictures} == {"p0": "train", "p1": "val", "p2": "test", "p3": None}


def test_folders_of_splits(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "valid", "test")):
        save_picture(tmp_path / split / "1.jpg", number)
        put(tmp_path / split / "1.xml", xml("1.jpg", [("cat", 1, 1, 9, 9)]))
    pictures, notes, _ = read(tmp_path)
    assert {p.file: p.split for p in pictures} == {"train/1.jpg": "train", "valid/1.jpg": "val", "test/1.jpg": "test"}
    assert not notes


def test_a_picture_in_two_lists_is_noted(tmp_path: Path) -> None:
    pictures, notes, _ = read(make_voc(tmp_path, cells(2), {"train": ["p0", "p1"], "test": ["p1"]}))
    assert [(n.kind, n.file, n.row, n.picture) for n in notes] == [
        ("leaked", "ImageSets/Main/train.txt", "p1", "JPEGImages/p1.jpg")]
    assert {p.file: p.split for p in pictures} == {"JPEGImages/p0.jpg": "train", "JPEGImages/p1.jpg": "test"}


def test_two_files_of_one_picture_in_two_lists(tmp_path: Path) -> None:
    root = make_voc(tmp_path, cells(2), {"train": ["p0", "again"], "val": ["p1"]})
    put(root / "Annotations/again.xml", xml("p1.jpg", [("cat", 1, 1, 9, 9)]))
    assert [(p.row, p.split) for p in read(root)[0]] == [
        ("Annotations/p1.xml", "val"), ("Annotations/again.xml", "train"), ("Annotations/p0.xml", "train")]


def test_listed_and_without_annotation(tmp_path: Path) -> None:
    root = make_voc(tmp_path, cells(1), {"train": ["p0", "ghost", "bare"]})
    save_picture(root / "JPEGImages/bare.jpg", 9)
    pictures, notes, _ = read(root)
    assert {p.file: p.split for p in pictures} == {"JPEGImages/p0.jpg": "train", "JPEGImages/bare.jpg": "train"}
    assert {(n.kind, n.row, n.picture) for n in notes} == {
        ("dangling", "ghost", None), ("unannotated", "bare", "JPEGImages/bare.jpg")}


def test_annotation_without_picture(tmp_path: Path) -> None:
    root = make_voc(tmp_path, cells(2))
    (root / "JPEGImages/p1.jpg").unlink()
    pictures, notes, _ = read(root)
    assert len(pictures) == 1
    assert [(n.kind, n.file) for n in notes] == [("missing_picture", "Annotations/p1.xml")]


def test_filename_without_suffix_or_wrong(tmp_path: Path) -> None:
    root = make_voc(tmp_path, cells(1))
    put(root / "Annotations/p0.xml", xml("renamed_later", [("cat", 1, 1, 9, 9)]))
    assert [p.file for p in read(root)[0]] == ["JPEGImages/p0.jpg"]


@pytest.mark.parametrize("text", [BILLION_LAUGHS, READS_A_FILE])
def test_entities_are_refused(tmp_path: Path, text: str) -> None:
    root = make_voc(tmp_path, cells(1))
    put(root / "Annotations/p0.xml", text)
    said = r"refused XML with a document type or entities[\s\S]*Annotations/p0\.xml"
    with pytest.raises(DataError, match=said) as raised:
        read(root)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("name", ["../secret.jpg", "a/../../secret.jpg", "/etc/passwd", "..\\secret.jpg", "C:\\a.jpg"])
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    save_picture(tmp_path / "secret.jpg")
    root = make_voc(tmp_path / "raw", cells(1))
    put(root / "Annotations/p0.xml", xml(name))
    with pytest.raises(DataError, match=r"leaves the data folder[\s\S]*Annotations/p0\.xml"):
        read(root)


@pytest.mark.parametrize("text", ["<annotation><filename>p0.jpg", "", "<annotation/>trailing", "\0\1"])
def test_what_is_not_xml_is_named(tmp_path: Path, text: str) -> None:
    root = make_voc(tmp_path, cells(2))
    put(root / "Annotations/p1.xml", text)
    with pytest.raises(DataError, match=r"not XML: [\s\S]*Annotations/p1\.xml"):
        read(root)


def test_another_kind_of_xml_among_annotations(tmp_path: Path) -> None:
    root = make_voc(tmp_path, cells(2))
    put(root / "Annotations/z.xml", "<project/>")
    with pytest.raises(DataError, match=r"not a Pascal VOC annotation[\s\S]*z\.xml"):
        read(root)


def test_coordinates_that_are_no_numbers_become_nan(tmp_path: Path) -> None:
    root = make_voc(tmp_path, cells(1))
    put(root / "Annotations/p0.xml", "<annotation><object><name>cat</name><bndbox><xmin>a</xmin></bndbox></object>"
        "<object><name>cat</name></object></annotation>")
    assert all(box.x != box.x and box.h != box.h for box in read(root)[0][0].boxes)


def test_agrees_with_the_sets_own_coco_form(mirror: Path) -> None:
    from tasks.data.formats import coco

    index = FolderIndex(mirror / "datasets/voc100_formats/database")
    by_form = []
    for module, place in ((voc, "pascalvoc_format"), (coco, "coco_format_v1")):
        notes: list[Note] = []
        source = next(s for s in module.find(index) if place in s.path.as_posix())
        pictures = module.read(index, source, notes, set())
        by_form.append({p.file: sorted((b.label, b.x, b.y, b.w, b.h) for b in p.boxes) for p in pictures})
        assert not notes
    assert by_form[0] == by_form[1] and len(by_form[0]) == 100 and sum(map(len, by_form[0].values())) == 273
