from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tasks.base.errors import DataError
from tasks.data.formats import coco
from tasks.data.formats._coco_read import Ids
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, More, Note, Picture, Reading, Source
from tests.data.folders import HEIGHT, WIDTH, box, image, make_coco, put, save_picture
from tests.data.folders import coco as content
from tests.data.roundtrip import exported, read_all

TRIANGLE = [2.0, 3.0, 20.5, 3.0, 20.5, 30.25]
FULL = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH - 7, 7]}


def read(root: Path) -> tuple[list[Picture], list[Note], set[str]]:
    pictures, into = read_all(coco, root)
    return pictures, into.notes, into.labels


def one_box(root: Path, **more: Any) -> tuple[Box, Reading]:
    pictures, into = read_all(coco, make_coco(root, content([image(1)], [box(1, 1, **more)])))
    return pictures[0].boxes[0], into


def test_boxes_and_declared_classes(tmp_path: Path) -> None:
    pictures, notes, labels = read(make_coco(tmp_path, content([image(1), image(2)], [box(7, 1, 2, area=99.5)])))
    found = pictures[0].boxes[0]
    assert (found.label, found.x, found.w, found.area) == ("dog", 2, 18, 99.5)
    assert found.row == "annotations.json#annotations[0]"
    assert pictures[1].boxes == [] and labels == {"cat", "dog"} and not notes


@pytest.mark.parametrize(("file", "split"), [
    ("annotations/instances_train2017.json", "train"), ("annotations/instances_val2017.json", "val"),
    ("test/_annotations.coco.json", "test"), ("valid/_annotations.coco.json", "val"), ("trainval.json", None),
    ("annotations.json", None), ("latest_contest.json", None)])
def test_split_by_name(tmp_path: Path, file: str, split: str | None) -> None:
    pictures, _, _ = read(make_coco(tmp_path, content([image(1)], []), file))
    assert [p.split for p in pictures] == [split]


def test_same_names_in_folders_of_splits(tmp_path: Path) -> None:
    for split in ("train", "val"):
        make_coco(tmp_path, content([image(1)], [box(1, 1)]), f"annotations/{split}.json", split)
    pictures, _, _ = read(tmp_path)
    assert {p.file: p.split for p in pictures} == {"train/1.jpg": "train", "val/1.jpg": "val"}


def test_a_picture_of_another_split_is_not_taken_instead(tmp_path: Path) -> None:
    make_coco(tmp_path, content([image(1)], []), "annotations/val.json", "val")
    put(tmp_path / "annotations/train.json", json.dumps(content([image(1, file_name="train/1.jpg")], [])))
    pictures, notes, _ = read(tmp_path)
    assert [p.file for p in pictures] == ["val/1.jpg"] and [n.kind for n in notes] == ["missing_picture"]


def test_instances_win_over_captions(tmp_path: Path) -> None:
    for name in ("captions", "instances", "person_keypoints"):
        make_coco(tmp_path, content([image(1)], []), f"annotations/{name}_train2017.json")
    assert [s.path.name for s in coco.find(FolderIndex(tmp_path))] == ["instances_train2017.json"]


@pytest.mark.parametrize(("annotations", "kind", "row"), [
    ([box(1, 9)], "dangling", "annotations[0]"), ([box(1, 1, 9)], "dangling", "annotations[0]"),
    ([box(1, 1), box(1, 1)], "duplicate_id", "annotations[1]")])
def test_flawed_rows_are_noted(tmp_path: Path, annotations: list[dict[str, Any]], kind: str, row: str) -> None:
    _, notes, _ = read(make_coco(tmp_path, content([image(1)], annotations)))
    assert [(n.kind, n.file, n.row) for n in notes] == [(kind, "annotations.json", row)]


def test_duplicated_image_id_is_noted(tmp_path: Path) -> None:
    pictures, notes, _ = read(make_coco(tmp_path, content([image(1), image(2, id=1)], [box(1, 1)])))
    assert [(n.kind, n.row) for n in notes] == [("duplicate_id", "images[1]")] and len(pictures) == 1


@pytest.mark.parametrize("bbox", [
    [math.nan, 1, 2, 3], [1, 2, 3], [], None, "1 2 3 4", [None, 1, 2, 3], [{}, 1, 2, 3], [True, 1, 2, 3]])
def test_boxes_that_are_no_numbers_become_nan(tmp_path: Path, bbox: Any) -> None:
    pictures, _, _ = read(make_coco(tmp_path, content([image(1)], [box(1, 1) | {"bbox": bbox}])))
    assert math.isnan(pictures[0].boxes[0].x)


@pytest.mark.parametrize(("text", "message"), [
    ('{"images": [], "annotations": [], "categories": ', "not JSON"),
    ('{"images": 1, "annotations": [], "categories": []}', "list of objects called 'images'"),
    ('{"images": [], "annotations": [3], "categories": []}', "list of objects called 'annotations'"),
    ('["images", "annotations", "categories"]', "list of objects called 'images'"),
    ('{"images":[],"annotations":[],"categories":[{"id":1,"name":"a"},{"id":1,"name":"b"}]}', "category id 1"),
    ('{"images":[{"id":1,"file_name":"../a.jpg"}],"annotations":[],"categories":[]}', "leaves the data folder"),
    ('{"images":[{"id":1}],"annotations":[],"categories":[]}', "is empty"),
    ("[1, 2", "not JSON: .*the file is cut off there"), ("{}", "list of objects called 'images'"), ("", "not JSON"),
    ('{"images": [], "images": [], "annotations": [], "categories": []}', "'images' stands there twice"),
    ('{"images": [], "annotations": [], "categories": []} {}', "something follows"),
    ('{"images": [], "annotations": [], "categories": [{"name": "\\ud800"}]}', "half a character"),
    ('{"images": [], "annotations": [], "categories": [{"name": "' + "\xff" + '"}]}', "not utf-8 text"),
    ('{"images": [], "annotations": [], "categories": [], "i": ' + "9" * 5000 + "}", "not JSON"),
    ('{"images": [], "annotations": [], "categories": [], "x": ' + "[" * 99 + "]" * 99 + "}", "nested more than 32"),
    ('{"categories": "' + "[" * 9 + '", "images":' + "[" * 100_000 + ', "annotations"', "not JSON")])
def test_malformed_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    save_picture(tmp_path / "1.jpg")
    put(tmp_path / "a.json", text.encode("latin-1"))
    with pytest.raises(DataError, match=rf"{message}[\s\S]*a\.json") as raised:
        list(coco.read(FolderIndex(tmp_path), Source("coco", tmp_path / "a.json", None), Reading()))
    assert raised.value.exit_code == 2


def test_other_json_is_left_alone(tmp_path: Path) -> None:
    make_coco(tmp_path, content([image(1)], []))
    put(tmp_path / "package.json", '{"name": "x"}')
    put(tmp_path / "empty.json", "")
    assert [s.path.name for s in coco.find(FolderIndex(tmp_path))] == ["annotations.json"]


def test_real_coco(mirror: Path) -> None:
    pictures, notes, labels = read(mirror / "datasets/coco_tiny")
    assert len(pictures) == 160 and len(labels) == 80 and not notes
    assert sum(len(p.boxes) for p in pictures) == 705 + 815
    assert {p.split for p in pictures} == {"train", "val"}


def test_a_file_that_is_cut_off_is_found_and_named_with_the_place(tmp_path: Path) -> None:
    rows = [box(k, 1, segmentation=[TRIANGLE]) for k in range(99)]
    put(save_picture(tmp_path / "1.jpg").with_name("a.json"), json.dumps(content([image(1)], rows))[:9000])
    said = r"not JSON: .*; the file is cut off there \(character [89],\d{3}\)[\s\S]*a\.json"
    with pytest.raises(DataError, match=said):
        read(tmp_path)


ORDERS = [("images", "annotations", "categories"), ("categories", "images", "annotations"),
          ("annotations", "categories", "images"), ("annotations", "images", "categories"),
          ("categories", "annotations", "images"), ("images", "categories", "annotations")]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 20])
def test_any_order_of_lists_and_any_size_of_pieces(tmp_path: Path, order: tuple[str, ...], chunk: int) -> None:
    rows = [box(k, k % 3, segmentation=[TRIANGLE], score=0.5, note="caf\u00e9 \u2603") for k in range(9)]
    odd = box(20, 1, bbox=[math.nan, -1e-300, 12345678901234567890, 1])
    whole = content([image(0), image(1)], [*rows, box(3, 1), odd])
    make_coco(tmp_path, whole)
    ordered = {"info": {"year": 2026}} | {key: whole[key] for key in order}
    put(tmp_path / "annotations.json", json.dumps(ordered, indent=1))
    index, into = FolderIndex(tmp_path), Reading()
    items = list(coco.read(index, coco.find(index)[0], into, chunk))
    assert [item.file for item in items] == ["images/0.jpg", "images/1.jpg"] * 2
    assert all(type(item) is Picture and not item.boxes for item in items[:2])
    assert [[b.row for b in item.boxes] for item in items[2:]] == [
        [f"annotations.json#annotations[{k}]" for k in (0, 3, 6)],
        [f"annotations.json#annotations[{k}]" for k in (1, 4, 7, 10)]]
    assert all(b.polygons == [TRIANGLE] and b.attributes == {"note": "caf\u00e9 \u2603"} for b in items[2].boxes)
    assert items[3].boxes[-1].w == 12345678901234567890.0 and items[3].boxes[-1].y == -1e-300
    assert sorted((n.kind, n.row) for n in into.notes) == [
        ("dangling", "annotations[2]"), ("dangling", "annotations[5]"), ("dangling", "annotations[8]"),
        ("duplicate_id", "annotations[9]")]
    assert (into.problem, into.ids) == ("segment", {"cat": 1, "dog": 2})
    assert into.attributes["coco"] == {"info": {"year": 2026}}


def test_boxes_come_in_lots(tmp_path: Path) -> None:
    root = make_coco(tmp_path, content([image(0), image(1)], [box(k, k % 2) for k in range(1500)]))
    index = FolderIndex(root)
    lots = [item for item in coco.read(index, coco.find(index)[0], Reading()) if isinstance(item, More)]
    assert [len(lot.boxes) for lot in lots] == [256, 256, 256, 256, 238, 238]


def test_ids_that_were_seen() -> None:
    ids = Ids()
    keys = [0, 63, 64, -1, 900100002299, 10 ** 30, "a", "64", True]
    assert [ids.add(key) for key in keys] == [True] * 9 and [ids.add(key) for key in keys] == [False] * 9


def test_annotations_without_ids_are_all_taken(tmp_path: Path) -> None:
    rows = [{key: value for key, value in box(1, 1).items() if key != "id"} for _ in range(3)]
    pictures, notes, _ = read(make_coco(tmp_path, content([image(1)], rows)))
    assert len(pictures[0].boxes) == 3 and not notes


@pytest.mark.parametrize(("name", "label"), [
    (None, ""), ("", ""), ("  ", ""), ({}, ""), ("null", "null"), ("a/b", "a/b"), ("\U0001f431", "\U0001f431"),
    (5, "5")])
def test_names_of_categories(tmp_path: Path, name: Any, label: str) -> None:
    whole = content([image(1)], [box(1, 1)]) | {"categories": [{"id": 1, "name": name}]}
    pictures, _, labels = read(make_coco(tmp_path, whole))
    assert pictures[0].boxes[0].label == label and labels == ({label} if label else set())


def test_names_that_differ_in_case_are_two_pictures(tmp_path: Path) -> None:
    whole = content([image(1, file_name="a.jpg"), image(2, file_name="A.jpg")], [box(1, 1), box(2, 2, 2)])
    pictures, notes, _ = read(make_coco(tmp_path, whole))
    assert {p.file: p.boxes[0].label for p in pictures} == {"images/a.jpg": "cat", "images/A.jpg": "dog"} and not notes


def test_boxes_of_a_picture_described_twice_are_those_of_the_first(tmp_path: Path) -> None:
    root = make_coco(tmp_path, content([image(1), image(2, file_name="1.jpg")], [box(1, 1), box(2, 2, 2)]))
    index = FolderIndex(root)
    items = list(coco.read(index, coco.find(index)[0], Reading()))
    assert [item.file for item in items] == ["images/1.jpg"] * 3
    assert [b.label for item in items for b in item.boxes] == ["cat"]


@pytest.mark.parametrize(("given", "detail"), [
    ([[1, 2, 3, 4]], "2 points, 3 are needed"), ([[1, 2, 3, 4, 5, 6, 7]], "half a point"),
    ([[1, 2, 3, 4, 5, "6"]], "no list of numbers"), ([[1, 2, 3, 4, 5, math.nan]], "no list of numbers"),
    ([1, 2, 3, 4, 5, 6], "no list of numbers"), ([[1, 2, 3, 4, 5, 10 ** 400]], "no list of numbers"),
    ([[1, 2, 3, 4, 5, True]], "no list of numbers"), ("poly", "no polygons"), (7, "no polygons"),
    ({"size": [HEIGHT, WIDTH - 1], "counts": [HEIGHT * (WIDTH - 1)]}, "63 x 48 pixels, the picture has 64 x 48"),
    ({"size": [10 ** 6, 10 ** 6], "counts": [10 ** 12]}, "more than"), ({"counts": [1]}, "size None"),
    (FULL | {"size": [0, 0]}, "size"), (FULL | {"size": [48.0, 64]}, "size"),
    *((FULL | {"counts": counts}, "do not fill") for counts in (
        [HEIGHT * WIDTH - 7, 6], [], [-1, HEIGHT * WIDTH + 1], [1 << 40], [True], "\u20ac", "0", "o" * 99,
        "o" * 7 + "0", "", None))])
def test_masks_that_are_none(tmp_path: Path, given: Any, detail: str) -> None:
    found, into = one_box(tmp_path, segmentation=given)
    assert (found.polygons, found.rle, found.w, into.problem) == (None, None, 18, None)
    assert [(n.kind, n.file, n.row, n.picture) for n in into.notes] == [
        ("bad_mask", "annotations.json", "annotations[0]", "images/1.jpg")]
    assert detail in into.notes[0].detail


@pytest.mark.parametrize("given", [[], None, [[]], {}])
def test_no_mask_is_no_flaw(tmp_path: Path, given: Any) -> None:
    found, into = one_box(tmp_path, segmentation=given)
    assert (found.polygons, found.rle, into.notes, into.problem) == (None, None, [], None)


def test_a_bad_polygon_leaves_the_others(tmp_path: Path) -> None:
    found, into = one_box(tmp_path, segmentation=[TRIANGLE, [1, 2]])
    assert found.polygons == [TRIANGLE] and len(into.notes) == 1


def test_run_lengths_in_both_forms(tmp_path: Path) -> None:
    from pycocotools import mask

    found, into = one_box(tmp_path / "a", segmentation=FULL, iscrowd=1)
    assert found.rle is not None and found.iscrowd and into.problem == "segment"
    assert mask.area({"size": list(found.rle[:2]), "counts": found.rle[2].encode()}) == 7
    again, _ = one_box(tmp_path / "b", segmentation={"size": [HEIGHT, WIDTH], "counts": found.rle[2]})
    assert again.rle == found.rle == (HEIGHT, WIDTH, found.rle[2])


def test_keypoints_and_their_names(tmp_path: Path) -> None:
    points = [5.0, 6.0, 2.0, 0.0, 0.0, 0.0, 9.5, 8.0, 1.0]
    whole = content([image(1)], [box(1, 1, keypoints=points, num_keypoints=9), box(2, 1, keypoints=points[:6]),
                                 box(3, 1, 2, keypoints=points[:3]), box(4, 1, keypoints=[1, 2, "x"])])
    whole["categories"][0] |= {"keypoints": ["nose", "left", "right"], "skeleton": [[1, 2], [2, 3], [3, 4], "x"]}
    root = make_coco(tmp_path / "in", whole)
    pictures, into = read_all(coco, root)
    assert [b.keypoints for b in pictures[0].boxes] == [points, None, points[:3], None]
    assert into.keypoints == {"cat": {"names": ["nose", "left", "right"], "edges": [[0, 1], [1, 2]]}}
    assert [n.row for n in into.notes] == ["categories[0]", "categories[0]", "annotations[1]", "annotations[3]"]
    made = exported(coco, root, tmp_path)
    written = json.loads((made.out / "annotations/instances.json").read_text())
    assert [row.get("num_keypoints") for row in written["annotations"]] == [2, None, 1, None]
    assert written["categories"][0]["skeleton"] == [[1, 2], [2, 3]]


@pytest.mark.parametrize("more", [{"score": "high"}, {"occlusion": 9}, {"source": "flickr"}, {"difficulty": True},
                                  {"truncation": math.inf}, {"reviewed_by": 3}])
def test_values_that_fit_no_column_are_attributes(tmp_path: Path, more: dict[str, Any]) -> None:
    found, _ = one_box(tmp_path, **more)
    name, value = next(iter(more.items()))
    assert found.attributes == {name: None if value == math.inf else value}
    assert (found.score, found.occlusion, found.source, found.difficulty) == (None, None, "import", None)
