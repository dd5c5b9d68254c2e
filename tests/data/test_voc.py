from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.base.errors import DataError
from tasks.data.formats import voc
from tasks.data.formats._voc_write import far_end
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, Note, Picture, Pixels, Reading
from tests.data.folders import cells, make_voc, put, save_picture, xml
from tests.data.roundtrip import export_of, exported, plain, read_all, round_trip

BILLION_LAUGHS = """<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;">]>
<annotation><filename>&lol2;</filename></annotation>"""
READS_A_FILE = """<!DOCTYPE a [<!ENTITY secret SYSTEM "file:///etc/passwd">]>
<annotation><filename>p0.jpg</filename><object><name>&secret;</name></object></annotation>"""


OBJECT = "<name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"
CORNERS = "<x1>1</x1><y1>2</y1><x2>30</x2><y2>2</y2><x3>30.5</x3><y3>40.25</y3>"


def read(root: Path, pixels: Pixels = "corners") -> tuple[list[Picture], list[Note], set[str]]:
    index, into = FolderIndex(root), Reading(voc_pixels=pixels)
    pictures = [picture for source in voc.find(index) for picture in voc.read(index, source, into)]
    return pictures, into.notes, into.labels


def one(root: Path, inside: str) -> tuple[Picture, Reading]:
    """What is read of one picture with one object that holds this too."""
    make_voc(root, {"p0": []})
    put(root / "Annotations/p0.xml", f"<annotation><object>{OBJECT}{inside}</object></annotation>")
    pictures, into = read_all(voc, root)
    return pictures[0], into


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
        pictures, into = read_all(module, index.root, place)
        by_form.append({p.file: sorted((b.label, b.x, b.y, b.w, b.h) for b in p.boxes) for p in pictures})
        assert not into.notes
    assert by_form[0] == by_form[1] and len(by_form[0]) == 100 and sum(map(len, by_form[0].values())) == 273


@pytest.mark.parametrize(("inside", "truncation", "occlusion", "attributes"), [
    ("", None, None, None), ("<truncated>0</truncated><occluded>1</occluded>", 0.0, 1, None),
    ("<truncated> 1 </truncated><occluded>3</occluded>", 1.0, 3, None),
    ("<truncated>0.25</truncated>", 0.25, None, None),
    ("<truncated>Unspecified</truncated><occluded>0.5</occluded>", None, None,
     {"truncated": "Unspecified", "occluded": "0.5"}), ("<truncated>nan</truncated>", None, None, {"truncated": "nan"}),
    ("<pose>Left</pose><empty/><part><name>head</name></part><!-- a --><?b c?>", None, None,
     {"pose": "Left", "empty": ""}), ("<tag>a</tag><tag>b</tag><tag>c</tag>", None, None, {"tag": ["a", "b", "c"]})])
def test_flags_and_other_children(tmp_path: Path, inside: str, truncation: float | None, occlusion: int | None,
                                  attributes: dict[str, object] | None) -> None:
    box = one(tmp_path, inside)[0].boxes[0]
    assert (box.truncation, box.occlusion, box.attributes) == (truncation, occlusion, attributes)


def test_polygons(tmp_path: Path) -> None:
    picture, into = one(tmp_path, f"<polygon>{CORNERS}</polygon><polygon><y10>1</y10><x2>3</x2><x10>0</x10><y2>4</y2>"
                                  "<x1>1</x1><y1>2</y1></polygon>")
    assert picture.boxes[0].polygons == [[1, 2, 30, 2, 30.5, 40.25], [1, 2, 3, 4, 0, 1]]
    assert into.problem == "segment" and not into.notes
    assert picture.boxes[0].area == 29 * 38.25 / 2


def test_areas_that_the_outline_does_not_give_are_counted(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.jpg")
    square = [0.0, 0.0, 3.0, 0.0, 3.0, 4.0, 0.0, 4.0]
    boxes = [Box("cat", 0, 0, 3, 4, "r", area=area, polygons=polygons)
             for area, polygons in ((12.0, [square]), (9.0, [square]), (9.0, None), (12.0, None), (None, None))]
    made = export_of(voc, [Picture("a.jpg", None, None, "r", boxes)], Reading(), tmp_path, tmp_path)
    assert +made.losses == {"areas other than their outline's": 2}


@pytest.mark.parametrize("inside", [
    "", "<x1>1</x1><y1>2</y1><x2>1</x2><y2>2</y2>", CORNERS + "<x4>1</x4>", CORNERS + "<x4>a</x4><y4>1</y4>",
    "<pt><x>1</x><y>2</y></pt>", CORNERS + "<x4/><y4/>"])
def test_polygons_that_are_none(tmp_path: Path, inside: str) -> None:
    picture, into = one(tmp_path, f"<polygon>{inside}</polygon>")
    assert picture.boxes[0].polygons is None and picture.boxes[0].w == 29 and into.problem is None
    assert [(n.kind, n.file, n.row, n.picture) for n in into.notes] == [
        ("bad_mask", "Annotations/p0.xml", "0", "JPEGImages/p0.jpg")]


def test_a_file_of_endless_depth(tmp_path: Path) -> None:
    picture, _ = one(tmp_path, "<a>" * 100_000 + "</a>" * 100_000)
    assert picture.boxes[0].attributes is None


@pytest.mark.parametrize("name", ["null", "a/b", "<&>\"'", "\U0001f431", "two  words"])
def test_classes_of_any_name_come_back(tmp_path: Path, name: str) -> None:
    save_picture(tmp_path / "a.jpg")
    box = Box(name, 1, 2, 3, 4, "r")
    made = export_of(voc, [Picture("a.jpg", None, None, "r", [box])], Reading(), tmp_path, tmp_path)
    assert read(made.out)[0][0].boxes[0].label == name and not +made.losses


@pytest.mark.parametrize("name", [
    "a b.jpg", "clip.mp4#t=12.jpg", 'it\'s "x".jpg', "x" * 251 + ".jpg", " a.jpg", "a\n.jpg", "a\x01.jpg",
    "photo 1.jpg", "photo.jpg", "a&amp;.jpg"])
def test_names_of_pictures_come_back_with_their_split(tmp_path: Path, name: str) -> None:
    pictures = []
    for number, file in enumerate(sorted({name, "photo.jpg", "deep/photo.jpg", "photo.png"})):
        save_picture(tmp_path / "in" / file, number)
        split = "train" if number % 2 else "test"
        pictures.append(Picture(file, split, None, "r", [Box("cat", number, 2, 3, 4, "r")]))
    made = export_of(voc, pictures, Reading(), tmp_path / "in", tmp_path)
    after, notes, _ = read(made.out)
    assert sorted((p.split, p.boxes[0].x) for p in after) == sorted((p.split, p.boxes[0].x) for p in pictures)
    assert not notes and len({p.file for p in after}) == len(pictures)


def test_what_is_lost_is_counted(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.jpg")
    odd = {"a b": "1", "deep": {"x": 1}, "name": "dog", "bndbox": 3, "many": [], "fine": [1, True], "pose": "a\x00b"}
    boxes = [Box("cat", 1, 2, 3, 4, "r", truncation=0.75, occlusion=2, attributes=odd),
             Box("cat", 1, 2, 3, 4, "r", truncation=0.5, occlusion=1, attributes={"truncated": "x", "occluded": "y"}),
             Box("cat", 1, 2, 3, 4, "r", attributes={"truncated": "x"})]
    made = export_of(voc, [Picture("a.jpg", None, None, "r", boxes)], Reading(), tmp_path, tmp_path)
    assert +made.losses == {"truncation as a share": 2, "occlusion as a level": 1,
                            "attributes that are no plain text": 7, "characters that XML cannot hold": 1}
    first, second, third = read(made.out)[0][0].boxes
    assert (first.truncation, first.occlusion, second.truncation, second.occlusion) == (1, 1, 0, 1)
    assert first.attributes == {"fine": ["1", "True"], "pose": "a\ufffdb"} and third.attributes == {"truncated": "x"}


@given(start=st.floats(-1e4, 1e4), end=st.floats(-1e4, 1e4))
def test_far_ends_leave_the_same_length(start: float, end: float) -> None:
    length = end - start
    assert far_end(start, length) - start == length


def test_numbers_are_written_to_the_last_digit(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.jpg")
    boxes = [Box("cat", 0.1, 1 / 3, 29.999999999999996, 1e-7, "r", polygons=[[0.1, 0.2, 1 / 3, 7, 1e20, -5.5]]),
             Box("cat", float("nan"), 2, -3, float("inf"), "r")]
    made = export_of(voc, [Picture("a.jpg", None, None, "r", boxes)], Reading(), tmp_path, tmp_path)
    first, second = read(made.out)[0][0].boxes
    assert (first.x, first.y, first.w, first.polygons) == (0.1, 1 / 3, 29.999999999999996, boxes[0].polygons)
    assert (second.x != second.x, second.w != second.w, second.y, second.h) == (True, True, 2, float("inf"))


def test_other_problems_are_refused(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"holds boxes[\s\S]*--format folders"):
        export_of(voc, [Picture("a.jpg", None, None, "r")], Reading(problem="classify"), tmp_path, tmp_path)


@pytest.mark.parametrize(("folder", "only", "boxes"), [("bccd", "", 4888),
                                                       ("voc100_formats/database", "pascalvoc_format", 273)])
def test_real_round_trips_are_equal(mirror: Path, tmp_path: Path, folder: str, only: str, boxes: int) -> None:
    before, after = round_trip(voc, mirror / "datasets" / folder, tmp_path, only)
    assert [plain(p) for p in before] == [plain(p) for p in after] and sum(len(p.boxes) for p in after) == boxes
    if folder == "bccd":
        assert sum(box.w * box.h == 0 for picture in after for box in picture.boxes) == 2
        assert {p.split for p in after} == {"train", "val", "test"}


def test_nothing_of_a_real_set_is_lost(mirror: Path, tmp_path: Path) -> None:
    assert not +exported(voc, mirror / "datasets/voc100_formats/database", tmp_path, "pascalvoc_format").losses
