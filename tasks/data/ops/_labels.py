"""Rows of the annotation table whose picture was cut or mapped."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.data.affine import Box, Window, cut_box
from tasks.data.shapes import Shape

# what formats keep of an object's place and form, and which is no longer true
PLACED = frozenset({"alpha", "dimensions", "location", "rotation_y", "rbox", "rings", "coord", "rotation", "rotated",
                    "rotate_angle"})
# a share of 1 but for rounding
WHOLE = 1 - 1e-6


def box_of(row: Mapping[str, Any]) -> Box:
    return row["x"], row["y"], row["w"], row["h"]


def remade(row: Mapping[str, Any], box: Box, share: float, scale: float, shape: Shape | None,
           keypoints: list[float] | None) -> dict[str, Any]:
    """The row with another box and mask.

    Args:
        share: how much of what was to be seen still is, 0 to 1.
        scale: by how much areas grew.
        shape: the new mask, None for a row without.
    """
    x, y, w, h = box
    cut_off = row["truncation"] if share >= WHOLE else 1 - (1 - (row["truncation"] or 0.0)) * share
    own = {"x": x, "y": y, "w": w, "h": h, "area": area_after(row, box, share * scale, shape), "truncation": cut_off,
           "keypoints": keypoints, "attributes": _attributes(row["attributes"])}
    return dict(row) | own | (shape.columns() if shape else {})


def inside(points: Sequence[float] | None, width: float, height: float) -> list[float] | None:
    """Keypoints x, y, visibility; those outside of the picture become 0, 0, 0: not labelled."""
    if points is None:
        return None
    kept: list[float] = []
    for x, y, seen in zip(points[0::3], points[1::3], points[2::3], strict=False):
        kept += [x, y, seen] if seen and 0 <= x <= width and 0 <= y <= height else [0.0, 0.0, 0.0]
    return kept


def ignored_in(regions: Sequence[Sequence[float]] | None, window: Window) -> list[list[float]] | None:
    """Regions that count for nothing, cut to a window and in its coordinates."""
    cut = [part for x, y, w, h in regions or () if (part := cut_box((x, y, w, h), window))]
    return [[x - window[0], y - window[1], w, h] for x, y, w, h in cut] or None


def area_after(row: Mapping[str, Any], box: Box, factor: float = 1.0, shape: Shape | None = None) -> float:
    """The area of a label with another box: one that was the box's stays the box's, any other is the object's.

    Args:
        factor: by how much the object's area changed.
        shape: the new mask: of a label with one, the area is the object's.
    """
    if shape is None and math.isclose(row["area"], row["w"] * row["h"], rel_tol=1e-6):
        return box[2] * box[3]
    return row["area"] * factor


def _attributes(text: str | None) -> str | None:
    told = {key: value for key, value in json.loads(text or "{}").items() if key not in PLACED}
    return json.dumps(told, sort_keys=True, ensure_ascii=False) if told else None
