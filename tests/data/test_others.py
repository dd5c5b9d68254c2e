from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.base.errors import DataError, UserError
from tasks.data.formats import others, voc
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import More, Picture, Reading, Source
from tasks.data.runs import decode
from tests.data.folders import HEIGHT, WIDTH, put, save_picture
from tests.data.roundtrip import make_table

Boxes = list[tuple[str, float, float, float, float]]


def read(root: Path, name: str, below: str = "") -> tuple[list[Picture], Reading]:
    into, pictures = Reading(), dict[str, Picture]()
    for item in others.read(FolderIndex(root), Source(f"others:{name}", root / below, None), into):
        if isinstance(item, More):
            pictures[item.file].boxes.extend(item.boxes)
        else:
            pictures[item.file] = item
    return list(pictures.values()), into


def told(pictures: Iterable[Picture]) -> dict[str, Boxes]:
    return {one.file: sorted((box.label, box.x, box.y, box.w, box.h) for box in one.boxes) for one in pictures}


@pytest.mark.parametrize("name", ["cvat", "labelme", "openimages", "tfrecord"])
def test_one_ground_truth_in_several_forms_gives_the_same_boxes(mirror: Path, name: str) -> None:
    root = mirror / "datasets/voc100_formats/database"
    into = Reading()
    expected = told(voc.read(FolderIndex(root), Source("voc", root / "gts/pascalvoc_format", None), into))
    pictures, into = read(root, name, f"gts/{name}_format")
    assert told(pictures) == expected and sum(map(len, expected.values())) == 273 and not into.notes


def test_they_are_read_only_when_they_are_named(mirror: Path) -> None:
    index = FolderIndex(mirror / "datasets/voc100_formats/database/gts/cvat_format")
    assert others.find(index) == []
    assert others.sources(index, "others:cvat") == [Source("others:cvat", index.root, None)]
    for name, says in (("others:cvatt", "did you mean 'others:cvat'"), ("others", "one of: ade20k2017, ")):
        with pytest.raises(UserError, match=says):
            others.sources(index, name)


@pytest.mark.parametrize("name", ["cvat", "labelme", "openimages", "tfrecord"])
def test_a_folder_of_something_else(tmp_path: Path, name: str) -> None:
    for file in ("a.xml", "a.json", "a.csv", "a.tfrecord"):
        put(tmp_path / file, "nothing of the kind")
    with pytest.raises(DataError, match=f"nothing of {name} is there"):
        read(tmp_path, name)


def cvat(shapes: str, more: str = "", name: str = "a.jpg") -> str:
    labels = "<label><name>cat</name></label><label><name>dog</name></label>"
    return (f'<?xml version="1.0"?><annotations><version>1.1</version><meta><task>{labels}</task></meta>{more}'
            f'<image id="7" name="{name}" width="{WIDTH}" height="{HEIGHT}">{shapes}</image></annotations>')


def cvat_of(root: Path, shapes: str, **more: str) -> tuple[list[Picture], Reading]:
    save_picture(root / "images/a.jpg")
    put(root / "annotations.xml", cvat(shapes, **more))
    return read(root, "cvat")


def test_shapes_of_cvat(tmp_path: Path) -> None:
    (picture,), into = cvat_of(tmp_path, """
      <box label="cat" occluded="1" source="manual" xtl="1.5" ytl="2" xbr="11.5" ybr="12" z_order="0">
        <attribute name="fur">long</attribute></box>
      <box label="cat" source="auto" xtl="10" ytl="20" xbr="30" ybr="24" rotation="90" z_order="2"/>
      <polygon label="dog" points="1,1;11,1;11,21"/><points label="dog" points="3,4;5,6.5"/>
      <mask label="dog" rle="1, 2, 3" left="4" top="5" width="3" height="2"/><tag label="wet"/>""")
    box, turned, polygon, points, mask = picture.boxes
    assert (box.label, box.x, box.y, box.w, box.h, box.source, box.occlusion) == ("cat", 1.5, 2, 10, 10, "human", 1)
    assert box.attributes == {"fur": "long"} and box.row == "annotations.xml#image 7, shape 0"
    assert (turned.x, turned.y, turned.w, turned.h) == pytest.approx((18, 12, 4, 20)) and turned.occlusion is None
    assert turned.attributes is not None and (turned.attributes["rotation"], turned.attributes["source"]) == ("90",
        "auto")
    assert polygon.polygons == [[1, 1, 11, 1, 11, 21]] and (polygon.w, polygon.h) == (10, 20)
    assert points.keypoints == [3, 4, 2, 5, 6.5, 2]
    assert mask.rle is not None and mask.area == 2 and (mask.x, mask.y, mask.w, mask.h) == (4, 5, 3, 2)
    drawn = decode({"h": HEIGHT, "w": WIDTH, "counts": mask.rle[2]})
    assert sorted(zip(*np.nonzero(drawn), strict=True)) == [(5, 5), (5, 6)]
    assert picture.labels == ["wet"] and into.problem == "segment" and into.labels == {"cat", "dog"} and not into.notes


@pytest.mark.parametrize("shape", [
    '<polyline label="cat" points="1,1;2,2"/>', '<polygon label="cat" points="1,1;2,2"/>', '<skeleton label="cat"/>',
    '<polygon label="cat" points="1,1;2,2;x,3"/>', '<polygon label="cat" points="1;2;3"/>', '<polygon label="cat"/>',
    '<mask label="cat" rle="1,2" left="0" top="0" width="9" height="9"/>', '<mask label="cat"/>',
    '<mask label="cat" rle="0,4" left="63" top="0" width="2" height="2"/>',
    '<mask label="cat" rle="-1,5" left="0" top="0" width="2" height="2"/>',
    '<mask label="cat" rle="0,1e300" left="0" top="0" width="1e150" height="1e150"/>'])
def test_shapes_of_cvat_that_are_left_out(tmp_path: Path, shape: str) -> None:
    (picture,), into = cvat_of(tmp_path, shape)
    assert not picture.boxes and [(note.kind, note.picture) for note in into.notes] == [("bad_mask", "images/a.jpg")]


@pytest.mark.parametrize(("text", "says"), [
    ("<annotations>", "not XML"), (cvat("").replace("<version>", "<!DOCTYPE x><version>"), "not XML"),
    ('<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>', "refused XML"),
    (cvat("", "<track id='0'/>"), "films are not read"), (cvat("", name="../a.jpg"), "leaves the data folder"),
    (cvat("", name=""), "is empty"), ("<a><annotations></annotations></a>", "found <a>")])
def test_files_of_cvat_that_are_refused(tmp_path: Path, text: str, says: str) -> None:
    save_picture(tmp_path / "a.jpg")
    put(tmp_path / "annotations.xml", text)
    with pytest.raises(DataError, match=says):
        read(tmp_path, "cvat")


def test_subsets_of_cvat_and_missing_pictures(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.jpg")
    both = cvat("").replace('id="7"', 'id="7" subset="Validation"').replace(
        "</annotations>", '<image id="8" name="x #t=1.jpg"/></annotations>')
    put(tmp_path / "annotations.xml", both)
    (picture,), into = read(tmp_path, "cvat")
    assert picture.split == "val" and [(note.kind, note.row) for note in into.notes] == [("missing_picture", "image 8")]


def labelme(root: Path, *shapes: Any, **more: Any) -> tuple[list[Picture], Reading]:
    save_picture(root / "a.jpg")
    whole = {"version": "5.0", "imagePath": "..\\pictures\\a.jpg", "imageData": base64.b64encode(b"x" * 9).decode(),
             "imageWidth": WIDTH, "imageHeight": HEIGHT, "flags": {}, "shapes": list(shapes)} | more
    put(root / "a.json", json.dumps(whole))
    return read(root, "labelme")


def drawn(kind: str, *points: Any, label: Any = "cat", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": list(points), "shape_type": kind, "group_id": None, "flags": {}} | more


def test_shapes_of_labelme(tmp_path: Path) -> None:
    (picture,), into = labelme(
        tmp_path, drawn("rectangle", [11, 12.5], [1, 2.5], description="old"), drawn("circle", [10, 10], [13, 14]),
        drawn("polygon", [1, 1], [5, 1], [5, 5], group_id=3), drawn("polygon", [21, 1], [25, 1], [25, 9], group_id=3),
        drawn("point", [4, 5], flags={"dim": True}), flags={"night": True})
    box, circle, both, point = picture.boxes
    assert (box.x, box.y, box.w, box.h, box.attributes) == (1, 2.5, 10, 10, {"description": "old"})
    assert (circle.x, circle.y, circle.w, circle.h) == (5, 5, 10, 10)
    assert both.polygons == [[1, 1, 5, 1, 5, 5], [21, 1, 25, 1, 25, 9]] and (both.x, both.w, both.h) == (1, 24, 8)
    assert point.keypoints == [4, 5, 2] and point.attributes == {"flags": {"dim": True}}
    assert picture.attributes == {"flags": {"night": True}} and picture.declared == (WIDTH, HEIGHT)
    assert into.problem == "segment" and not into.notes


@pytest.mark.parametrize("shape", [
    drawn("polygon", [1, 1], [2, 2]), drawn("line", [1, 1], [2, 2]), drawn("rectangle", [1, 1]), {},
    drawn("polygon", [1, 1], ["x", 2], [3, 3]), drawn("circle", [1, 1]), drawn("polygon", 5, None, [1]),
    {"points": "x"}, drawn("mask", [1, 1])])
def test_shapes_of_labelme_that_are_left_out(tmp_path: Path, shape: Any) -> None:
    (picture,), into = labelme(tmp_path, shape)
    assert not picture.boxes and [(note.kind, note.row) for note in into.notes] == [("bad_mask", "shapes[0]")]


@pytest.mark.parametrize("label", [None, "", 3, "null", "a/b", "🐈"])
def test_strange_names_of_classes(tmp_path: Path, label: Any) -> None:
    boxes = labelme(tmp_path, drawn("rectangle", [1, 1], [2, 2], label=label))[0][0].boxes
    assert [box.label for box in boxes] == [label if isinstance(label, str) else ""]


@pytest.mark.parametrize(("text", "says"), [
    ('{"shapes": 5}', "list 'shapes'"), ('["shapes", "shapes"]', "expected an object"), ('{"shapes"', "not JSON"),
    ('{"shapes": ' + "[" * 70 + "]" * 70 + "}", "deeper than 64")])
def test_files_of_labelme_that_are_refused(tmp_path: Path, text: str, says: str) -> None:
    put(save_picture(tmp_path / "a.jpg").parent / "a.json", text)
    with pytest.raises(DataError, match=says) as raised:
        read(tmp_path, "labelme")
    assert "a.json" in str(raised.value)


def test_pictures_of_labelme_that_are_called_otherwise_or_missing(tmp_path: Path) -> None:
    assert labelme(tmp_path, imagePath="renamed.jpg")[0][0].file == "a.jpg"
    put(tmp_path / "b.json", json.dumps({"shapes": [], "imagePath": None}))
    note, = read(tmp_path, "labelme")[1].notes
    assert (note.kind, note.file) == ("missing_picture", "b.json")


HEAD = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n"


def test_a_file_of_openimages(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b")):
        save_picture(tmp_path / f"images/{name}.jpg", number)
    put(tmp_path / "metadata/class-descriptions.csv", "/m/01,Cat\n/m/02,Dog\n")
    put(tmp_path / "annotations/train-annotations-bbox.csv", HEAD + (
        'a,xclick,/m/01,1,0.25,0.5,0.125,"0,25",1,0,0,0,-1\nb,,/m/02,,0,1,0,1,,,1,,\na,,Bird,,nan,x,,1,0,0,0,0,0\n'
        "none,,/m/01,1,0,1,0,1,0,0,0,0,0\nnone,,/m/01,1,0,1,0,1,0,0,0,0,0\n"))
    (one, two), into = read(tmp_path, "openimages")
    cat, bird = one.boxes
    assert (cat.label, cat.x, cat.y, cat.w, cat.h, cat.occlusion) == ("Cat", 16, 6, 16, 6, 1) and one.split == "train"
    assert cat.attributes == {"Source": "xclick", "Confidence": "1", "IsTruncated": "0", "IsDepiction": "0",
                              "IsInside": "-1"}
    assert bird.label == "Bird" and np.isnan([bird.x, bird.y, bird.w, bird.h]).all() and two.boxes[0].iscrowd
    assert [(note.kind, note.row) for note in into.notes] == [("missing_picture", "5")]


@pytest.mark.parametrize(("text", "says"), [
    ("ImageID,XMin\na,1\n", "no column LabelName, XMax"),
    (HEAD + "../a.jpg,,x,,0,1,0,1,,,,,\n", "leaves the data folder"),
    (HEAD + '"', "not CSV"), (HEAD.encode() + b"\xff\n", "not CSV"), (HEAD + ",,x,,0,1,0,1\n", "is empty")])
def test_files_of_openimages_that_are_refused(tmp_path: Path, text: Any, says: str) -> None:
    put(save_picture(tmp_path / "a.jpg").parent / "a.csv", text)
    with pytest.raises(DataError, match=says):
        read(tmp_path, "openimages")


def field(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    head, rest = value & 0x7F, value >> 7
    return bytes([head | 0x80]) + varint(rest) if rest else bytes([head])


def feature(name: str, value: Any) -> bytes:
    if isinstance(value[0], float):
        inner = field(2, field(1, struct.pack(f"<{len(value)}f", *value)))
    elif isinstance(value[0], int):
        inner = field(3, field(1, b"".join(map(varint, value))))
    else:
        inner = field(1, b"".join(field(1, part) for part in value))
    return field(1, field(1, name.encode()) + field(2, inner))


def record(**features: Any) -> bytes:
    whole = {"image/filename": [b"a.jpg"], "image/width": [WIDTH], "image/height": [HEIGHT],
             "image/object/bbox/xmin": [0.25], "image/object/bbox/xmax": [0.5], "image/object/bbox/ymin": [0.0],
             "image/object/bbox/ymax": [1.0], "image/object/class/label": [2]} | features
    data = field(1, b"".join(feature(name, value) for name, value in whole.items() if value))
    return struct.pack("<QI", len(data), 0) + data + b"sum."


def tfrecord(root: Path, content: bytes) -> tuple[list[Picture], Reading]:
    save_picture(root / "a.jpg")
    put(root / "train.tfrecord", content)
    put(root / "label_map.pbtxt", 'item { id: 2 name: "cat" }\nitem {\n name: \'dog\'\n id: 3\n}\nitem { id: 4 }')
    return read(root, "tfrecord")


def test_records_of_tensorflow(tmp_path: Path) -> None:
    (picture,), into = tfrecord(tmp_path, record(**{"image/object/is_crowd": [1]}) + record(
        **{"image/filename": ["ü.jpg".encode()]}))
    box, = picture.boxes
    assert (box.label, box.x, box.y, box.w, box.h, box.iscrowd) == ("cat", 16, 0, 16, HEIGHT, True)
    assert into.ids == {"cat": 2, "dog": 3} and picture.split == "train" and picture.declared == (WIDTH, HEIGHT)
    assert [(note.kind, note.row) for note in into.notes] == [("missing_picture", "record 1")]
    texts = {"image/object/class/text": [b"bird"], "image/object/class/label": []}
    assert tfrecord(tmp_path, record(**texts))[0][0].boxes[0].label == "bird"


@pytest.mark.parametrize(("content", "says"), [
    (record()[:-1], "cut off"), (record()[:20] + b"image/", "cut off"), (b"image/ and no more", "cut off"),
    (struct.pack("<QI", 8, 0) + b"image/\xff\xff" + b"sum.", "not a record"),
    (record(**{"image/object/bbox/xmin": [0.1, 0.2]}), "differ in length"),
    (record(**{"image/filename": [b"../a.jpg"]}), "leaves the data folder"),
    (record(**{"image/filename": []}), "is empty")])
def test_records_that_are_refused(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says) as raised:
        tfrecord(tmp_path, content)
    assert "train.tfrecord" in str(raised.value)


FILES: dict[str, tuple[str, bytes]] = {
    "cvat": ("a.xml", cvat('<box label="cat" xtl="1" ytl="2" xbr="3" ybr="4"/>'
                           '<polygon label="dog" points="1,2;3,4;5,1"/>'
                           '<mask label="dog" rle="1,2,3" left="4" top="5" width="3" height="2"/>').encode()),
    "labelme": ("a.json", json.dumps({"imagePath": "a.jpg", "shapes": [
        drawn("polygon", [1, 1], [5, 1], [5, 5], group_id=3), drawn("circle", [10, 10], [13, 14])]}).encode()),
    "openimages": ("a.csv", (HEAD + "a,xclick,/m/01,1,0.25,0.5,0.125,0.25,1,0,0,0,-1\n").encode()),
    "tfrecord": ("a.tfrecord", record())}


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(sorted(FILES)), at=st.integers(0, 10**6), cut=st.integers(0, 9),
    put_in=st.binary(max_size=9))
def test_changed_files_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, name: str, at: int, cut: int,
                                           put_in: bytes) -> None:
    root = tmp_path_factory.mktemp("fuzz")
    save_picture(root / "a.jpg")
    file, content = FILES[name]
    at %= len(content)
    put(root / file, content[:at] + put_in + content[at + cut:])
    try:
        pictures, into = read(root, name)
    except DataError:
        return
    make_table(pictures, into, root, root / "table")
