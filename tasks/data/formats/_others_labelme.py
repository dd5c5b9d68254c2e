"""LabelMe's JSON (https://github.com/wkentaro/labelme): a file a picture, with `shapes`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from tasks.base.errors import DataError
from tasks.data.formats._superb_json import load, mapping
from tasks.data.formats._superb_schema import text
from tasks.data.formats._superb_shapes import enclosing
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, Note, Picture, Reading, number, safe_name, split_in_name

SUFFIX, SIGN = ".json", b'"shapes"'
PEEKED = 0
SHAPE_KEYS = frozenset({"label", "points", "shape_type", "group_id", "mask"})
# the picture itself, in base64, is left out
PICTURE_KEYS = frozenset({"shapes", "imagePath", "imageData", "imageWidth", "imageHeight", "version"})


def read(index: FolderIndex, here: str, into: Reading) -> Iterator[Picture]:
    """The picture of one file. Polygons of one label and `group_id` are one object.

    Raises:
        DataError: it is no JSON of LabelMe.
    """
    told = load(index.root / here, here)
    shapes = mapping(told).get("shapes")
    if not isinstance(shapes, list):
        raise DataError("not LabelMe's JSON: expected an object with a list 'shapes'", where=here,
                        mend="move that file elsewhere")
    split = split_in_name(PurePosixPath(here).parent)
    named = told.get("imagePath")
    # LabelMe writes the path from the file to the picture, with .. and backslashes
    name = PurePosixPath(str(named).replace("\\", "/")).name if isinstance(named, str) else ""
    name = safe_name(name if name.strip() not in ("", "..") else PurePosixPath(here).stem, here)
    near = PurePosixPath(here).parent
    file = index.find(name, near, split, here) or index.find(PurePosixPath(here).stem, near, split, here)
    if file is None:
        into.notes.append(Note("missing_picture", here, "imagePath", f"there is no picture {name!r}"))
        return
    size = (number(told["imageWidth"]), number(told["imageHeight"])) if {
        "imageWidth", "imageHeight"} <= told.keys() else None
    rest = {key: value for key, value in told.items() if key not in PICTURE_KEYS and value not in ({}, None)}
    yield Picture(file, split, size, here, list(_boxes(shapes, here, file, into)), attributes=rest or None)


def _boxes(shapes: list[Any], here: str, file: str, into: Reading) -> Iterator[Box]:
    groups: dict[tuple[str, str], Box] = {}
    for place, shape in enumerate(map(mapping, shapes)):
        row = f"shapes[{place}]"
        kind, points = shape.get("shape_type", "polygon"), _points(shape.get("points"))
        label = text(shape.get("label"))
        box = Box(label, *enclosing([]), f"{here}#{row}", attributes=_rest(shape))
        flaw = _draw(box, str(kind), points)
        if flaw:
            into.notes.append(Note("bad_mask", here, row, flaw, file))
            continue
        first = groups.setdefault((label, str(shape["group_id"])), box) if shape.get("group_id") is not None else box
        if box.polygons:
            into.problem = "segment"
        if first is box or not (first.polygons and box.polygons):
            yield box
        else:
            first.polygons += box.polygons
            first.x, first.y, first.w, first.h = enclosing(first.polygons)


def _draw(box: Box, kind: str, points: list[list[float]]) -> str | None:
    flat = [value for point in points for value in point]
    if kind == "rectangle" and len(points) in (2, 4) and all(map(math.isfinite, flat)):
        box.x, box.y, box.w, box.h = enclosing([flat])
    elif kind == "circle" and len(points) == 2:
        radius = math.dist(*points)
        box.x, box.y, box.w, box.h = points[0][0] - radius, points[0][1] - radius, 2 * radius, 2 * radius
    elif kind == "polygon" and len(points) > 2 and all(map(math.isfinite, flat)):
        box.polygons = [flat]
        box.x, box.y, box.w, box.h = enclosing([flat])
    elif kind in ("point", "points") and points:
        box.keypoints = [value for point in points for value in (*point, 2.0)]
        box.x, box.y, box.w, box.h = enclosing([flat])
    else:
        return f"a {kind} of {len(points)} points is not read: a rectangle, circle, polygon or point is"
    return None


def _points(given: Any) -> list[list[float]]:
    points = given if isinstance(given, list) else []
    return [[number(part) for part in point] for point in points if isinstance(point, list) and len(point) == 2]


def _rest(shape: dict[str, Any]) -> dict[str, Any] | None:
    rest = {key: value for key, value in shape.items() if key not in SHAPE_KEYS and value not in ({}, None, "")}
    if shape.get("group_id") is not None:
        rest["group_id"] = shape["group_id"]
    return rest or None
