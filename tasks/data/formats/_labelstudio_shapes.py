"""Boxes of the table as regions of Label Studio."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.data.formats._coco_masks import area_inside, extent, numbers
from tasks.data.formats._coco_rows import OWN, plain, real, shortest
from tasks.data.formats._labelstudio_brush import encode_brush
from tasks.data.formats._labelstudio_regions import META, enclosing, mask_extent

if TYPE_CHECKING:
    from tasks.data.exporting import Export

CONTROLS = {"rectanglelabels": ("box", "RectangleLabels"), "polygonlabels": ("polygon", "PolygonLabels"),
            "brushlabels": ("brush", "BrushLabels"), "keypointlabels": ("point", "KeyPointLabels")}
Size = tuple[int, int]
CLASH = "attributes whose names mean something else in Label Studio"


def regions_of(box: Mapping[str, Any], size: Size, export: Export) -> Iterator[dict[str, Any]]:
    """One region; a second polygon and each keypoint is a region that names the first as its parent."""
    label, name = export.meta.classes[box["class_id"]], f"a{box['annotation_id']}"
    attributes = plain(json.loads(box["attributes"]), box["row"]) if box["attributes"] else {}
    meta = {key: value for key, value in attributes.items() if key not in META}
    export.lose(CLASH, len(attributes) - len(meta))
    meta |= {key: shortest(box[key]) for key in sorted(OWN - {"source", "score"}) if box[key] is not None}
    meta |= {key: True for key in ("iscrowd", "difficult") if box[key]}
    if box["polygons"]:
        yield from _polygons(box, label, name, meta, size, export)
    elif box["rle"] is not None:
        yield _brush(box, label, name, meta, export)
    else:
        yield from _rectangle(box, label, name, meta, size, export)


def _region(kind: str, name: str, label: str, value: dict[str, Any], size: Size, meta: Mapping[str, Any],
            score: float | None = None, parent: str | None = None) -> dict[str, Any]:
    region = {"id": name, "from_name": CONTROLS[kind][0], "to_name": "image", "type": kind, "original_width": size[0],
              "original_height": size[1], "image_rotation": 0, "value": value | {kind: [label]}}
    more = {"meta": dict(meta) or None, "score": shortest(score), "parentID": parent}
    return region | {key: given for key, given in more.items() if given is not None}


def _rectangle(box: Mapping[str, Any], label: str, name: str, meta: dict[str, Any], size: Size,
               export: Export) -> Iterator[dict[str, Any]]:
    around, degrees = _turned(box, meta)
    if degrees:
        meta = {key: value for key, value in meta.items() if key not in ("rotation", "rotated")}
    value = {key: percent(number, size[side]) for key, number, side in
             zip(("x", "y", "width", "height"), around, (0, 1, 0, 1), strict=True)}
    points = export.meta.keypoints.get(label, {}) if box["keypoints"] else {}
    meta |= {"points": points["names"], "edges": points.get("edges") or []} if points else {}
    _compare(box, [box[key] for key in "xywh"], box["w"] * box["h"], export)
    yield _region("rectanglelabels", name, label, value | {"rotation": degrees}, size, meta, box["score"])
    names = points.get("names") or []
    flat = box["keypoints"] or []
    export.lose("keypoints without names", int(3 * len(names) != len(flat)))
    for place, point in enumerate(names if 3 * len(names) == len(flat) else ()):
        x, y, seen = flat[3 * place:3 * place + 3]
        if seen > 0:
            where = {"x": percent(x, size[0]), "y": percent(y, size[1]), "width": 0.5}
            hidden = {"visibility": 1} if seen == 1 else {}
            yield _region("keypointlabels", f"{name}p{place}", point, where, size, hidden, parent=name)
        else:
            export.lose("places of keypoints that are not labelled", int(x != 0 or y != 0))


def _polygons(box: Mapping[str, Any], label: str, name: str, meta: dict[str, Any], size: Size,
              export: Export) -> Iterator[dict[str, Any]]:
    polygons = box["polygons"]
    _compare(box, extent([value for flat in polygons for value in flat]), sum(map(area_inside, polygons)), export)
    export.lose("keypoints beside a mask", int(box["keypoints"] is not None))
    for number, flat in enumerate(polygons):
        points = [[percent(x, size[0]), percent(y, size[1])] for x, y in zip(flat[0::2], flat[1::2], strict=True)]
        value, first = {"points": points, "closed": True}, number == 0
        yield _region("polygonlabels", name if first else f"{name}q{number}", label, value, size,
                      meta if first else {"part": True}, box["score"] if first else None, None if first else name)


def _brush(box: Mapping[str, Any], label: str, name: str, meta: dict[str, Any], export: Export) -> dict[str, Any]:
    from tasks.data.runs import decode

    mask, rle = decode(box["rle"], box["row"]), box["rle"]
    if mask.any():
        _compare(box, list(mask_extent(mask).values()), float(np.count_nonzero(mask)), export)
    export.lose("masks that cover nothing", int(not mask.any()))
    export.lose("keypoints beside a mask", int(box["keypoints"] is not None))
    value = {"format": "rle", "rle": encode_brush(mask)}
    return _region("brushlabels", name, label, value, (rle["w"], rle["h"]), meta, box["score"])


def percent(pixels: float, side: int) -> float | None:
    """A coordinate as a share of the side, from which the same pixels are read to nine decimals."""
    return pixels * 100 / side if math.isfinite(pixels) and side else None


def _compare(box: Mapping[str, Any], around: list[float], area: float, export: Export) -> None:
    """Label Studio has no box and no area beside an outline: counts those that will be others."""
    given, read = [*(box[key] for key in "xywh"), box["area"]], [*around, area]
    export.lose("boxes and areas other than their outline's", int(not np.allclose(given, read, 1e-9, equal_nan=True)))


def _turned(box: Mapping[str, Any], meta: Mapping[str, Any]) -> tuple[list[float], float]:
    """The rectangle and its turn that the box was made of, where it still is the box around that; else the box, 0."""
    around, given, degrees = [box[key] for key in "xywh"], numbers(meta.get("rotated")), real(meta.get("rotation"))
    if degrees and given and len(given) == 4 and np.allclose(enclosing(given, degrees), around, rtol=1e-9):
        return given, degrees
    return around, 0
