"""Rows of a COCO file: one image, one annotation, one category each."""

from __future__ import annotations

import math
import re
from typing import Any

from tasks.base.errors import DataError
from tasks.data.formats._coco_masks import mask_of, numbers, shown
from tasks.data.formats.record import Box, Picture, number

NO_BOX = (float("nan"),) * 4
# shares and model outputs: columns of the table that COCO has no names for keep their own
FLOATS = ("score", "uncertainty", "difficulty", "truncation")
OWN = frozenset({"occlusion", "source", "reviewed_by", *FLOATS})
IMAGE_KEYS = frozenset({"id", "file_name", "width", "height"})
BOX_KEYS = frozenset({"id", "image_id", "category_id", "bbox", "area", "iscrowd", "ignore", "difficult", "segmentation",
                      "keypoints", "num_keypoints"}) | OWN
CATEGORY_KEYS = frozenset({"id", "name", "keypoints", "skeleton"})
SOURCE = re.compile(r"import|human|models?[:/].+")
DEEPEST = 32


def as_id(value: Any) -> Any:
    """An id that can be looked up: 1.0 is 1, what is neither number nor text is its text."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int | str) else repr(value)


def category_name(item: dict[str, Any]) -> str:
    """The name without white space around it; "" where there is none."""
    name = item.get("name")
    return str(name).strip() if isinstance(name, str | int | float) else ""


def keypoints_of(item: dict[str, Any]) -> tuple[dict[str, Any] | None, list[str]]:
    """`names` and 0-based `edges` of a category's keypoints, and what was left out of its skeleton."""
    names = item.get("keypoints")
    if not isinstance(names, list) or not names:
        return None, []
    given = item.get("skeleton")
    edges = given if isinstance(given, list) else []
    sound = [edge for edge in edges if isinstance(edge, list) and len(edge) == 2
             and all(type(end) is int and 1 <= end <= len(names) for end in edge)]
    flaws = [f"edge {shown(edge)} of the skeleton" for edge in edges if edge not in sound]
    return {"names": [str(name) for name in names], "edges": [[a - 1, b - 1] for a, b in sound]}, flaws


def picture_of(item: dict[str, Any], picture: Picture) -> Picture:
    """The picture with what an image says of it beyond its name and size."""
    tags, group, known = item.get("tags"), item.get("group"), IMAGE_KEYS
    if isinstance(tags, list) and all(isinstance(tag, str) for tag in tags):
        picture.tags, known = tags, known | {"tags"}
    if isinstance(group, str):
        picture.group, known = group, known | {"group"}
    picture.attributes = extras(item, known, picture.row)
    return picture


def real(value: Any) -> float | None:
    """A number that single precision can hold; None for what is none."""
    return float(value) if type(value) in (int, float) and abs(value) < 1e38 else None


def side(value: Any) -> int:
    """A declared width or height as a whole number of pixels; 0 where it is none."""
    pixels = number(value)
    return int(pixels) if pixels.is_integer() and 0 < pixels < 1 << 31 else 0


def box_of(item: dict[str, Any], label: str, row: str, size: tuple[int, int], points: int) -> tuple[Box, list[str]]:
    """One annotation, and what of its mask and keypoints was left out.

    Args:
        size: declared width and height of its picture, 0 where unknown.
        points: number of keypoints of its category, 0 where it declares none.
    """
    given = item.get("bbox")
    x, y, w, h = map(number, given) if isinstance(given, list) and len(given) == 4 else NO_BOX
    area = number(item["area"]) if "area" in item else None
    difficult = item.get("difficult") in (1, True) or item.get("ignore") in (1, True)
    polygons, rle, bad_mask = mask_of(item.get("segmentation"), size)
    keypoints, bad_points = _points(item.get("keypoints"), points)
    box = Box(label, x, y, w, h, row, area, item.get("iscrowd") in (1, True), difficult, polygons=polygons, rle=rle,
              keypoints=keypoints, attributes=extras(item, BOX_KEYS, row))
    if not OWN.isdisjoint(item):
        add_columns(box, item)
    return box, [flaw for flaw in (bad_mask, bad_points) if flaw]


def extras(item: dict[str, Any], known: frozenset[str], where: str) -> dict[str, Any] | None:
    """What no column holds, ready to be written as JSON; None where there is nothing.

    Raises:
        DataError: values are nested too deep.
    """
    names = item.keys() - known
    return {name: plain(item[name], where) for name in item if name in names} if names else None


def plain(value: Any, where: object, depth: int = 0) -> Any:
    """A value of a JSON file without NaN and infinity, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if not isinstance(value, dict | list):
        return value
    if depth == DEEPEST:
        raise DataError(f"values are nested more than {DEEPEST} deep", where=where, mend="remove them from that row")
    if isinstance(value, list):
        return [plain(item, where, depth + 1) for item in value]
    return {key: plain(item, where, depth + 1) for key, item in value.items()}


def shortest(value: Any) -> Any:
    """A single-precision number as the shortest text that stands for it: 0.9, not 0.8999999761581421."""
    if not isinstance(value, float):
        return value
    import numpy as np

    single = np.float32(value)
    return float(str(single)) if float(single) == value else value


def _points(given: Any, points: int) -> tuple[list[float] | None, str | None]:
    if not given:
        return None, None
    flat = numbers(given)
    if flat is None or len(flat) % 3 or (points and len(flat) != 3 * points):
        return None, f"keypoints are {shown(given)}, not x, y, visibility of {points or 'each'}"
    return flat, None


def add_columns(box: Box, item: dict[str, Any]) -> None:
    """Columns that are not COCO's own; a value that does not fit one stays in `attributes`."""
    for name in FLOATS:
        value = item.get(name)
        if (fits := real(value)) is not None:
            setattr(box, name, fits)
        elif value is not None:
            box.attributes = (box.attributes or {}) | {name: plain(value, box.row)}
    for name, suits in (("occlusion", _is_level), ("source", _is_source), ("reviewed_by", _is_text)):
        if name in item and suits(item[name]):
            setattr(box, name, item[name])
        elif item.get(name) is not None:
            box.attributes = (box.attributes or {}) | {name: plain(item[name], box.row)}


def _is_level(value: Any) -> bool:
    return type(value) is int and 0 <= value <= 3


def _is_source(value: Any) -> bool:
    return isinstance(value, str) and SOURCE.fullmatch(value) is not None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)
