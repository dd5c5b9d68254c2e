from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tasks.base.errors import DataError
from tasks.data.formats import coco
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Note, Picture
from tests.data.folders import box, image, make_coco, put, save_picture
from tests.data.folders import coco as content


def read(root: Path) -> tuple[list[Picture], list[Note], set[str]]:
    index, notes, labels = FolderIndex(root), list[Note](), set[str]()
    pictures = [p for source in coco.find(index) for p in coco.read(index, source, notes, labels)]
    return pictures, notes, labels


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
    ('{"categories": "' + "[" * 9 + '", "images":' + "[" * 100_000 + ', "annotations"', "not JSON")])
def test_malformed_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    save_picture(tmp_path / "1.jpg")
    put(tmp_path / "a.json", text)
    with pytest.raises(DataError, match=rf"{message}[\s\S]*a\.json") as raised:
        read(tmp_path)
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
