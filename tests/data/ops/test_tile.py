from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.base.errors import DataError, ParamsError
from tasks.base.params import check
from tasks.data.affine import Box, Window
from tasks.data.ops import Making, Parent
from tasks.data.ops._cutting import Grid, pieces
from tasks.data.ops.tile import Params, apply
from tasks.data.pictures import read_picture
from tasks.data.rows import rows
from tasks.data.runs import decode, encode
from tasks.data.shapes import Outline, ring_of, shape_of, to_mask
from tests.data.ops.scenes import (
    attributes,
    box,
    coco_tiny,
    content,
    label,
    making,
    parent,
    picture,
    report,
    save,
)

WINDOW: Window = (10, 20, 50, 60)
ELL = [0.0, 0.0, 20.0, 0.0, 20.0, 60.0, 80.0, 60.0, 80.0, 80.0, 0.0, 80.0]
SMALL = Params(size=64, overlap=0.25)


def tile(of: Parent, params: Params = SMALL) -> Making:
    made = making(of.pictures)
    apply(params, [of], made)
    return made


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(16, 200), st.floats(0, 0.9), st.booleans())
def test_tiles_cover_every_pixel_and_have_their_size(width: int, height: int, side: int, overlap: float,
                                                     pad: bool) -> None:
    grid = Grid(side, side, overlap, pad)
    covered = np.zeros((height, width), bool)
    windows = grid.windows(width, height)
    for left, top, right, bottom in windows:
        assert (right - left, bottom - top) == ((side, side) if pad else (min(side, width), min(side, height)))
        assert 0 <= left < width and 0 <= top < height and (pad or (right <= width and bottom <= height))
        covered[int(top):int(bottom), int(left):int(right)] = True
    assert covered.all() and len(set(windows)) == len(windows)
    assert grid.fits(width, height) == (len(windows) == 1)


@pytest.mark.parametrize(("length", "overlap", "pad", "starts"), [
    (64, 0.25, False, [0]), (65, 0.25, False, [0, 1]), (112, 0.25, False, [0, 48]), (113, 0.25, False, [0, 48, 49]),
    (113, 0.25, True, [0, 48, 96]), (128, 0, False, [0, 64]), (20, 0.5, False, [0]), (20, 0.5, True, [0]),
])
def test_where_tiles_begin(length: int, overlap: float, pad: bool, starts: list[int]) -> None:
    found = Grid(64, 64, overlap, pad).windows(length, 64)
    assert [window[0] for window in found] == starts and {window[1] for window in found} == {0}


@pytest.mark.parametrize(("given", "found"), [
    ((0, 0, 0, 0), None), ((60, 20, 9, 9), None), ((50, 20, 9, 9), None), ((float("nan"), 20, 9, 9), None),
    ((12, 22, 5, 6), (2, 2, 5, 6, None)),
    ((0, 20, 20, 10), (0, 0, 10, 10, 0.5)),
    ((0, 20, 40 / 3, 10), None),  # a quarter of it is in there
    ((0, 0, 100, 100), None),     # larger than the window
    ((45, 55, 10, 10), None),
    ((42, 52, 10, 10), (32, 32, 8, 8, 0.36)),
])
def test_boxes_in_a_window(given: Box, found: tuple[float, ...] | None) -> None:
    got = list(pieces(label(*given), [WINDOW], 100, 100, 0.3))
    if found is None:
        assert not got
    else:
        row = got[0].row
        assert (*box(row), row["truncation"]) == pytest.approx(found) if found[4] else (*box(row), None) == found
        assert row["area"] == pytest.approx(row["w"] * row["h"]) and got[0].whole == (found[4] is None)


def test_what_is_cut_twice_is_cut_off_more() -> None:
    row = next(pieces(label(0, 20, 20, 10, truncation=0.5, area=60.0), [WINDOW], 100, 100, 0.3)).row
    assert row["truncation"] == 0.75 and row["area"] == 30  # an area that was not the box's is the object's


def test_of_a_crowd_every_part_stays() -> None:
    row = label(0, 0, 11, 21, iscrowd=True)
    assert box(next(pieces(row, [WINDOW], 100, 100, 0.9)).row) == (0, 0, 1, 1)
    assert not list(pieces(row | {"iscrowd": False}, [WINDOW], 100, 100, 0.9))


@pytest.mark.parametrize("form", ["polygons", "rle"])
@pytest.mark.parametrize(("window", "found", "share"), [
    ((0, 0, 40, 80), (0, 0, 40, 80), 2000 / 2800),
    ((30, 10, 90, 90), (0, 50, 50, 20), 1000 / 2800),
    ((0, 0, 80, 80), (0, 0, 80, 80), 1),
    ((30, 0, 80, 55), None, 0),  # inside the box, and nothing of the object
])
def test_a_mask_says_what_is_to_be_seen(form: str, window: Window, found: Box | None, share: float) -> None:
    row = label(0, 0, 80, 80, area=2800.0) | masked(form, ELL, 100, 90)
    got = list(pieces(row, [window], 100, 90, 0.3))
    assert bool(got) == (found is not None)
    if found:
        part = got[0].row
        assert box(part) == found and part["area"] == pytest.approx(2800 * share)
        assert part["truncation"] == (pytest.approx(1 - share) if share < 1 else None)
        left, top, right, bottom = map(int, window)
        whole = to_mask(Outline([ring_of(ELL)]), 100, 90)
        assert np.array_equal(pixels_of(part, right - left, bottom - top), whole[top:bottom, left:right])


def test_an_empty_mask_leaves_its_box_alone() -> None:
    for form in ("polygons", "rle"):
        row = label(12, 22, 5, 6) | masked(form, [], 100, 90)
        found = next(pieces(row, [WINDOW], 100, 90, 0.3)).row
        assert box(found) == (2, 2, 5, 6) and not pixels_of(found, 40, 40).any()


def test_keypoints_outside_are_not_labelled() -> None:
    row = label(0, 20, 30, 30, keypoints=[15.0, 25.0, 2.0, 5.0, 25.0, 2.0, 0.0, 0.0, 0.0, 50.0, 60.0, 1.0])
    found = next(pieces(row, [WINDOW], 100, 100, 0.3)).row
    assert found["keypoints"] == [5, 5, 2, 0, 0, 0, 0, 0, 0, 40, 40, 1]


def test_a_picture_is_cut_and_a_small_one_stays(tmp_path: Path) -> None:
    picture(tmp_path / "a/big.png", 100, 80)
    picture(tmp_path / "small.png", 64, 64, 3)
    boxes = [label(50, 10, 20, 20, source="human", reviewed_by="me", score=0.5, difficult=True,
                   attributes='{"colour": "red", "rbox": {}}'), label(0, 0, 2, 2), label(1, 1, 3, 3, class_id=1)]
    made = tile(parent(tmp_path, {"a/big.png": boxes, "small.png": [label(5, 5, 9, 9)]},
                       {"a/big.png": {"split": "val", "tags": ["night"], "attributes": '{"site": 3}',
                                      "ignored": [[60.0, 0.0, 20.0, 10.0]], "labels": [1]}}))
    found = content(made)
    whole = read_picture(tmp_path / "a/big.png")
    assert [attributes(row)["tile"] for row in found[:-1]] == [
        {"of": "a/big.png", "x": x, "y": y} for x, y in ((0, 0), (0, 16), (36, 0), (36, 16))]
    for row in found[:-1]:
        x, y = (attributes(row)["tile"][key] for key in "xy")
        assert np.array_equal(read_picture(tmp_path / row.image["file"]), whole[y:y + 64, x:x + 64])
        assert [row.image[name] for name in ("split", "group", "tags", "labels", "orientation", "shard")] == [
            "val", "a/big.png", ["night"], [1], 1, None]
        assert attributes(row)["site"] == 3
    assert [row.image["ignored"] for row in found[:-1]] == [[[60, 0, 4, 10]], None, [[24, 0, 20, 10]], None]
    assert [[box(one) for one in row.boxes] for row in found[:-1]] == [
        [(50, 10, 14, 20), (0, 0, 2, 2), (1, 1, 3, 3)], [(50, 0, 14, 14)], [(14, 10, 20, 20)], [(14, 0, 20, 14)]]
    kept = found[2].boxes[0]
    assert [kept[name] for name in ("source", "reviewed_by", "score", "difficult", "row", "attributes")] == [
        "human", "me", 0.5, True, boxes[0]["row"], '{"colour": "red"}']
    assert found[-1].image["file"] == "small.png" and found[-1].image["group"] is None
    assert sorted(p.name for p in made.pictures.iterdir()) == sorted(Path(r.image["file"]).name for r in found[:-1])
    assert report(made, "tile") == {"pictures": 2, "cut": 1, "labels": 3, "whole": 3, "parts": 0, "lost": 0, "tiles": 4,
                                    "empty_left_out": 0, "named": []}


def test_labels_in_no_tile_are_named(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 100, 80)
    made = tile(parent(tmp_path, {"a.png": [label(0, 0, 100, 80), label(3, 3, 0, 0), label(float("nan"), 3, 4, 4)]}),
                Params(size=64, overlap=0.25, min_visible=0.6))
    told = report(made, "tile")
    assert told["lost"] == 3 and told["named"] == ["a.json#0,0", "a.json#3,3", "a.json#nan,3"]


@pytest.mark.parametrize(("keep", "count"), [(1.0, 4), (0.0, 1)])
def test_tiles_without_labels(tmp_path: Path, keep: float, count: int) -> None:
    picture(tmp_path / "a.png", 100, 80)
    of = parent(tmp_path, {"a.png": [label(1, 1, 9, 9)]})
    assert len(content(tile(of, Params(size=64, overlap=0.25, keep_empty=keep)))) == count


def test_a_share_of_the_empty_tiles_stays(tmp_path: Path) -> None:
    for number in range(8):
        picture(tmp_path / f"{number}.png", 100, 80, number)
    of = parent(tmp_path, {f"{number}.png": [] for number in range(8)})
    assert 8 <= len(content(tile(of, Params(size=48, overlap=0.25, keep_empty=0.5)))) <= 40


def test_real_masks_are_cut_as_their_pixels(mirror: Path, tmp_path: Path) -> None:
    of = coco_tiny(mirror, tmp_path, 10)
    before = {row.image["file"]: row for row in rows(of.folder)}
    differing = total = 0
    for row in content(tile(of, Params(size=240, overlap=0.2, min_visible=0))):
        told, size = attributes(row)["tile"], (row.image["width"], row.image["height"])
        image, old = before[told["of"]].image, {box_["row"]: box_ for box_ in before[told["of"]].boxes}
        large = image["width"], image["height"]
        for part in row.boxes:
            whole = to_mask(shape_of(old[part["row"]], *large), *large)
            window = whole[told["y"]:told["y"] + size[1], told["x"]:told["x"] + size[0]]
            differing += int(np.count_nonzero(to_mask(shape_of(part, *size), *size) ^ window))
            total += int(np.count_nonzero(window))
    assert total > 100_000 and differing < 0.01 * total


@pytest.mark.parametrize(("change", "message"), [
    ({"width": 200}, "100 x 80 pixels, where the table says 200 x 80"),
    ({"mask": "rgb.png"}, "one channel of 8 bits; this is RGB"),
    ({"mask": "small.png"}, "9 x 9 pixels, where"),
    ({"reference": "gone.png"}, "picture is unreadable"),
])
def test_pictures_that_do_not_fit_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    picture(tmp_path / "a.png", 100, 80)
    picture(tmp_path / "rgb.png", 100, 80, 1)
    save(tmp_path / "small.png", np.zeros((9, 9), np.uint8))
    with pytest.raises(DataError, match=message):
        tile(parent(tmp_path, {"a.png": []}, {"a.png": change}))


def test_a_damaged_mask_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 100, 80)
    with pytest.raises(DataError, match="damaged run lengths of a mask of 100 x 80") as raised:
        tile(parent(tmp_path, {"a.png": [label(1, 1, 9, 9, rle={"h": 80, "w": 100, "counts": "garbage"})]}))
    assert "a.json#1,1" in str(raised.value)


@pytest.mark.parametrize("values", [{"overlap": 1.0}, {"size": 0}, {"min_visible": 2}, {"edge": "crop"}, {"sise": 9}])
def test_wrong_parameters_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ParamsError):
        check(Params, values, "data tile")


def test_it_takes_one_version(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    of = parent(tmp_path, {"a.png": []})
    for some in ([], [of, of]):
        with pytest.raises(DataError, match="tile takes one version"):
            apply(SMALL, some, Making("new", tmp_path, tmp_path, "new-1"))


def masked(form: str, flat: list[float], width: int, height: int) -> dict[str, Any]:
    """The columns of a mask, as a polygon or as its pixels."""
    rings = [ring] if (ring := ring_of(flat)) else []
    if form == "polygons":
        return {"polygons": [flat] if flat else [[]], "rle": None}
    return {"polygons": None, "rle": encode(to_mask(Outline(rings), width, height))}


def pixels_of(row: dict[str, Any], width: int, height: int) -> np.ndarray:
    if row["rle"]:
        return decode(row["rle"])
    return to_mask(Outline([ring for flat in row["polygons"] if (ring := ring_of(flat))]), width, height)
