from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.base.errors import DataError
from tasks.base.files import digest_tree
from tasks.data.ops import Making
from tasks.data.ops.tighten import Params, apply
from tasks.data.runs import encode
from tests.data.ops.scenes import box, coco_tiny, content, label, making, parent, picture, report

SQUARE = [10.0, 20.0, 30.0, 20.0, 30.0, 45.5, 10.0, 45.5]
PIXELS = np.zeros((80, 100), bool)
PIXELS[20:46, 10:30] = True


def tighten(folder: Path, rows: list[dict[str, Any]], **values: Any) -> Making:
    picture(folder / "a.png")
    made = making(folder)
    apply(Params(**values), [parent(folder, {"a.png": rows})], made)
    return made


@pytest.mark.parametrize(("more", "found"), [
    ({}, (5, 5, 60, 60)),
    ({"polygons": []}, (5, 5, 60, 60)),
    ({"polygons": [[1.0, 2.0, 3.0, 4.0]]}, (5, 5, 60, 60)),
    ({"polygons": [SQUARE]}, (10, 20, 20, 25.5)),
    ({"polygons": [SQUARE, [0.0, 0.0, 2.0, 0.0, 2.0, 2.0]]}, (0, 0, 30, 45.5)),
    ({"rle": encode(PIXELS)}, (10, 20, 20, 26)),
    ({"rle": encode(np.zeros((80, 100), bool))}, (5, 5, 60, 60)),
])
def test_boxes_become_the_extent_of_their_mask(tmp_path: Path, more: dict[str, Any], found: tuple[float, ...]) -> None:
    made = tighten(tmp_path, [label(5, 5, 60, 60, **more)])
    row = content(made)[0].boxes[0]
    empty = bool(more) and found == (5, 5, 60, 60)
    assert box(row) == found and row["area"] == found[2] * found[3]
    assert report(made, "tighten") == {"masks": bool(more), "changed": found != (5, 5, 60, 60), "empty_masks": empty,
                                       "named": ["a.json#5,5"] if empty else []}


def test_a_box_grows_too_and_the_area_of_a_mask_stays(tmp_path: Path) -> None:
    row = content(tighten(tmp_path, [label(12, 22, 3, 3, area=480.0, polygons=[SQUARE])]))[0].boxes[0]
    assert box(row) == (10, 20, 20, 25.5) and row["area"] == 480


@pytest.mark.parametrize(("off", "tolerance", "changed"), [
    (0.0, 0, 0), (0.009, 0.01, 0), (0.02, 0.01, 1), (0.4, 0.5, 0), (1e-7, 0, 1)])
def test_boxes_that_are_near_stay_to_the_last_digit(tmp_path: Path, off: float, tolerance: float, changed: int) -> None:
    made = tighten(tmp_path, [label(10 + off, 20, 20, 25.5, polygons=[SQUARE])], tolerance=tolerance)
    assert report(made, "tighten")["changed"] == changed
    assert content(made)[0].boxes[0]["x"] == (10 if changed else 10 + off)


def test_all_else_stays_as_it_was(tmp_path: Path) -> None:
    rows = [label(5, 5, 60, 60, polygons=[SQUARE], score=0.25, keypoints=[1.0, 2.0, 2.0], attributes='{"a": 1}'),
            label(1, 1, 3, 3)]
    made = tighten(tmp_path, rows)
    found = content(made)
    assert found[0].image["file"] == "a.png" and not list(made.pictures.iterdir())
    for before, after in zip(rows, found[0].boxes, strict=True):
        kept = before.keys() - {"x", "y", "w", "h", "area", "annotation_id", "image_id"}
        assert {name: after[name] for name in kept} == {name: before[name] for name in kept}


def test_made_twice_it_is_the_same_to_the_byte(tmp_path: Path) -> None:
    made = [tighten(tmp_path / name, [label(5, 5, 60, 60, rle=encode(PIXELS))] * 3) for name in ("one", "two")]
    assert digest_tree(made[0].folder) == digest_tree(made[1].folder)


def test_a_version_without_annotations(tmp_path: Path) -> None:
    assert not content(tighten(tmp_path, []))[0].boxes


def test_a_damaged_mask_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="damaged run lengths") as raised:
        tighten(tmp_path, [label(5, 5, 60, 60, rle={"h": 80, "w": 100, "counts": "0"})])
    assert "a.json#5,5" in str(raised.value)


def test_published_boxes_are_the_extents_of_their_polygons(mirror: Path, tmp_path: Path) -> None:
    of, made = coco_tiny(mirror, tmp_path, 40), making(tmp_path)
    apply(Params(tolerance=0.011), [of], made)
    told = report(made, "tighten")
    assert told["masks"] > 300 and told["changed"] <= 12 and told["empty_masks"] == 0
    assert {box["iscrowd"] for row in content(made) for box in row.boxes if box["rle"]} == {True}
