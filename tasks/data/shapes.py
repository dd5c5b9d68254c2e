"""Outlines of objects, polygons or pixels: their area and extent, cut to a window, carried by an affine map.

For coordinates, boxes, windows and maps see `tasks.data.affine`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from tasks.base.errors import DataError
from tasks.data.affine import Affine, Box, Point, Window, extent_of, inverse, move
from tasks.data.runs import decode, encode

Ring = list[Point]

# pixels²; what cutting leaves of a polygon that only touches the window
SLIVER = 1e-6
# pixels; a corner that is farther away is a mistake, and its area no number
FAR = 1e9


@dataclass(frozen=True)
class Outline:
    """Polygons, each of three points or more; together they are the object."""

    rings: list[Ring]

    @cached_property
    def area(self) -> float:
        """Pixels²; polygons of one object are taken as disjoint."""
        return sum(abs(_signed_area(ring)) for ring in self.rings)

    @cached_property
    def extent(self) -> Box | None:
        return extent_of([point for ring in self.rings for point in ring])

    def cut(self, window: Window) -> Outline:
        """What is inside the window, in its coordinates. Right for concave polygons: one may fall into several."""
        left, top, _, _ = window
        kept = [part for ring in self.rings for part in _cut_ring(ring, window)]
        return Outline([[(x - left, y - top) for x, y in ring] for ring in kept])

    def map(self, affine: Affine, width: int, height: int) -> tuple[Outline, float]:
        """The outline after a map, cut to a picture of that size, and the share of its area that is in there."""
        moved = Outline([[move(point, affine) for point in ring] for ring in self.rings])
        inside = moved.cut((0, 0, width, height))
        return inside, inside.area / moved.area if moved.area else 0.0

    def columns(self) -> dict[str, Any]:
        """The mask as columns of the table."""
        return {"polygons": [[value for point in ring for value in point] for ring in self.rings], "rle": None}


@dataclass(frozen=True)
class Mask:
    """Pixels of a whole picture: bool [height, width]."""

    pixels: np.ndarray

    @cached_property
    def area(self) -> float:
        return float(np.count_nonzero(self.pixels))

    @cached_property
    def extent(self) -> Box | None:
        """The far edge is that of the last pixel, not its index."""
        columns, rows = (np.flatnonzero(self.pixels.any(axis=axis)) for axis in (0, 1))
        if not len(columns):
            return None
        return (float(columns[0]), float(rows[0]), float(columns[-1] - columns[0] + 1), float(rows[-1] - rows[0] + 1))

    def cut(self, window: Window) -> Mask:
        """The pixels inside the window, whose corners must be whole numbers; beyond the picture there is nothing."""
        left, top, right, bottom = map(int, window)
        inside = self.pixels[max(top, 0):max(bottom, 0), max(left, 0):max(right, 0)]
        cut = np.zeros((bottom - top, right - left), bool)
        y, x = max(-top, 0), max(-left, 0)
        cut[y:y + inside.shape[0], x:x + inside.shape[1]] = inside
        return Mask(cut)

    def map(self, affine: Affine, width: int, height: int) -> tuple[Mask, float]:
        """See `Outline.map`. By nearest pixel: a mask of few pixels may vanish while its share is above 0."""
        picture = Image.fromarray(self.pixels.astype(np.uint8))
        moved = picture.transform((width, height), Image.Transform.AFFINE, inverse(affine), Image.Resampling.NEAREST)
        rows, columns = np.nonzero(self.pixels)
        x, y = move((columns + 0.5, rows + 0.5), affine)
        inside = np.count_nonzero((x > 0) & (x < width) & (y > 0) & (y < height))
        return Mask(np.asarray(moved) > 0), inside / self.area if self.area else 0.0

    def columns(self) -> dict[str, Any]:
        """The mask as columns of the table."""
        return {"polygons": None, "rle": encode(self.pixels)}


Shape = Outline | Mask


def shape_of(row: Mapping[str, Any], width: int, height: int) -> Shape | None:
    """The mask of an annotation of a picture of that size; None where it has none.

    What is no polygon (two points, half a point, not a number or far beyond any picture) is left out.

    Raises:
        DataError: run lengths that are damaged or of another size than the picture.
    """
    if row["polygons"] is not None:
        return Outline([ring for flat in row["polygons"] if (ring := ring_of(flat))])
    rle = row["rle"]
    if rle is None:
        return None
    if (rle["w"], rle["h"]) != (width, height):
        raise DataError(f"the mask is of {rle['w']} x {rle['h']} pixels, its picture of {width} x {height}",
                        where=row["row"], mend="draw the mask again, or leave this label out")
    return Mask(decode(rle, row["row"]))


def ring_of(flat: Sequence[float]) -> Ring | None:
    """The points of a flat list x1, y1, x2, y2, …; None for what is no polygon."""
    if len(flat) < 6 or len(flat) % 2 or not (np.abs(flat) < FAR).all():
        return None
    return list(zip(flat[0::2], flat[1::2], strict=True))


def to_mask(shape: Shape, width: int, height: int) -> np.ndarray:
    """The pixels that a shape covers, bool [height, width]; polygons as pycocotools draws them."""
    inside = shape.cut((0, 0, width, height))
    if isinstance(inside, Mask):
        return inside.pixels
    from pycocotools import mask

    flat = inside.columns()["polygons"]
    if not flat:
        return np.zeros((height, width), bool)
    drawn = mask.merge(mask.frPyObjects(flat, height, width))
    return decode({"h": height, "w": width, "counts": drawn["counts"].decode("ascii")})


def _signed_area(ring: Ring) -> float:
    """Shoelace formula, around the first point: large coordinates would cost digits."""
    ox, oy = ring[0]
    pairs = zip(ring, ring[1:] + ring[:1], strict=True)
    return sum((x - ox) * (v - oy) - (u - ox) * (y - oy) for (x, y), (u, v) in pairs) / 2


def _cut_ring(ring: Ring, window: Window) -> list[Ring]:
    rings = [ring]
    for axis, bound, sign in ((0, window[0], 1), (1, window[1], 1), (0, window[2], -1), (1, window[3], -1)):
        rings = [part for whole in rings for part in _half(whole, axis, bound, sign)]
    return rings


def _half(ring: Ring, axis: int, bound: float, sign: int) -> list[Ring]:
    """The parts of a polygon on one side of a line: where `sign * (coordinate - bound)` is 0 or more.

    Sutherland and Hodgman's way leaves one polygon with bridges along the line. Here the places where it crosses the
    line are sorted: from the first to the second it is inside, from the third to the fourth, and so on.
    """
    inside = [sign * (point[axis] - bound) >= 0 for point in ring]
    if all(inside) or not any(inside):
        return [ring] if inside[0] else []
    chains = _chains(ring, inside, axis, bound)
    # a chain's end 0 is its first point, end 1 its last
    ends = sorted((chain[-end][1 - axis], number, end) for number, chain in enumerate(chains) for end in (0, 1))
    follows: dict[tuple[int, int], tuple[int, int]] = {}
    for (_, number, end), (_, other, its) in zip(ends[0::2], ends[1::2], strict=True):
        follows[number, end], follows[other, its] = (other, its), (number, end)
    found = []
    while follows:
        entered = next(iter(follows))
        points: Ring = []
        while follows.pop(entered, None):
            number, end = entered
            points += chains[number] if end == 0 else chains[number][::-1]
            entered = follows.pop((number, 1 - end))
        found.append(_tidy(points))
    return [ring for ring in found if len(ring) > 2 and abs(_signed_area(ring)) > SLIVER]


def _chains(ring: Ring, inside: list[bool], axis: int, bound: float) -> list[Ring]:
    """The runs of points that are inside, each with the two points where it crosses the line."""
    chains = []
    for start in (i for i in range(len(ring)) if inside[i] and not inside[i - 1]):
        chain, position = [_crossing(ring[start - 1], ring[start], axis, bound)], start
        while inside[position]:
            chain.append(ring[position])
            position = (position + 1) % len(ring)
        chains.append([*chain, _crossing(ring[position - 1], ring[position], axis, bound)])
    return chains


def _crossing(one: Point, other: Point, axis: int, bound: float) -> Point:
    share = (bound - one[axis]) / (other[axis] - one[axis])
    along = one[1 - axis] + share * (other[1 - axis] - one[1 - axis])
    return (bound, along) if axis == 0 else (along, bound)


def _tidy(ring: Ring) -> Ring:
    """Without points that repeat the one before."""
    return [point for position, point in enumerate(ring) if point != ring[position - 1]]
