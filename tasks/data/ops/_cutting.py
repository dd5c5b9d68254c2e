"""Windows over a large picture, and what of its labels is in each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.data.affine import Box, Window, cut_box
from tasks.data.ops._labels import WHOLE, box_of, inside, remade
from tasks.data.shapes import Shape, shape_of


@dataclass(frozen=True)
class Grid:
    """Tiles of `width` x `height` pixels whose neighbours share `overlap` of a side.

    `pad`: the last ones reach beyond the picture; else they are shifted back into it, and share more.
    """

    width: int
    height: int
    overlap: float
    pad: bool = False

    def fits(self, width: int, height: int) -> bool:
        """Whether a picture of that size needs no cutting."""
        return width <= self.width and height <= self.height

    def windows(self, width: int, height: int) -> list[Window]:
        """Left, top, right, bottom of each tile, by rows. They cover every pixel; a side that the picture does not
        fill is that of the picture, unless it is padded."""
        sides = [side if self.pad else min(side, length)
                 for side, length in ((self.width, width), (self.height, height))]
        lefts, tops = (self._starts(length, side) for length, side in zip((width, height), sides, strict=True))
        return [(x, y, x + sides[0], y + sides[1]) for y in tops for x in lefts]

    def _starts(self, length: int, side: int) -> list[int]:
        step = max(1, round(side * (1 - self.overlap)))
        count = max(1, -(-(length - side) // step) + 1)
        return [number * step if self.pad else min(number * step, length - side) for number in range(count)]


@dataclass(frozen=True)
class Piece:
    """What of a label is in a window: the label's row in the window's coordinates, and whether that is all of it."""

    window: int
    row: dict[str, Any]
    whole: bool


def pieces(row: Mapping[str, Any], windows: Sequence[Window], width: int, height: int,
           min_visible: float) -> Iterator[Piece]:
    """The parts of a label of a picture of that size of which at least a share is in a window; of a crowd every part.

    With a mask it is the mask that is measured, and of what is cut the box is drawn around what is left of the mask.

    Raises:
        DataError: the mask is damaged.
    """
    shape = shape_of(row, width, height)
    outer = shape.extent if shape and shape.area else None
    for number, window in enumerate(windows):
        if not cut_box(outer or box_of(row), window):
            continue
        part = shape.cut(window) if shape else None
        box, share = _part(box_of(row), window) if outer is None else _masked(box_of(row), window, shape, part)
        if box and (share >= min_visible or row["iscrowd"]):
            new = remade(row, box, share, 1.0, part, moved_points(row, window))
            yield Piece(number, new, share >= WHOLE)


def _part(box: Box, window: Window) -> tuple[Box | None, float]:
    """The part of a box in a window, in its coordinates, and its share of the area."""
    seen = cut_box(box, window)
    if seen is None:
        return None, 0.0
    x, y, w, h = seen
    return (x - window[0], y - window[1], w, h), (w / box[2]) * (h / box[3])


def _masked(box: Box, window: Window, shape: Shape | None, part: Shape | None) -> tuple[Box | None, float]:
    """See `_part`, of a label with a mask of which `part` is in the window."""
    if shape is None or part is None or not part.area:
        return None, 0.0
    share = part.area / shape.area
    whole = _part(box, window)[0] if share >= WHOLE else None
    return whole or part.extent, share


def moved_points(row: Mapping[str, Any], window: Window) -> list[float] | None:
    """Keypoints in the coordinates of a window; those outside are not labelled."""
    if row["keypoints"] is None:
        return None
    points = np.array(row["keypoints"], float)
    points[0::3] -= window[0]
    points[1::3] -= window[1]
    return inside(points.tolist(), window[2] - window[0], window[3] - window[1])
