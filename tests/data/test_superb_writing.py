from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tasks.base.errors import DataError
from tasks.data.exporting import Export
from tasks.data.formats import superb
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, Picture, Reading, Source
from tasks.data.runs import encode
from tests.data.folders import HEIGHT, WIDTH, put, save_picture
from tests.data.fuzz import changed_json
from tests.data.roundtrip import export_of, exported, plain, read_all, round_trip
from tests.data.test_superb import BOX, CLASSES, GRAPH, IMAGE_LEVEL, categories, everything, make, meta, one, project


def test_a_round_trip_changes_nothing(tmp_path: Path) -> None:
    make(tmp_path / "in", everything(), tags=["night"])
    before, after = round_trip(superb, tmp_path / "in", tmp_path)
    assert [plain(picture) for picture in before] == [plain(picture) for picture in after] and len(before) == 5
    told = json.loads((tmp_path / "out/project.json").read_text())
    assert told["version"] == "0.4.0" and {entry["id"] for entry in CLASSES} <= {
        entry["id"] for entry in told["object_detection"]["object_classes"]}
    assert told["object_detection"]["keypoints"] == [GRAPH]


def test_the_same_bytes_twice(tmp_path: Path) -> None:
    make(tmp_path / "in", everything())
    outs = [exported(superb, tmp_path / "in", tmp_path / name).out for name in "ab"]
    files = [sorted((path.relative_to(out).as_posix(), path.read_bytes()) for path in out.rglob("*") if path.is_file())
             for out in outs]
    assert files[0] == files[1] and len(files[0]) == 16


def written(tmp_path: Path, *pictures: Picture, problem: str = "detect") -> Export:
    """An export of pictures that did not come from Suite."""
    for number, picture in enumerate(pictures):
        save_picture(tmp_path / "in" / picture.file, number)
    into = Reading(problem=problem, labels={name for picture in pictures for name in picture.labels or ()})
    return export_of(superb, list(pictures), into, tmp_path / "in", tmp_path)


def test_pictures_of_other_formats_are_written(tmp_path: Path) -> None:
    rle = encode(np.ones((HEIGHT, WIDTH), bool))["counts"]
    hostile = {"rings": [3], "rbox": {"angle": "x"}, "id": 5, "annotation": "text", "properties": {"a": 1}}
    boxes = [Box("cat", 1.125, 2, 3, 4, "r", difficulty=0.1, attributes=hostile),
             Box("cat", 0, 0, WIDTH, HEIGHT, "r", rle=(HEIGHT, WIDTH, rle)),
             Box("dog", 1, 1, 5, 5, "r", polygons=[[1, 1, 6, 1, 6, 6]]),
             Box("dog", 1, 1, 9, 9, "r", polygons=[[1, 1, 6, 1, 6, 6]], keypoints=[1, 2, 2, 0, 0, 0]),
             Box("dog", 2, 2, 9, 9, "r", polygons=[[1, 1, 6, 1, 6, 6]])]
    told = {"dataset": "x" * 400, "data_key": ["a"], "label_id": "../../x", "tags": 3}
    export = written(tmp_path, Picture("sub/a.jpg", "val", None, "r", boxes, attributes=told))
    again = one(tmp_path / "out")
    assert again.split == "val" and again.file == "images/val/sub/a.jpg"
    assert [(box.label, box.x, box.w) for box in again.boxes] == [
        ("cat", 1.125, 3), ("cat", 0, WIDTH), ("dog", 1, 5), ("dog", 1, 0), ("dog", 1, 5)]
    assert again.boxes[0].difficulty == 0.1 and again.boxes[3].keypoints == [1, 2, 2, 0, 0, 0]
    assert export.losses == {"masks as run lengths": 1, "angles of boxes that were moved": 1,
                             "masks of objects with keypoints": 1, "boxes that differ from their polygons": 1}


def test_rings_that_are_not_those_of_the_mask_any_more_are_not_written(tmp_path: Path) -> None:
    pictures, into = read_all(superb, make(tmp_path / "in", {"a.jpg": everything()["b/a.jpg"][1:2]}))
    rings = (pictures[0].boxes[0].attributes or {})["rings"]
    rings[0][1] = [value + 1 for value in rings[0][1]]
    export = export_of(superb, pictures, into, tmp_path / "in", tmp_path)
    assert one(tmp_path / "out").boxes[0].rle is None and export.losses == {"masks as run lengths": 1}


@pytest.mark.parametrize("dataset", ["farm", "val", "train"])
@pytest.mark.parametrize("split", ["train", "val", "test", None])
def test_a_split_is_kept_in_the_datasets_name(tmp_path: Path, dataset: str, split: str | None) -> None:
    written(tmp_path, Picture("a.jpg", split, None, "r", [], attributes={"dataset": dataset}))
    assert one(tmp_path / "out").split == split


def test_classes_of_whole_pictures_of_other_formats(tmp_path: Path) -> None:
    written(tmp_path, Picture("a.jpg", None, None, "r", labels=["wet", "cold"]), problem="classify")
    assert one(tmp_path / "out").labels == ["cold", "wet"]


def test_two_pictures_of_one_key(tmp_path: Path) -> None:
    written(tmp_path, *(Picture(f"{name}/a.jpg", None, None, "r", attributes={"data_key": "a.jpg"}) for name in "xy"))
    assert sorted(picture.file for picture in read_all(superb, tmp_path / "out")[0]) == [
        "images/pictures/a.jpg", "images/pictures/y/a.jpg"]


def test_masks_of_whole_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="masks of whole pictures"):
        written(tmp_path, Picture("a.jpg", None, None, "r"), problem="semantic")


def test_options_are_classes_of_whole_pictures_where_there_are_no_classes_of_objects(tmp_path: Path) -> None:
    make(tmp_path / "in", {"a.jpg": categories("o2"), "b.jpg": categories(None), "c.jpg": None},
         project([], categorization=IMAGE_LEVEL))
    pictures, into = read_all(superb, tmp_path / "in")
    assert [picture.labels for picture in pictures] == [["rain"], [], None]
    assert into.labels == {"clear", "rain"} and into.problem == "classify"
    before, after = round_trip(superb, tmp_path / "in", tmp_path)
    assert [plain(picture) for picture in before] == [plain(picture) for picture in after]
    told = json.loads((tmp_path / "out/project.json").read_text())
    assert told["categorization"] == IMAGE_LEVEL


@pytest.mark.parametrize("name", ["\0", "../up", "/root", "", "x" * 300])
def test_names_that_are_none_are_replaced(tmp_path: Path, name: str) -> None:
    picture = Picture("a.jpg", None, None, "r", attributes={"dataset": name, "data_key": name})
    save_picture(tmp_path / "a.jpg")
    export_of(superb, [picture], Reading(), tmp_path, tmp_path / "made")
    assert (tmp_path / "made/out/images/pictures/a.jpg").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "made"]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@example(seed=280)
@given(seed=st.integers(0, 2 ** 32))
def test_changed_files_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    root = tmp_path_factory.mktemp("fuzz")
    label = {"objects": [BOX, *everything()["b/a.jpg"], *everything()["c.jpg"]]} | categories("o1")
    files = {"project.json": project(), "meta/farm/a.jpg.json": meta("a.jpg", label_path=["labels/1.json"]),
             "labels/1.json": label}
    for place, (file, content) in enumerate(files.items()):
        put(root / file, changed_json(content, seed) if seed % 3 == place else json.dumps(content))
    save_picture(root / "a.jpg")
    into = Reading()
    try:
        pictures = list(superb.read(FolderIndex(root), Source("superb", root / "project.json", None), into))
    except DataError:
        return
    export_of(superb, pictures, into, root, root / "made")
