"""Points, boxes and affine maps of the plane.

Coordinates are continuous pixels, the origin at the top left corner of the picture: pixel 0 reaches from 0 to 1. A box
is `x, y, w, h`, a window is `left, top, right, bottom`. An affine map `a, b, c, d, e, f` takes `x, y` to
`a x + b y + c, d x + e y + f`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Box = tuple[float, float, float, float]
Window = tuple[float, float, float, float]
Affine = tuple[float, float, float, float, float, float]
Point = tuple[float, float]

IDENTITY: Affine = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
# of a mapped coordinate: libraries of other machines differ in the last bits of a cosine
DECIMALS = 4


def extent_of(points: Sequence[Point]) -> Box | None:
    """The smallest box around some points."""
    if not points:
        return None
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def cut_box(box: Box, window: Window) -> Box | None:
    """The part of a box that is inside a window, in the picture's coordinates.

    None where there is none; also of what is no box: without width or height, or not a number.
    """
    (x, y, w, h), (left, top, right, bottom) = box, window
    if not (w > 0 and h > 0 and x < right and y < bottom and x + w > left and y + h > top):
        return None
    if x >= left and y >= top and x + w <= right and y + h <= bottom:
        return box
    a, b = max(x, left), max(y, top)
    w, h = min(x + w, right) - a, min(y + h, bottom) - b
    return (a, b, w, h) if w > 0 and h > 0 else None


def map_box(box: Box, affine: Affine) -> Box:
    """The box around the four corners of a box after a map: it grows by turning."""
    x, y, w, h = box
    found = extent_of([move(point, affine) for point in ((x, y), (x + w, y), (x + w, y + h), (x, y + h))])
    assert found is not None
    return found


def move(point: Any, affine: Affine) -> Any:
    """A point after a map, rounded to `DECIMALS`; also of two arrays."""
    (x, y), (a, b, c, d, e, f) = point, affine
    with np.errstate(over="ignore", invalid="ignore"):  # what is far beyond any picture stays far
        return _rounded(a * x + b * y + c), _rounded(d * x + e * y + f)


def compose(*maps: Affine) -> Affine:
    """One map that does all of these, the first first."""
    done = IDENTITY
    for p, q, r, s, t, u in maps:
        a, b, c, d, e, f = done
        done = (p * a + q * d, p * b + q * e, p * c + q * f + r, s * a + t * d, s * b + t * e, s * c + t * f + u)
    return done


def inverse(affine: Affine) -> Affine:
    """The map that undoes one; `determinant` must not be 0."""
    a, b, c, d, e, f = affine
    size = determinant(affine)
    return e / size, -b / size, (b * f - c * e) / size, -d / size, a / size, (c * d - a * f) / size


def determinant(affine: Affine) -> float:
    """By how much a map enlarges areas; negative where it mirrors."""
    a, b, _, d, e, _ = affine
    return a * e - b * d


def _rounded(value: Any) -> Any:
    return np.round(value, DECIMALS) if isinstance(value, np.ndarray) else round(value, DECIMALS)
