"""One annotation of Label Studio: regions become boxes, choices become labels of the picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tasks.data.formats._coco_masks import area_inside, extent, polygon, shown
from tasks.data.formats._coco_rows import OWN, add_columns, extras, plain, real
from tasks.data.formats._labelstudio_brush import decode_brush
from tasks.data.formats.record import Box, number

# each also without `labels`, where the label stands in a result of its own
KINDS = {"rectangle": "rectangle", "polygon": "polygon", "brush": "brush", "keypoint": "keypoint"}
KINDS |= {f"{kind}labels": kind for kind in KINDS}
META = frozenset({"iscrowd", "difficult", "points", "edges", "part", "visibility"}) | OWN
Size = tuple[float, float]
DECIMALS = 9


@dataclass
class Found:
    """What one annotation says. `rest` are results that are no regions, as they were; `flaws` are (row, reason)."""

    boxes: list[Box] = field(default_factory=list)
    labels: list[str] | None = None
    rest: list[Any] = field(default_factory=list)
    flaws: list[tuple[str, str]] = field(default_factory=list)


def read_results(results: list[dict[str, Any]], size: Size, row: str, points: dict[str, list[str]]) -> Found:
    """All results of one annotation.

    Args:
        size: width and height in pixels of results that do not say theirs.
        points: of a class, the names of its keypoints in their order.
    """
    found, regions = Found(), dict[str, list[Box]]()
    labelled = {_id(result) for result in results if names_in(result)}
    later: list[tuple[int, dict[str, Any]]] = []
    for place, result in enumerate(results):
        kind, here = kind_of(result), f"{row}.result[{place}]"
        if kind is None or (kind == "keypoint" and _parent(result)):
            later.append((place, result))
        elif names_in(result) or not _id(result) or _id(result) not in labelled:
            boxes = _region(result, kind, size_of(result, size), here, found, regions)
            found.boxes += boxes
            if _id(result):
                regions.setdefault(_id(result), boxes)
    for place, result in later:
        _attach(result, size_of(result, size), f"{row}.result[{place}]", found, regions, points)
    return found


def kind_of(result: dict[str, Any]) -> str | None:
    """rectangle, polygon, brush or keypoint; None for what is no region, or none that can be read."""
    kind, value = result.get("type"), result.get("value")
    if not isinstance(value, dict):
        return None
    if kind == "labels":
        kind = ("brush" if "rle" in value else "polygon" if "points" in value else "rectangle" if "height" in value
                else "keypoint")
    return KINDS.get(kind) if isinstance(kind, str) else None


def names_in(result: dict[str, Any]) -> list[str]:
    """The labels of a region."""
    value = result.get("value")
    lists = (value[key] for key in value if key.endswith("labels")) if isinstance(value, dict) else ()
    return [name.strip() for names in lists if isinstance(names, list) for name in names if isinstance(name, str)]


def points_of(results: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Class and name of each keypoint that belongs to a region."""
    classes = {_id(result): names_in(result) for result in results if kind_of(result) == "rectangle"}
    for result in results:
        if kind_of(result) == "rectangle" and isinstance(names := _meta(result).get("points"), list):
            yield from ((label, str(name)) for label in names_in(result) for name in names)
        if kind_of(result) == "keypoint":
            yield from ((label, name) for label in classes.get(_parent(result), ()) for name in names_in(result))


def size_of(result: dict[str, Any], otherwise: Size) -> Size:
    size = number(result.get("original_width")), number(result.get("original_height"))
    return size if all(side > 0 and math.isfinite(side) for side in size) else otherwise


def pixels(share: Any, side: float) -> float:
    """A coordinate from per cent of a side. A share of double precision stands for no exact place: 75.67 comes back as
    75.67000000000002, so digits that mean nothing are rounded away."""
    return round(number(share) * side / 100, DECIMALS)


def enclosing(box: list[float], degrees: float) -> list[float]:
    """x, y, w, h of the box around one that is turned clockwise around its top left corner."""
    x, y, w, h = box
    turn = math.radians(degrees)
    across, down = (w * math.cos(turn), w * math.sin(turn)), (-h * math.sin(turn), h * math.cos(turn))
    corners = [(x + i * across[0] + j * down[0], y + i * across[1] + j * down[1]) for i in (0, 1) for j in (0, 1)]
    return extent([value for corner in corners for value in corner])


def _region(result: dict[str, Any], kind: str, size: Size, row: str, found: Found,
            regions: dict[str, list[Box]]) -> list[Box]:
    """Boxes of one region, one a label; none where it is a part of an earlier one or cannot be read."""
    reader = {"rectangle": _rectangle, "polygon": _polygon, "brush": _brush, "keypoint": _point}[kind]
    shape = reader(result["value"], size)
    if isinstance(shape, str):
        found.flaws.append((row, shape))
        return []
    meta, score = _meta(result), real(result.get("score"))
    whole = regions.get(_parent(result), []) if meta.get("part") is True else []
    if whole and shape.get("polygons"):
        for box in whole:
            _grow(box, shape["polygons"])
        return []
    boxes = []
    for label in names_in(result) or [""]:
        box = Box(label, row=row, **shape)
        box.iscrowd, box.difficult = meta.get("iscrowd") is True, meta.get("difficult") is True
        box.attributes = (box.attributes or {}) | (extras(meta, META, row) or {}) or None
        add_columns(box, meta)
        box.score = box.score if score is None else score
        if kind == "keypoint" and math.isfinite(box.x + box.y):
            box.keypoints = [box.x + box.w / 2, box.y + box.h / 2, 1.0 if meta.get("visibility") == 1 else 2.0]
        boxes.append(box)
    return boxes


def _rectangle(value: dict[str, Any], size: Size) -> dict[str, Any] | str:
    x, y, w, h = (pixels(value.get(key), size[side]) for key, side in
                  (("x", 0), ("y", 1), ("width", 0), ("height", 1)))
    degrees = number(value.get("rotation", 0))
    if degrees == 0 or not math.isfinite(degrees):
        return {"x": x, "y": y, "w": w, "h": h}
    around = dict(zip("xywh", enclosing([x, y, w, h], degrees), strict=True))
    return around | {"attributes": {"rotation": degrees, "rotated": plain([x, y, w, h], "")}}


def _polygon(value: dict[str, Any], size: Size) -> dict[str, Any] | str:
    given = value.get("points")
    points = given if isinstance(given, list) else []
    if not all(isinstance(point, list) and len(point) == 2 for point in points):
        return f"points are {shown(given)}"
    flat = polygon([pixels(part, size[side]) for point in points for side, part in enumerate(point)])
    if isinstance(flat, str):
        return flat
    return dict(zip("xywh", extent(flat), strict=True)) | {"polygons": [flat], "area": area_inside(flat)}


def _brush(value: dict[str, Any], size: Size) -> dict[str, Any] | str:
    from tasks.data.runs import encode

    if not all(side.is_integer() for side in size):
        return f"a brush stroke on a picture of {size[0]} x {size[1]} pixels"
    mask = decode_brush(value.get("rle"), int(size[0]), int(size[1]))
    if mask is None:
        return f"a brush stroke whose run lengths do not fill {size[0]:.0f} x {size[1]:.0f} pixels"
    if not mask.any():
        return "a brush stroke that covers nothing"
    rle = encode(mask)
    return mask_extent(mask) | {"rle": (rle["h"], rle["w"], rle["counts"]), "area": float(np.count_nonzero(mask))}


def mask_extent(mask: np.ndarray) -> dict[str, float]:
    """x, y, w, h of the pixels that are set."""
    columns, rows = np.flatnonzero(mask.any(axis=0)).tolist(), np.flatnonzero(mask.any(axis=1)).tolist()
    return {"x": float(columns[0]), "y": float(rows[0]), "w": float(columns[-1] - columns[0] + 1),
            "h": float(rows[-1] - rows[0] + 1)}


def _point(value: dict[str, Any], size: Size) -> dict[str, Any] | str:
    # a point is drawn as a disc whose diameter is a share of the width
    x, y, disc = (pixels(value.get(key, 0), size[side]) for key, side in (("x", 0), ("y", 1), ("width", 0)))
    return {"x": x - disc / 2, "y": y - disc / 2, "w": disc, "h": disc}


def _grow(box: Box, polygons: list[list[float]]) -> None:
    box.polygons = (box.polygons or []) + polygons
    box.x, box.y, box.w, box.h = extent([value for flat in box.polygons for value in flat])
    box.area = sum(map(area_inside, box.polygons))


def _attach(result: dict[str, Any], size: Size, row: str, found: Found, regions: dict[str, list[Box]],
            points: dict[str, list[str]]) -> None:
    """A result that is no region of its own: a point of one, an answer about one, or about the picture."""
    kind, value, boxes = result.get("type"), result.get("value"), regions.get(_parent(result) or _id(result))
    if kind_of(result) == "keypoint":
        _add_point(result, size, row, found, boxes or [], points)
    elif boxes and isinstance(value, dict) and isinstance(kind, str) and kind in value:
        for box in boxes:
            box.attributes = (box.attributes or {}) | {str(result.get("from_name") or kind): plain(value[kind], row)}
    elif kind == "choices" and isinstance(value, dict) and isinstance(value.get("choices"), list):
        names = [name.strip() for name in value["choices"] if isinstance(name, str)]
        found.labels = list(dict.fromkeys([*(found.labels or []), *names]))
    else:
        if isinstance(kind, str) and kind.endswith("labels"):
            found.flaws.append((row, f"{kind} cannot be read, the region is kept as an attribute of the picture"))
        found.rest.append(plain(result, row))


def _add_point(result: dict[str, Any], size: Size, row: str, found: Found, boxes: Iterable[Box],
               points: dict[str, list[str]]) -> None:
    value, placed = result["value"], False
    x, y = pixels(value.get("x"), size[0]), pixels(value.get("y"), size[1])
    seen = 1.0 if _meta(result).get("visibility") == 1 else 2.0
    for box in boxes if math.isfinite(x) and math.isfinite(y) else ():
        names = points.get(box.label, [])
        for name in set(names_in(result)).intersection(names):
            box.keypoints = box.keypoints or [0.0] * 3 * len(names)
            first = 3 * names.index(name)
            box.keypoints[first:first + 3] = [x, y, seen]
            placed = True
    if not placed:
        found.flaws.append((row, "a keypoint that belongs to no region, or has no place"))


def _meta(result: dict[str, Any]) -> dict[str, Any]:
    meta = result.get("meta")
    return meta if isinstance(meta, dict) else {}


def _id(result: dict[str, Any]) -> str:
    return str(result.get("id") or "")


def _parent(result: dict[str, Any]) -> str:
    return str(result.get("parentID") or "")
