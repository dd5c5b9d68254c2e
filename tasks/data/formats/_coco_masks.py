"""COCO's `segmentation`: polygons and run lengths, checked before they enter the table; nothing is drawn here."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from tasks.data.pictures import MAX_PIXELS

Rle = tuple[int, int, str]
NUMBERS = frozenset({int, float})


def mask_of(given: Any, size: tuple[int, int]) -> tuple[list[list[float]] | None, Rle | None, str | None]:
    """Polygons or run lengths of one `segmentation`, and what is wrong with those of its parts that were left out.

    Args:
        size: declared width and height of the picture, 0 where it declares none.
    """
    if not given:
        return None, None, None
    if isinstance(given, dict):
        rle = run_lengths_of(given, size)
        return (None, None, rle) if isinstance(rle, str) else (None, rle, None)
    if not isinstance(given, list):
        return None, None, f"segmentation is {shown(given)}, no polygons and no run lengths"
    polygons, flaw = sound_polygons(part for part in given if part != [])
    return polygons, None, flaw


def sound_polygons(parts: Iterable[Any]) -> tuple[list[list[float]] | None, str | None]:
    """The polygons among some lists of numbers, and what is wrong with the others."""
    polygons = [polygon(part) for part in parts]
    flaws = [part for part in polygons if isinstance(part, str)]
    more = f" (and {len(flaws) - 1} more)" if len(flaws) > 1 else ""
    return [part for part in polygons if not isinstance(part, str)] or None, f"{flaws[0]}{more}" if flaws else None


def polygon(given: Any) -> list[float] | str:
    """x1, y1, x2, y2, … as floats; where it is no polygon, the reason."""
    flat = numbers(given)
    if flat is None:
        return f"a polygon is {shown(given)}, no list of numbers"
    if len(flat) % 2:
        return f"a polygon has {len(flat)} numbers: half a point"
    return flat if len(flat) >= 6 else f"a polygon has {len(flat) // 2} points, 3 are needed"


def numbers(given: Any) -> list[float] | None:
    """A list of finite numbers as floats, else None."""
    if not isinstance(given, list) or not NUMBERS.issuperset(map(type, given)):
        return None
    try:
        floats = list(map(float, given))
    except OverflowError:
        return None
    # a sum of finite numbers may be infinite, one with NaN or infinity is not finite
    return floats if math.isfinite(sum(floats)) or all(map(math.isfinite, floats)) else None


def extent(flat: list[float]) -> list[float]:
    """x, y, w, h of the smallest box around x1, y1, x2, y2, …"""
    xs, ys = flat[0::2], flat[1::2]
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]


def area_inside(flat: list[float]) -> float:
    """Shoelace formula, around the first point: large coordinates would cost digits."""
    xs, ys = [x - flat[0] for x in flat[0::2]], [y - flat[1] for y in flat[1::2]]
    turns = zip(xs, ys, xs[1:] + xs[:1], ys[1:] + ys[:1], strict=True)
    return abs(sum(a * d - c * b for a, b, c, d in turns)) / 2


def run_lengths_of(given: dict[str, Any], size: tuple[int, int]) -> Rle | str:
    """Height, width and COCO's compressed counts, known to fill the mask; where they do not, the reason."""
    sides, counts = given.get("size"), given.get("counts")
    if not isinstance(sides, list) or len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
        return f"run lengths of size {shown(sides)}"
    height, width = sides
    if height * width > MAX_PIXELS:
        return f"run lengths of {width} x {height} pixels, more than {MAX_PIXELS:,}"
    if all(size) and (width, height) != size:
        return f"run lengths of {width} x {height} pixels, the picture has {size[0]} x {size[1]}"
    text = counts if isinstance(counts, str) else _compressed(counts, height, width)
    if text is None or not _fills(text, height * width):
        return f"run lengths that do not fill {width} x {height} pixels"
    return height, width, text


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def _compressed(counts: Any, height: int, width: int) -> str | None:
    if not isinstance(counts, list) or not all(type(count) is int and 0 <= count <= height * width for count in counts):
        return None
    from pycocotools import mask

    return mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)["counts"].decode("ascii")


def _fills(counts: str, pixels: int) -> bool:
    from tasks.data.runs import run_lengths

    lengths = run_lengths(counts) if counts.isascii() else None
    # each is compared first: a sum of long runs may wrap around
    return lengths is not None and len(lengths) > 0 and bool((lengths <= pixels).all() and lengths.sum() == pixels)
