from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import pytest
from pycocotools import mask

from tasks.base.errors import DataError
from tasks.data.formats import superb
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Picture, Reading, Source
from tests.data.folders import HEIGHT, WIDTH, put, save_picture
from tests.data.roundtrip import plain, read_all, round_trip

GRAPH = {"id": "g1", "name": "arm", "points": [{"name": "hand", "color": "#fff"}, {"name": "elbow", "color": "#fff"}],
         "edges": [{"u": 0, "v": 1, "color": "#fff"}]}
CLASSES = [{"id": "c1", "name": "cat", "annotation_type": "box", "color": "#FF625A", "properties": []},
           {"id": "c2", "name": "cat", "annotation_type": "polygon"},
           {"id": "c3", "name": "ship", "annotation_type": "rbox"},
           {"id": "c4", "name": "arm", "annotation_type": "keypoint", "keypoint_interface_id": "g1"},
           {"id": "c5", "name": "wire", "annotation_type": "polyline"}]
CHOSEN = [{"type": "radio", "property_id": "p1", "property_name": "fur", "option_id": "o1", "option_name": "long"}]


def project(classes: Any = CLASSES, **more: Any) -> dict[str, Any]:
    return {"type": "image-siesta", "version": "0.4.0", "data_type": "image", "categorization": {"properties": []},
            "object_detection": {"keypoints": [GRAPH], "object_groups": [], "object_classes": classes,
                                 "annotation_types": ["box"]}} | more


def thing(of: str, kind: str, coord: Any, **annotation: Any) -> dict[str, Any]:
    names = {entry["id"]: entry["name"] for entry in CLASSES}
    return {"id": f"{of}-1", "class_id": of, "class_name": names.get(of, "?"), "annotation_type": kind,
            "annotation": {"multiple": False, "coord": coord, "meta": {"z_index": 1}} | annotation, "properties": []}


def meta(key: str, dataset: str = "farm", **more: Any) -> dict[str, Any]:
    number = str(uuid5(NAMESPACE_URL, key))
    return {"data_key": key, "dataset": dataset, "image_info": {"width": WIDTH, "height": HEIGHT}, "label_id": number,
            "label_path": [f"labels/{number}.json"], "last_updated_date": "2023-01-02T03:04:05.678Z",
            "tags": [], "work_assignee": "a@b.c", "status": "SUBMITTED", "info": {"camelCase": 1},
            "related_labels": {"consensus_labeling": []}} | more


def make(root: Path, pictures: dict[str, Any], told: dict[str, Any] | None = None, save: bool = True,
         **more: Any) -> Path:
    """An export; `pictures` are key → objects, or a whole label."""
    put(root / "project.json", json.dumps(project() if told is None else told))
    for number, (key, label) in enumerate(pictures.items()):
        about = meta(key) | more
        put(root / f"meta/farm/{key}.json", json.dumps(about))
        whole = {"objects": label, "categories": {"properties": []}} if isinstance(label, list) else label
        for path in about["label_path"]:
            put(root / path, json.dumps(whole))
        if save:
            save_picture(root / "pictures" / key, number)
    return root


def one(root: Path) -> Picture:
    pictures, _ = read_all(superb, root)
    assert len(pictures) == 1
    return pictures[0]


def camel(value: Any) -> Any:
    """The spelling before 0.4.0."""
    if isinstance(value, dict):
        return {key.split("_")[0] + "".join(part.title() for part in key.split("_")[1:]): camel(part)
                for key, part in value.items()}
    return [camel(part) for part in value] if isinstance(value, list) else value


BOX = thing("c1", "box", {"x": 2.5, "y": 3, "width": 10.25, "height": 20}, difficulty=2, uncertainty=0.0045)
SQUARE = [{"x": 10, "y": 10}, {"x": 40, "y": 10}, {"x": 40, "y": 40}, {"x": 10, "y": 40}]
HOLE = [{"x": 20, "y": 20}, {"x": 30, "y": 20}, {"x": 30, "y": 30}, {"x": 20, "y": 30}]
FAR = [{"x": 50.5, "y": 1}, {"x": 60, "y": 1}, {"x": 60, "y": 8}]
POINTS = [{"name": "hand", "x": 5, "y": 6, "state": {"visible": True, "valid": True}},
          {"name": "elbow", "x": 25, "y": 16, "state": {"visible": False, "valid": True}}]


def everything() -> dict[str, Any]:
    return {"a.jpg": {"objects": [BOX | {"properties": CHOSEN, "tracking_id": 7}], "difficulty": 1,
                      "categories": {"properties": CHOSEN}},
            "b/a.jpg": [thing("c2", "polygon", {"points": SQUARE}),
                        thing("c2", "polygon", {"points": [[SQUARE, HOLE], [FAR]]}, multiple=True),
                        thing("c2", "polygon", {"points": [[SQUARE], [FAR]]}, multiple=True)],
            "c.jpg": [thing("c3", "rbox", {"cx": 20, "cy": 20, "width": 10, "height": 4, "angle": 30}),
                      thing("c4", "keypoint", {"points": POINTS})], "d.jpg": None, "e.jpg": []}


@pytest.mark.parametrize("spelled", [lambda value: value, camel])
def test_a_box_in_both_spellings(tmp_path: Path, spelled: Any) -> None:
    make(tmp_path, {"a.jpg": spelled({"objects": [BOX], "difficulty": 1})}, tags=["night", "rain"])
    put(tmp_path / "project.json", json.dumps(project([spelled(entry) for entry in CLASSES])))
    picture = one(tmp_path)
    box, = picture.boxes
    assert (box.label, box.x, box.y, box.w, box.h) == ("cat", 2.5, 3, 10.25, 20)
    assert (box.difficulty, box.uncertainty) == (2, 0.0045)
    assert box.attributes == {"id": "c1-1", "annotation": {"meta": {"z_index": 1}}}
    assert picture.tags == ["night", "rain"] and picture.declared == (WIDTH, HEIGHT)
    assert picture.attributes is not None and picture.attributes["label"] == {"difficulty": 1}
    assert picture.attributes["info"] == {"camelCase": 1} and picture.attributes["work_assignee"] == "a@b.c"
    assert box.row.startswith("labels/") and box.row.endswith("#objects[0]")


def test_polygons(tmp_path: Path) -> None:
    make(tmp_path, {"a.jpg": everything()["b/a.jpg"]})
    plain_one, holed, two = one(tmp_path).boxes
    square = [10, 10, 40, 10, 40, 40, 10, 40]
    assert plain_one.polygons == [square] and plain_one.area == 900
    assert (plain_one.x, plain_one.y, plain_one.w, plain_one.h) == (10, 10, 30, 30)
    assert two.polygons == [square, [50.5, 1, 60, 1, 60, 8]] and (two.x, two.w) == (10, 50)
    assert holed.polygons is None and holed.rle is not None and (holed.x, holed.w) == (10, 50)
    drawn = mask.decode({"size": [HEIGHT, WIDTH], "counts": holed.rle[2]})
    assert drawn[15, 15] and not drawn[25, 25] and drawn[2, 58] and holed.area == drawn.sum()
    assert np.count_nonzero(drawn[10:40, 10:40]) == 800


def test_a_rotated_box_is_enclosed_and_kept(tmp_path: Path) -> None:
    coord = {"cx": 20, "cy": 20, "width": 10, "height": 4, "angle": 90}
    box, = one(make(tmp_path, {"a.jpg": [thing("c3", "rbox", coord)]})).boxes
    assert (box.x, box.y, box.w, box.h) == pytest.approx((18, 15, 4, 10))
    assert box.attributes is not None and box.attributes["rbox"] == coord


@pytest.mark.parametrize("coord", [{"points": POINTS}, {"graph": {
    "nodes": [{"x": 5, "y": 6}, {"x": 25, "y": 16}], "states": [{"state": point["state"]} for point in POINTS]}}])
def test_keypoints_of_both_forms(tmp_path: Path, coord: Any) -> None:
    pictures, into = read_all(superb, make(tmp_path, {"a.jpg": [thing("c4", "keypoint", coord)]}))
    box, = pictures[0].boxes
    assert box.keypoints == [5, 6, 2, 25, 16, 1] and (box.x, box.y, box.w, box.h) == (5, 6, 20, 10)
    assert into.keypoints == {"arm": {"names": ["hand", "elbow"], "edges": [[0, 1]]}}


@pytest.mark.parametrize(("label", "more", "kind", "boxes"), [
    (None, {}, "unannotated", 0), ([BOX], {"status": "SKIPPED"}, "unannotated", 1),
    ([], {"status": "WORKING"}, "unannotated", 0), ([BOX], {"label_path": []}, "unannotated", 0),
    ([thing("c5", "polyline", {"points": [SQUARE]})], {}, "bad_mask", 0),
    ([thing("c1", "cuboid2d", {}), BOX], {}, "bad_mask", 1), ([thing("?", "box", {})], {}, "dangling", 0),
    ([thing("c2", "polygon", {"points": SQUARE[:2]})], {}, "bad_mask", 0),
    ([thing("c2", "polygon", {"points": [[SQUARE, HOLE[:2]]]}, multiple=True)], {}, "bad_mask", 1),
    ([thing("c2", "polygon", {"points": [{"x": "NaN", "y": 1}, *SQUARE]})], {}, "bad_mask", 0),
    ([thing("c2", "polygon", {})], {}, "bad_mask", 0), ([thing("c4", "keypoint", {"points": 3})], {}, "bad_mask", 0)])
def test_what_is_noted(tmp_path: Path, label: Any, more: Any, kind: str, boxes: int) -> None:
    pictures, into = read_all(superb, make(tmp_path, {"a.jpg": label}, **more))
    assert kind in {note.kind for note in into.notes} and {note.picture for note in into.notes} == {"pictures/a.jpg"}
    assert len(pictures[0].boxes) == boxes


@pytest.mark.parametrize("size", [(0, 0), (10 ** 6, 10 ** 6)])
def test_holes_need_a_size_that_can_be_drawn(tmp_path: Path, size: tuple[int, int]) -> None:
    make(tmp_path, {"a.jpg": [thing("c2", "polygon", {"points": [[SQUARE, HOLE]]}, multiple=True)]},
         image_info=dict(zip(("width", "height"), size, strict=True)))
    pictures, into = read_all(superb, tmp_path)
    assert pictures[0].boxes[0].rle is None and len(pictures[0].boxes[0].polygons or ()) == 1
    assert [note.kind for note in into.notes] == ["bad_mask"]


def test_holes_far_outside_and_a_size_that_only_the_picture_knows(tmp_path: Path) -> None:
    far = [{"x": 1e300, "y": 1}, *HOLE]
    make(tmp_path, {"a.jpg": [thing("c2", "polygon", {"points": [[SQUARE, far]]}, multiple=True)]}, image_info={})
    box, = one(tmp_path).boxes
    assert box.rle is not None and box.rle[:2] == (HEIGHT, WIDTH)


def test_a_working_label_with_objects_and_an_empty_submitted_one_are_annotated(tmp_path: Path) -> None:
    make(tmp_path, {"a.jpg": [BOX]}, status="WORKING")
    put(tmp_path / "meta/farm/b.jpg.json", json.dumps(meta("b.jpg", label_path=["labels/b.json"])))
    put(tmp_path / "labels/b.json", json.dumps({"objects": []}))
    save_picture(tmp_path / "pictures/b.jpg", 3)
    assert not read_all(superb, tmp_path)[1].notes


def test_a_label_that_no_meta_names_is_not_read_and_a_missing_one_dangles(tmp_path: Path) -> None:
    make(tmp_path, {"a.jpg": [BOX]})
    put(tmp_path / "labels/stray.json", "{")
    assert len(one(tmp_path).boxes) == 1
    put(tmp_path / "meta/farm/a.jpg.json", json.dumps(meta("a.jpg", label_path=["labels/none.json"])))
    pictures, into = read_all(superb, tmp_path)
    assert [note.kind for note in into.notes] == ["dangling", "unannotated"] and not pictures[0].boxes


@pytest.mark.parametrize("name", ["x #t=3.jpg", "it's \"b\".jpg", "é/ü 🐈.jpg", "50%.jpg", "l" * 245 + ".jpg"])
def test_names_of_pictures(tmp_path: Path, name: str) -> None:
    make(tmp_path / "in", {name: [BOX]})
    before, after = round_trip(superb, tmp_path / "in", tmp_path)
    assert [plain(picture) for picture in before] == [plain(picture) for picture in after] and len(before) == 1
    assert before[0].file == f"pictures/{name}"


def test_pictures_are_told_apart_by_dataset_then_key(tmp_path: Path) -> None:
    make(tmp_path, {"a.jpg": [BOX]}, save=False)
    save_picture(tmp_path / "x/town/a.jpg", 1)
    save_picture(tmp_path / "x/farm/a.jpg", 2)
    assert one(tmp_path).file == "x/farm/a.jpg"


def test_a_key_without_a_suffix_and_a_picture_that_is_missing(tmp_path: Path) -> None:
    make(tmp_path, {"a": [BOX], "b": [BOX]}, save=False)
    save_picture(tmp_path / "x/farm/a.png", 1)
    pictures, into = read_all(superb, tmp_path)
    assert [picture.file for picture in pictures] == ["x/farm/a.png"]
    assert [(note.kind, note.file) for note in into.notes] == [("missing_picture", "meta/farm/b.json")]


def test_a_dataset_gives_the_split(tmp_path: Path) -> None:
    assert one(make(tmp_path, {"a.jpg": [BOX]}, dataset="train set")).split == "train"


@pytest.mark.parametrize("name", [None, "", " ", 5])
def test_a_class_without_a_name_leaves_a_box_without_a_class(tmp_path: Path, name: Any) -> None:
    make(tmp_path, {"a.jpg": [BOX]}, project([{"id": "c1", "name": name, "annotation_type": "box"}]))
    pictures, into = read_all(superb, tmp_path)
    assert pictures[0].boxes[0].label == "" and not into.labels


@pytest.mark.parametrize("name", ["null", "a/b", "🐈", "x" * 300])
def test_strange_names_of_classes_come_through(tmp_path: Path, name: str) -> None:
    make(tmp_path / "in", {"a.jpg": [BOX]}, project([{"id": "c1", "name": name, "annotation_type": "box"}]))
    _, after = round_trip(superb, tmp_path / "in", tmp_path)
    assert after[0].boxes[0].label == name


@pytest.mark.parametrize("coord", [{"x": 9, "y": 9, "width": -3, "height": 0},
                                   {"x": 1e9, "y": 1, "width": 2, "height": 3}])
def test_nonsense_of_boxes_is_given_as_it_is(tmp_path: Path, coord: Any) -> None:
    box, = one(make(tmp_path, {"a.jpg": [thing("c1", "box", coord)]})).boxes
    assert (box.x, box.y, box.w, box.h) == tuple(coord.values())


@pytest.mark.parametrize("coord", [{}, {"x": "a", "y": None, "width": [], "height": True}, {"x": 10 ** 400}])
def test_what_is_no_number_is_nan(tmp_path: Path, coord: Any) -> None:
    make(tmp_path / "in", {"a.jpg": [thing("c1", "box", coord)]})
    _, after = round_trip(superb, tmp_path / "in", tmp_path)
    assert all(math.isnan(value) for value in (after[0].boxes[0].x, after[0].boxes[0].w))


@pytest.mark.parametrize(("file", "content", "says"), [
    ("project.json", {"images": [], "annotations": [], "object_tracking": {}}, "video projects are not read"),
    ("project.json", project(type="video-siesta"), "export frames as images"),
    ("project.json", {"images": [], "annotations": []}, "expected 'object_detection', found 'annotations', 'images'"),
    ("project.json", [1], "found a list"),
    ("meta/farm/a.jpg.json", meta("a.jpg", frames=["1.jpg"]), "video projects are not read"),
    ("meta/farm/a.jpg.json", {"file_name": "a.jpg"}, "expected an object with 'data_key'"),
    ("meta/farm/a.jpg.json", meta("../a.jpg"), "leaves the data folder"),
    ("meta/farm/a.jpg.json", meta("/etc/a.jpg"), "leaves the data folder"),
    ("meta/farm/a.jpg.json", meta("a.jpg", label_path=["../../x.json"]), "leaves the data folder"),
    ("meta/farm/a.jpg.json", meta("a.jpg", label_path="labels/x.json"), "list of names"),
    ("labels/1.json", {"shapes": []}, "expected an object with 'objects'"),
    ("labels/1.json", [], "expected an object")])
def test_files_of_another_schema(tmp_path: Path, file: str, content: Any, says: str) -> None:
    make(tmp_path, {"a.jpg": [BOX]}, label_path=["labels/1.json"])
    put(tmp_path / file, json.dumps(content))
    with pytest.raises(DataError, match=says):
        read_explicitly(tmp_path)


@pytest.mark.parametrize(("text", "says"), [
    ("{", "not JSON"), ("", "not JSON"), ("[" * 100_000, "not JSON"), (b"\xff\xfe{}", "not JSON"),
    ('{"objects": [' + "[" * 70 + "]" * 70 + "]}", "deeper than 64"),
    ('{"objects": [], "a": "\\ud800"}', "surrogates")])
@pytest.mark.parametrize("file", ["project.json", "meta/farm/a.jpg.json", "labels/1.json"])
def test_files_that_are_not_json(tmp_path: Path, file: str, text: Any, says: str) -> None:
    make(tmp_path, {"a.jpg": [BOX]}, label_path=["labels/1.json"])
    put(tmp_path / file, text)
    with pytest.raises(DataError, match=says) as raised:
        read_explicitly(tmp_path)
    assert file in str(raised.value)


def read_explicitly(root: Path) -> list[Any]:
    return list(superb.read(FolderIndex(root), Source("superb", root / "project.json", None), Reading()))


def test_only_suites_projects_are_found(tmp_path: Path) -> None:
    make(tmp_path / "a/suite", {"a.jpg": [BOX]})
    put(tmp_path / "a/other/project.json", json.dumps({"name": "a COCO folder"}))
    put(tmp_path / "a/other/meta/x.json", "{}")
    put(tmp_path / "a/alone/project.json", json.dumps(project()))
    assert [source.path for source in superb.find(FolderIndex(tmp_path / "a"))] == [tmp_path / "a/suite/project.json"]


IMAGE_LEVEL = {"properties": [{"id": "p", "name": "sky", "type": "radio", "options": [
    {"id": "o1", "name": "clear"}, {"id": "g", "name": "wet", "children": [{"id": "o2", "name": "rain"}]}]},
    {"id": "f", "name": "remark", "type": "free response"}]}


def categories(option: str | None) -> dict[str, Any]:
    said = {"type": "free response", "property_id": "f", "property_name": "remark", "value": "dark"}
    chosen = {"type": "radio", "property_id": "p", "property_name": "sky", "option_id": option, "option_name": "?"}
    return {"objects": [], "categories": {"properties": [said, *([chosen] if option else [])]}}
