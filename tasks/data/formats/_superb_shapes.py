"""Coordinates of Superb AI's objects as boxes, masks and keypoints, and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tasks.data.formats._superb_json import mapping
from tasks.data.formats.record import number
from tasks.data.pictures import MAX_PIXELS
from tasks.data.runs import decode, encode
from tasks.data.shapes import Outline, to_mask

Rings = list[list[list[float]]]
Sides = tuple[float, float, float, float]
NO_BOX: Sides = (math.nan, math.nan, math.nan, math.nan)
BOX_KEYS = ("x", "y", "width", "height")
RBOX_KEYS = ("cx", "cy", "width", "height", "angle")


@dataclass
class Shape:
    """What an annotation says of place and form.

    Attributes:
        box: x, y, w, h in pixels; None where nothing sound is left.
        fields: more fields of a `Box`.
        kept: what `attributes` must keep so that the same annotation can be written again.
        flaws: what of it is no sound shape.
    """

    box: tuple[float, ...] | None
    fields: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)
    flaws: list[str] = field(default_factory=list)


def shape(kind: str, coord: dict[str, Any], size: Callable[[], tuple[int, int]]) -> Shape:
    """The shape of an annotation of type `kind`; `size` gives the picture's width and height, asked for holes alone."""
    if kind == "box":
        return Shape(tuple(number(coord.get(key)) for key in BOX_KEYS), kept=_others(coord, BOX_KEYS))
    if kind == "rbox":
        return Shape(enclosing_rotated(coord), kept={"rbox": {key: coord.get(key) for key in RBOX_KEYS}})
    if kind == "polygon":
        return _polygon(coord.get("points"), size)
    if kind == "keypoint":
        return _keypoint(coord)
    return Shape(None, flaws=[f"{kind or 'an object without a type'} is not read: a box, rbox, polygon or keypoint is"])


def enclosing_rotated(coord: dict[str, Any]) -> Sides:
    """The box around a rotated one: `angle` is in degrees around its centre."""
    cx, cy, width, height, angle = (number(coord.get(key)) for key in RBOX_KEYS)
    if not math.isfinite(angle):
        return NO_BOX
    turn = math.radians(angle)
    w = abs(width * math.cos(turn)) + abs(height * math.sin(turn))
    h = abs(width * math.sin(turn)) + abs(height * math.cos(turn))
    return cx - w / 2, cy - h / 2, w, h


def enclosing(rings: list[list[float]]) -> Sides:
    """The box around flat rings x1, y1, x2, y2, …"""
    if not rings or not all(math.isfinite(v) for ring in rings for v in ring):
        return NO_BOX
    x, y = [v for ring in rings for v in ring[::2]], [v for ring in rings for v in ring[1::2]]
    return min(x), min(y), max(x) - min(x), max(y) - min(y)


def draw(faces: Rings, width: int, height: int) -> dict[str, Any]:
    """The run lengths of the pixels of outer rings minus those of their holes."""
    inside = np.zeros((height, width), bool)
    for rings in faces:
        outer, *holes = (to_mask(Outline([list(zip(ring[::2], ring[1::2], strict=True))]), width, height)
                         for ring in rings)
        for hole in holes:
            outer &= ~hole
        inside |= outer
    return encode(inside)


def points(ring: list[float]) -> list[dict[str, float]]:
    """A flat ring as Suite writes it."""
    return [{"x": x, "y": y} for x, y in zip(ring[::2], ring[1::2], strict=True)]


def _others(coord: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    more = {key: value for key, value in coord.items() if key not in keys}
    return {"coord": more} if more else {}


def _polygon(given: Any, size: Callable[[], tuple[int, int]]) -> Shape:
    flaws: list[str] = []
    faces = [sound for face in _faces(given) if (sound := _sound(face, flaws))]
    if not faces:
        return Shape(None, flaws=flaws or ["a polygon has a list of points, or one of faces of rings of points"])
    outer = [face[0] for face in faces]
    fields: dict[str, Any] = {"polygons": outer, "area": sum(map(_area, outer))}
    made = Shape(enclosing(outer), fields, flaws=flaws)
    if any(len(face) > 1 for face in faces):
        width, height = size()
        if 0 < width * height <= MAX_PIXELS:
            rle = draw(faces, width, height)
            made.fields = {"rle": (height, width, rle["counts"]), "area": float(decode(rle).sum())}
            made.kept = {"rings": faces}
        else:
            flaws.append(f"the holes of a polygon are left out: a mask of {width} x {height} pixels cannot be drawn")
    return made


def _faces(given: Any) -> Iterator[list[Any]]:
    """Faces of rings of points: `multiple` polygons nest three times, others once."""
    parts = given if isinstance(given, list) else []
    if parts and all(isinstance(part, dict) for part in parts):
        yield [parts]
    else:
        yield from (part if isinstance(part, list) else [part] for part in parts)


def _sound(face: list[Any], flaws: list[str]) -> list[list[float]]:
    """The rings of a face that have an inside; none when its outer ring has none."""
    rings: list[list[float]] = []
    for place, ring in enumerate(face or [None]):
        given = ring if isinstance(ring, list) else []
        flat = [number(mapping(point).get(axis)) for point in given for axis in "xy"]
        if len(flat) < 6 or not all(map(math.isfinite, flat)):
            flaws.append(f"a polygon's ring of {len(given)} points has no inside, or one of them is no number")
            if place == 0:
                return []
        else:
            rings.append(flat)
    return rings


def _area(ring: list[float]) -> float:
    """Shoelace formula."""
    x, y = ring[::2], ring[1::2]
    return abs(sum(a * d - b * c for a, b, c, d in zip(x, y, x[1:] + x[:1], y[1:] + y[:1], strict=True))) / 2


def _keypoint(coord: dict[str, Any]) -> Shape:
    given, states = coord.get("points"), None
    graph = mapping(coord.get("graph"))
    if "nodes" in graph:
        given, states = graph["nodes"], graph.get("states")
    if not isinstance(given, list) or not given:
        return Shape(None, flaws=["a keypoint object has a list of points"])
    flat: list[float] = []
    for place, point in enumerate(map(mapping, given)):
        state = point if states is None else states[place] if isinstance(states, list) and place < len(states) else {}
        flat += [number(point.get("x")), number(point.get("y")), visibility(mapping(mapping(state).get("state")))]
    seen = [[flat[i], flat[i + 1]] for i in range(0, len(flat), 3) if flat[i + 2]]
    return Shape(enclosing(seen), {"keypoints": flat})


def visibility(state: dict[str, Any]) -> float:
    """0 not labelled, 1 hidden, 2 seen."""
    return 0.0 if state.get("valid") is False else 1.0 if state.get("visible") is False else 2.0
