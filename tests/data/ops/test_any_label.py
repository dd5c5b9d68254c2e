"""Whatever a label says, what is made of it lies in its picture, or is left out."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.ops._cutting import pieces
from tasks.data.ops._drawing import Draw
from tasks.data.ops._mapping import Carrying, carry
from tasks.data.runs import decode, encode
from tests.data.ops.scenes import box, label

WIDTH, HEIGHT = 60, 40
near = st.floats(-20, 80) | st.integers(-5, 65).map(float)
anything = near | st.floats()
flat = st.lists(near, max_size=16) | st.lists(anything, max_size=10)
pixels = st.builds(lambda seed, share: np.random.default_rng(seed).random((HEIGHT, WIDTH)) < share,
                   st.integers(0, 99), st.sampled_from([0.0, 0.001, 0.3, 1.0]))
masks = (st.just({}) | st.builds(lambda rings: {"polygons": rings}, st.lists(flat, max_size=3))
         | st.builds(lambda found: {"rle": encode(found)}, pixels))
points = st.none() | st.lists(st.tuples(anything, anything, st.sampled_from([0.0, 1.0, 2.0])), max_size=3).map(
    lambda some: [value for point in some for value in point])
labels = st.builds(lambda x, y, w, h, mask, crowd, points: label(x, y, w, h, iscrowd=crowd, keypoints=points, **mask),
                   anything, anything, anything, anything, masks, st.booleans(), points)


@settings(max_examples=300, deadline=None)
@given(labels, st.integers(0, 40), st.integers(0, 30), st.floats(0, 1))
def test_of_cutting(row: dict[str, Any], left: int, top: int, min_visible: float) -> None:
    window = (left, top, left + 20, top + 10)
    for piece in pieces(row, [window], WIDTH, HEIGHT, min_visible):
        sound(piece.row, 20, 10)


@settings(max_examples=300, deadline=None)
@given(labels, st.floats(-180, 180), st.floats(0.5, 2), st.floats(-1, 1), st.booleans(), st.booleans())
def test_of_mapping(row: dict[str, Any], rotate: float, scale: float, shift: float, mirrored: bool,
                    tighten: bool) -> None:
    affine = Draw(rotate=rotate, scale=scale, translate_x=shift, flip_vertical=mirrored).affine(WIDTH, HEIGHT)
    swaps = {0: list(range(len(row["keypoints"] or []) // 3))}
    found = carry(row, Carrying(affine, WIDTH, HEIGHT, 0.3, tighten, swaps), Counter())
    if found:
        sound(found, WIDTH, HEIGHT)


def sound(row: dict[str, Any], width: int, height: int) -> None:
    x, y, w, h = box(row)
    assert w > 0 and h > 0 and x >= 0 and y >= 0 and x + w <= width + 1e-6 and y + h <= height + 1e-6
    assert row["truncation"] is None or 0 <= row["truncation"] <= 1
    for ring in row["polygons"] or []:
        assert len(ring) >= 6 and all(map(math.isfinite, ring))
        assert min(ring) >= -1e-6 and max(ring[0::2]) <= width + 1e-6 and max(ring[1::2]) <= height + 1e-6
    if row["rle"]:
        assert decode(row["rle"]).shape == (height, width)
    for a, b, seen in zip(*[iter(row["keypoints"] or [])] * 3, strict=True):
        assert (a, b) == (0, 0) if not seen else 0 <= a <= width and 0 <= b <= height
