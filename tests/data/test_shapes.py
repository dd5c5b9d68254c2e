from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from tasks.base.errors import DataError
from tasks.data.affine import IDENTITY, Box, Window, compose, cut_box, determinant, extent_of, inverse, map_box, move
from tasks.data.runs import decode, encode, run_lengths
from tasks.data.shapes import Mask, Outline, Ring, ring_of, shape_of, to_mask

SQUARE: Ring = [(2, 2), (6, 2), (6, 6), (2, 6)]
# an L: a column of 2 x 10 and a foot of 8 x 2
ELL: Ring = [(0, 0), (2, 0), (2, 8), (10, 8), (10, 10), (0, 10)]
# a U, open to the top: two prongs and a floor
U: Ring = [(0, 0), (3, 0), (3, 8), (9, 8), (9, 0), (12, 0), (12, 12), (0, 12)]
# a ring with a slit on the left: a C that runs around a window of 4..8 without touching it
AROUND: Ring = [(0, 0), (12, 0), (12, 12), (0, 12), (0, 7), (2, 7), (2, 10), (10, 10), (10, 2), (2, 2), (2, 5), (0, 5)]


@pytest.mark.parametrize(("box", "window", "found"), [
    ((0, 0, 0, 0), (0, 0, 9, 9), None),
    ((math.nan, 0, 2, 2), (0, 0, 9, 9), None),
    ((0, 0, 2, math.nan), (0, 0, 9, 9), None),
    ((3, 3, -2, 2), (0, 0, 9, 9), None),
    ((10, 3, 2, 2), (0, 0, 9, 9), None),
    ((9, 3, 2, 2), (0, 0, 9, 9), None),
    ((1, 0, 1e-200, 11), (0, 0, 9, 9), None),
    ((1, 1, 2, 2), (0, 0, 9, 9), (1, 1, 2, 2)),
    ((0.1, 0.2, 0.3, 0.7), (0, 0, 9, 9), (0.1, 0.2, 0.3, 0.7)),
    ((-2, 1, 4, 2), (0, 0, 9, 9), (0, 1, 2, 2)),
    ((7, 7, 9, 9), (0, 0, 9, 9), (7, 7, 2, 2)),
    ((-5, -5, 99, 99), (0, 0, 9, 9), (0, 0, 9, 9)),
    ((5, 5, 4, 4), (6, 6, 8, 8), (6, 6, 2, 2)),
])
def test_boxes_are_cut(box: Box, window: Window, found: Box | None) -> None:
    assert cut_box(box, window) == found


@pytest.mark.parametrize(("rings", "window", "area", "extent", "parts"), [
    ([], (0, 0, 9, 9), 0, None, 0),
    ([SQUARE], (7, 7, 9, 9), 0, None, 0),
    ([SQUARE], (6, 2, 9, 9), 0, None, 0),
    ([SQUARE], (0, 0, 9, 9), 16, (2, 2, 4, 4), 1),
    ([SQUARE], (3, 3, 5, 5), 4, (0, 0, 2, 2), 1),
    ([SQUARE], (4, 0, 9, 9), 8, (0, 2, 2, 4), 1),
    ([SQUARE, ELL], (0, 0, 100, 100), 52, (0, 0, 10, 10), 2),
    ([ELL], (1, 0, 10, 9), 8 + 9, (0, 0, 9, 9), 1),
    ([ELL], (3, 0, 9, 7), 0, None, 0),
    ([U], (0, 0, 12, 5), 30, (0, 0, 12, 5), 2),
    ([U], (4, 0, 12, 5), 15, (5, 0, 3, 5), 1),
    ([U], (0, 8, 12, 12), 48, (0, 0, 12, 4), 1),
    ([AROUND], (3, 3, 9, 9), 0, None, 0),
    ([AROUND], (3, 3, 11, 9), 6, (7, 0, 1, 6), 1),
    ([AROUND], (0, 3, 9, 9), 4 + 4, (0, 0, 2, 6), 2),
    ([AROUND[::-1]], (0, 3, 9, 9), 4 + 4, (0, 0, 2, 6), 2),
])
def test_polygons_are_cut(rings: list[Ring], window: Window, area: float, extent: Box | None, parts: int) -> None:
    cut = Outline(rings).cut(window)
    assert (cut.area, cut.extent, len(cut.rings)) == (area, extent, parts)


def test_a_bow_tie_is_cut_by_the_even_odd_rule() -> None:
    cut = Outline([[(0, 0), (10, 10), (10, 0), (0, 10)]]).cut((0, 0, 10, 3))
    assert sorted(ring and extent_of(ring) for ring in cut.rings) == [(0, 0, 3, 3), (7, 0, 3, 3)]


star = st.lists(st.floats(4, 40), min_size=3, max_size=12)


@settings(max_examples=150, deadline=None)
@given(star, st.floats(0, 64), st.floats(0, 64), st.tuples(st.integers(0, 60), st.integers(0, 60)),
       st.tuples(st.integers(4, 60), st.integers(4, 60)))
def test_cut_polygons_agree_with_cut_pixels(radii: list[float], x: float, y: float, corner: tuple[int, int],
                                            side: tuple[int, int]) -> None:
    turns = [2 * math.pi * number / len(radii) for number in range(len(radii))]
    ring = [(x + r * math.cos(t), y + r * math.sin(t)) for r, t in zip(radii, turns, strict=True)]
    (left, top), (width, height) = corner, side
    window = (left, top, left + width, top + height)
    cut = Outline([ring]).cut(window)
    # samples: 4 a pixel and side, none of them on an edge but by accident
    u, v = np.meshgrid(left + (np.arange(4 * width) + 0.5) / 4, top + (np.arange(4 * height) + 0.5) / 4)
    strips = [(a, b, c, d) for a, c in pairwise((-99, left, left + width, 299))
              for b, d in pairwise((-99, top, top + height, 299))]
    assert sum(Outline([ring]).cut(strip).area for strip in strips) == pytest.approx(Outline([ring]).area, abs=1e-4)
    both = _inside(ring, u, v) != np.logical_or.reduce([_inside(part, u - left, v - top) for part in cut.rings] or
                                                       [np.zeros_like(u, bool)])
    assert not both.any()


def _inside(ring: Ring, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    found = np.zeros(x.shape, bool)
    for (a, b), (c, d) in zip(ring, ring[1:] + ring[:1], strict=True):
        if b != d:
            found ^= ((y < b) != (y < d)) & (x < a + (y - b) * (c - a) / (d - b))
    return found


def test_polygon_and_mask_agree_on_area_and_extent() -> None:
    for ring in (SQUARE, ELL, U, AROUND):
        drawn = Mask(to_mask(Outline([ring]), 14, 13))
        assert drawn.pixels.shape == (13, 14)
        assert (drawn.area, drawn.extent) == (Outline([ring]).area, Outline([ring]).extent)
        window = (1, 2, 9, 11)
        assert np.array_equal(drawn.cut(window).pixels, to_mask(Outline([ring]).cut(window), 8, 9))


def test_drawing_a_polygon_far_outside_takes_no_memory() -> None:
    far = Outline([[(-1e8, -1e8), (1e8, -1e8), (1e8, 1e8), (-1e8, 1e8)]])
    assert to_mask(far, 8, 8).all()
    assert not to_mask(Outline([]), 8, 8).any()


@pytest.mark.parametrize("flat", [[], [1, 2, 3, 4], [1, 2, 3, 4, 5], [0, 0, 4, 0, 4, 4, 1], [0, 0, math.nan, 0, 4, 4],
                                  [0, 0, math.inf, 0, 4, 4], [0, 0, 1e10, 0, 4, 4]])
def test_what_is_no_polygon_is_left_out(flat: list[float]) -> None:
    assert ring_of(flat) is None
    found = shape_of({"polygons": [flat, [0, 0, 4, 0, 4, 4]], "rle": None, "row": "r"}, 9, 9)
    assert found is not None and found.area == 8


@pytest.mark.parametrize("pixels", [np.zeros((0, 0)), np.zeros((3, 5)), np.ones((3, 5)), np.eye(40, 70),
                                    np.arange(2048).reshape(64, 32) % 7 < 3])
def test_run_lengths_come_back(pixels: np.ndarray) -> None:
    rle = encode(pixels.astype(bool))
    assert np.array_equal(decode(rle), pixels.astype(bool))
    assert run_lengths(rle["counts"]).sum() == pixels.size  # type: ignore[union-attr]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 5000), min_size=2, max_size=30))
def test_run_lengths_are_read_as_pycocotools_writes_them(lengths: list[int]) -> None:
    rle = coco.frPyObjects({"size": [sum(lengths), 1], "counts": lengths}, sum(lengths), 1)
    assert run_lengths(rle["counts"].decode()).tolist() == lengths  # type: ignore[union-attr]


@pytest.mark.parametrize("counts", ["", "garbage!!", "\x7f", "é", "0" * 50, "P", "o" * 20, "oooooooo0",
                                    encode(np.ones((9, 9)))["counts"], encode(np.ones((2, 2)))["counts"]])
def test_damaged_run_lengths_are_refused(counts: str) -> None:
    with pytest.raises(DataError, match="damaged run lengths") as raised:
        decode({"h": 5, "w": 7, "counts": counts}, "a.json#annotations[3]")
    assert "annotations[3]" in str(raised.value)


def test_masks_of_another_size_and_huge_ones_are_refused() -> None:
    row = {"polygons": None, "rle": encode(np.ones((4, 6))), "row": "a.json#annotations[0]"}
    assert shape_of(row, 6, 4).area == 24  # type: ignore[union-attr]
    with pytest.raises(DataError, match="6 x 4 pixels, its picture of 4 x 6"):
        shape_of(row, 4, 6)
    with pytest.raises(DataError, match="damaged"):
        decode({"h": 1 << 30, "w": 1 << 30, "counts": "0"})
    assert shape_of({"polygons": None, "rle": None, "row": ""}, 4, 6) is None


def test_the_far_edge_of_a_mask_is_that_of_its_last_pixel() -> None:
    pixels = np.zeros((8, 9), bool)
    assert Mask(pixels).extent is None
    pixels[2:5, 3] = True
    assert Mask(pixels).extent == (3, 2, 1, 3)


def test_a_mask_is_cut_beyond_its_picture() -> None:
    cut = Mask(np.ones((4, 6), bool)).cut((4, -1, 9, 3))
    assert cut.pixels.shape == (4, 5) and cut.area == 6 and cut.extent == (0, 1, 2, 3)
    assert Mask(np.ones((4, 6), bool)).cut((7, 7, 9, 9)).area == 0


def test_maps() -> None:
    turn = compose((1, 0, -5, 0, 1, -5), (0, -1, 0, 1, 0, 0), (1, 0, 5, 0, 1, 5))
    assert move((10, 5), turn) == (5, 10)  # a quarter clockwise: right becomes down
    assert determinant(turn) == 1 and compose() == IDENTITY
    assert compose(turn, inverse(turn)) == pytest.approx(IDENTITY)
    assert map_box((0, 0, 10, 4), turn) == (6, 0, 4, 10)


@pytest.mark.parametrize("quarter", [(0, -1, 10, 1, 0, 0), (-1, 0, 12, 0, 1, 0)])
def test_a_mapped_outline_is_that_of_the_mapped_pixels(quarter: tuple[float, ...]) -> None:
    drawn = Mask(to_mask(Outline([ELL]), 12, 10))
    mapped, share = Outline([ELL]).map(quarter, 12, 10)  # type: ignore[arg-type]
    pixels, seen = drawn.map(quarter, 12, 10)  # type: ignore[arg-type]
    assert share == seen == 1 and np.array_equal(to_mask(mapped, 12, 10), pixels.pixels)
    assert mapped.extent == pixels.extent


def test_the_share_inside_is_told() -> None:
    away = (1.0, 0.0, 6.0, 0.0, 1.0, 0.0)
    for shape in (Outline([SQUARE]), Mask(to_mask(Outline([SQUARE]), 10, 10))):
        inside, share = shape.map(away, 10, 10)
        assert (share, inside.area, inside.extent) == (0.5, 8, (8, 2, 2, 4))
    assert Outline([]).map(away, 10, 10)[1] == 0 and Mask(np.zeros((4, 4), bool)).map(away, 4, 4)[1] == 0


def test_pixels_that_vanish_are_still_counted() -> None:
    pixels = np.zeros((40, 40), bool)
    pixels[20, 21] = True
    small = compose((1, 0, -20, 0, 1, -20), (0.2, 0, 0, 0, 0.2, 0), (1, 0, 20, 0, 1, 20))
    inside, share = Mask(pixels).map(small, 40, 40)
    assert share == 1 and inside.extent is None
