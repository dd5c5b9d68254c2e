from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from tasks.base.errors import DataError
from tasks.data.formats import coco
from tasks.data.formats.record import Box, Picture, Reading
from tests.data.folders import box, image, make_coco, save_picture
from tests.data.folders import coco as content
from tests.data.roundtrip import export_of, exported, plain, read_all, round_trip


def test_what_only_some_files_say_comes_back(tmp_path: Path) -> None:
    more = {"score": 0.9, "truncation": 0.25, "occlusion": 2, "uncertainty": 0.5, "difficulty": 3.0,
            "source": "human", "reviewed_by": "ann", "ignore": 1, "colour": ["red", {"deep": None}]}
    pictures = [image(1, tags=["night"], group="film", camera=7), image(2, tags=5, group=None)]
    whole = content(pictures, [box(4, 1, **more)])
    whole |= {"info": {"year": 2026}, "licenses": [{"id": 3}], "type": "instances"}
    whole["categories"] = [{"id": 17, "name": "cat", "supercategory": "pet"}, {"id": 0, "name": "dog"}]
    whole["annotations"][0]["category_id"] = 17
    root = make_coco(tmp_path / "in", whole)
    before, after = round_trip(coco, root, tmp_path)
    assert [plain(p) for p in before] == [plain(p) for p in after]
    found, first, second = before[0].boxes[0], before[0], before[1]
    assert (found.score, found.truncation, found.occlusion, found.difficulty) == (0.9, 0.25, 2, 3.0)
    assert (found.source, found.reviewed_by, found.difficult) == ("human", "ann", True)
    assert found.attributes == {"colour": ["red", {"deep": None}]}
    assert (first.tags, first.group, first.attributes) == (["night"], "film", {"camera": 7})
    assert (second.tags, second.attributes) == (None, {"tags": 5, "group": None})
    written = json.loads((tmp_path / "out/annotations/instances.json").read_text())
    assert (written["info"], written["licenses"], written["type"]) == ({"year": 2026}, [{"id": 3}], "instances")
    assert written["categories"] == [{"id": 17, "name": "cat", "supercategory": "pet"}, {"id": 0, "name": "dog"}]
    assert written["annotations"][0]["score"] == 0.9 and "source" in written["annotations"][0]


@pytest.mark.parametrize("name", [
    "a b.jpg", "clip.mp4#t=12.jpg", 'it\'s "x".jpg', "%41.jpg", "x" * 251 + ".jpg", "\u00e9.jpg"])
def test_names_of_pictures_come_back(tmp_path: Path, name: str) -> None:
    root = make_coco(tmp_path / "in", content([image(1, file_name=name)], [box(1, 1)]))
    made = exported(coco, root, tmp_path)
    assert [p.file for p in read_all(coco, made.out)[0]] == [f"images/images/{name}"]


def test_attributes_named_like_keys_of_coco_are_counted(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.jpg")
    attributes = {"id": 5, "bbox": "x", "fine": 1}
    found = Box("cat", math.nan, 2, 3, math.inf, "r", attributes=attributes)
    made = export_of(coco, [Picture("a.jpg", "train", None, "r", [found])], Reading(), tmp_path, tmp_path)
    row = json.loads((made.out / "annotations/instances_train.json").read_text())["annotations"][0]
    assert row["fine"] == 1 and row["id"] == 1 and row["bbox"] == [None, 2, 3, None]
    assert sum(made.losses.values()) == 2


def test_a_table_without_pictures_is_still_coco(tmp_path: Path) -> None:
    made = export_of(coco, [], Reading(labels={"b", "a"}), tmp_path, tmp_path)
    written = json.loads((made.out / "annotations/instances.json").read_text())
    assert [row["name"] for row in written["categories"]] == ["a", "b"] and written["images"] == []


def test_ids_that_are_shared_are_not_used_again(tmp_path: Path) -> None:
    made = export_of(coco, [], Reading(labels={"b", "a"}, ids={"a": 4, "b": 4}), tmp_path, tmp_path)
    written = json.loads((made.out / "annotations/instances.json").read_text())
    assert [row["id"] for row in written["categories"]] == [1, 2]


def test_a_picture_beside_one_below_images(tmp_path: Path) -> None:
    whole = content([image(1, file_name="1.jpg"), image(2, file_name="images/1.jpg")], [box(1, 1), box(2, 2, 2)])
    root = make_coco(tmp_path / "in", whole, folder=".")
    before, after = round_trip(coco, root, tmp_path)
    assert [plain(p) for p in before] == [plain(p) for p in after]
    assert [p.boxes[0].label for p in sorted(after, key=lambda p: len(p.file))] == ["cat", "dog"]


def test_other_problems_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"COCO holds boxes[\s\S]*--format masks"):
        export_of(coco, [], Reading(problem="semantic"), tmp_path, tmp_path)


@pytest.mark.parametrize("folder", ["coco_tiny", "nuts_coco_seg", "nuclei_256"])
def test_real_round_trips_are_equal_to_the_last_digit(mirror: Path, tmp_path: Path, folder: str) -> None:
    before, after = round_trip(coco, mirror / "datasets" / folder, tmp_path)
    assert [plain(p) for p in before] == [plain(p) for p in after] and sum(len(p.boxes) for p in before) > 160
    assert any(b.polygons for p in before for b in p.boxes)


def test_ids_of_real_categories_come_back(mirror: Path, tmp_path: Path) -> None:
    made = exported(coco, mirror / "datasets/coco_tiny", tmp_path)
    for name in ("train", "val"):
        folders = (mirror / "datasets/coco_tiny/annotations", made.out / "annotations")
        given, written = (json.loads(next(folder.glob(f"instances_{name}*.json")).read_text()) for folder in folders)
        rows = [sorted(some["categories"], key=lambda row: row["name"]) for some in (given, written)]
        assert rows[0] == rows[1]
    assert not made.losses
