"""One row of a YOLO text file, and the object that it says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import cycle

from tasks.base.errors import DataError
from tasks.data.formats.record import Box, Note, number

NAN = float("nan")
EXPECTED = "class x y w h, or class and three points or more: x1 y1 x2 y2 x3 y3 …; then perhaps a score"


def box_of(fields: list[str], names: Mapping[int, str], size: tuple[int, int], points: tuple[int, int] | None,
           row: str) -> Box | Note:
    """The object of a row, in pixels, or a note where its class has no name.

    Args:
        fields: the row's parts; numbers are shares of the picture's `size` (width, height).
        points: keypoints an object, and numbers a point (2 or 3); None where the rows have none.

    Raises:
        DataError: the row has another number of parts.
    """
    file, _, line = row.rpartition("#")
    label = names.get(_index(fields[0]))
    if label is None:
        return Note("unknown_class", file, line, f"class {fields[0][:40]!r} is not among the {len(names)} names")
    values = [number(text) for text in fields[1:]]
    if points and len(values) == 4 + points[0] * points[1]:
        return _posed(label, values, size, points[1], row)
    if len(values) in (4, 5):
        return _rectangle(label, values, size, row)
    if len(values) < 6 or points:
        expected = f"class x y w h and {points[0]} x {points[1]} numbers of keypoints" if points else EXPECTED
        raise DataError(f"{len(fields)} columns, expected {expected}", where=f"{file}:{line}", mend="mend that line")
    return _outlined(label, values, size, row)


def _index(text: str) -> int:
    value = number(text)
    return int(value) if value.is_integer() else -1


def _rectangle(label: str, values: list[float], size: tuple[int, int], row: str) -> Box:
    w, h = values[2] * size[0], values[3] * size[1]
    box = Box(label, values[0] * size[0] - w / 2, values[1] * size[1] - h / 2, w, h, row)
    box.score = values[4] if len(values) == 5 else None
    return box


def _outlined(label: str, values: list[float], size: tuple[int, int], row: str) -> Box:
    score = values.pop() if len(values) % 2 else None
    ring = [value * side for value, side in zip(values, cycle(size))]
    # minimum of a list with NaN depends on its order
    (x, w), (y, h) = ((NAN, NAN) if any(map(math.isnan, axis)) else (min(axis), max(axis) - min(axis))
                      for axis in (ring[::2], ring[1::2]))
    return Box(label, x, y, w, h, row, polygons=[ring], score=score)


def _posed(label: str, values: list[float], size: tuple[int, int], numbers: int, row: str) -> Box:
    box = _rectangle(label, values[:4], size, row)
    flat: list[float] = []
    for at in range(4, len(values), numbers):
        x, y = values[at] * size[0], values[at + 1] * size[1]
        seen = values[at + 2] if numbers == 3 else 2.0 * (x != 0 or y != 0)
        flat += (x, y, seen)
    box.keypoints = flat
    return box
