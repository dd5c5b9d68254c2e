"""Labels over a picture: boxes, outlines and points as SVG, masks as a layer of few colours."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from tasks.base.errors import DataError
from tasks.data.shapes import decode
from tasks.reporting import frame, words
from tasks.reporting.comparison import FEW_CLASSES
from tasks.reporting.markup import Markup, element, shorten
from tasks.reporting.style import DARK

View = tuple[int, int, int, int]  # left, top, right, bottom in pixels of the picture
LAYER = 300  # pixels of a mask layer's longer side
POINTS = 240  # of all outlines of one label
DECODED = 200_000_000  # pixels of run lengths that are decoded for one picture
NAMED = 12  # labels that carry their name, the largest first
WIDE = 0.6  # of a character, in heights of the text
CLEAR, EDGE = 0, frame.COLOURS  # palette of a layer: nothing, fills, then the same as edges
FILL, LINE = 120, 235  # their opacity of 255


def overlay(labels: Sequence[Mapping[str, Any]], classes: Sequence[str], view: View,
            ignored: Sequence[Sequence[float]] | None = None, *, with_names: bool = True) -> Markup | None:
    """The labels of a picture, as far as they are in view; the smaller ones lie above.

    Where there are more classes than colours the largest labels carry their name, as far as there is room.
    """
    by_size = sorted(labels, key=lambda one: (-_number(one["w"]) * _number(one["h"]), one["annotation_id"]))
    marks = [_region(one, view) for one in ignored or [] if len(one) == 4]
    marks += [_label(one, classes, view) for one in by_size]
    if with_names and len(classes) > FEW_CLASSES:
        marks += _names(by_size[:NAMED], classes, view)
    if not marks:
        return None
    said = f"{words.plural(len(labels), 'label')} on the picture"
    return element("svg", marks, viewBox=f"0 0 {view[2] - view[0]} {view[3] - view[1]}", class_="boxes", role="img",
                   aria_label=said)


def _label(one: Mapping[str, Any], classes: Sequence[str], view: View) -> Markup:
    shape = _rectangle([one[key] for key in ("x", "y", "w", "h")], view)
    outline = _outline(one["polygons"], view)
    hint = frame.tip(_said(one, _class(one, classes)))
    if outline:
        drawn = [element("path", d=outline, class_="under"), element("path", hint, d=outline)]
    else:
        drawn = [element("rect", class_="under", **shape), element("rect", hint, **shape)]
    kind = " crowd" if one["iscrowd"] else " line" if outline else " masked" if one["rle"] else ""
    colour = one["class_id"] % frame.COLOURS
    return element("g", drawn, _points(one["keypoints"], view), class_=f"box s{colour}{kind}")


def _class(one: Mapping[str, Any], classes: Sequence[str]) -> str:
    known = 0 <= one["class_id"] < len(classes)
    return classes[one["class_id"]] if known else f"class {one['class_id']}"


def _said(one: Mapping[str, Any], name: str) -> str:
    flags = [flag for flag, key in (("crowd", "iscrowd"), ("difficult", "difficult")) if one[key]]
    numbers = [f"{key} {one[key]:.2g}" for key in ("truncation", "occlusion", "score", "uncertainty")
               if words.known(one[key])]
    size = f"{words.digits(_number(one['w']))} × {words.digits(_number(one['h']))} px"
    return "\n".join([name, size, *flags, *numbers])


def _names(labels: Sequence[Mapping[str, Any]], classes: Sequence[str], view: View) -> list[Markup]:
    """Names above their boxes, or inside; one that would cover another is left to the tooltip."""
    width, height = view[2] - view[0], view[3] - view[1]
    tall = max(width, height) / 26
    taken: list[tuple[float, float, float]] = []
    marks = []
    for one in labels:
        text, shape = shorten(_class(one, classes), 16), _rectangle([one[key] for key in ("x", "y", "w", "h")], view)
        wide = len(text) * tall * WIDE
        x = max(min(shape["x"] + 1, width - wide), 0.0)
        above = shape["y"] > tall * 1.3
        y = shape["y"] - tall * 0.35 if above else min(shape["y"] + tall * 1.1, height - 2.0)
        if all(abs(y - v) > tall or x > u + w or u > x + wide for u, v, w in taken):
            taken.append((x, y, wide))
            marks.append(element("text", text, x=float(x), y=float(y), font_size=float(tall)))
    return marks


def _region(one: Sequence[float], view: View) -> Markup:
    shape = _rectangle(one, view)
    return element("g", element("rect", class_="under", **shape), element("rect", frame.tip("ignored"), **shape),
                   class_="box ignored")


def _rectangle(box: Sequence[Any], view: View) -> dict[str, float]:
    x, y, w, h = (_number(value) for value in box)
    width, height = float(view[2] - view[0]), float(view[3] - view[1])
    x1, x2 = (min(max(value - view[0], 0.0), width) for value in (x, x + w))
    y1, y2 = (min(max(value - view[1], 0.0), height) for value in (y, y + h))
    return {"x": min(x1, width - 0.5), "y": min(y1, height - 0.5), "width": max(x2 - x1, 0.5),
            "height": max(y2 - y1, 0.5)}


def _outline(polygons: Sequence[Sequence[float]] | None, view: View) -> str:
    rings = [np.asarray(ring, float) for ring in polygons or [] if len(ring) >= 6 and len(ring) % 2 == 0]
    rings = [ring.reshape(-1, 2) for ring in rings if np.isfinite(ring).all()]
    stride = max(1, -(-sum(map(len, rings)) // POINTS))
    places = 1 if max(view[2] - view[0], view[3] - view[1]) < 600 else 0
    parts = []
    for ring in rings:
        kept = ring[::stride] if len(ring[::stride]) >= 3 else ring
        moved = np.clip(kept - view[:2], -1e4, 1e5).round(places)
        parts.append("M" + "L".join(f"{x:g} {y:g}" for x, y in moved.tolist()) + "Z")
    return "".join(parts)


def _points(keypoints: Sequence[float] | None, view: View) -> list[Markup]:
    """Points that are labelled, the hidden ones hollow."""
    flat = keypoints or []
    radius = max(view[2] - view[0], view[3] - view[1]) / 110
    return [element("circle", cx=float(x - view[0]), cy=float(y - view[1]), r=float(radius),
                    class_="point" if seen >= 2 else "point hollow")
            for x, y, seen in zip(flat[0::3], flat[1::3], flat[2::3], strict=False)
            if words.known(seen) and seen > 0 and words.known(x) and words.known(y)]


def _number(value: Any) -> float:
    return float(value) if words.known(value) else 0.0


def mask_layer(ids: np.ndarray, classes: Sequence[str], view: View) -> str:
    """A data URI of a mask's colours over the view; 255 and a class called background stay clear."""
    cut = _reduced(ids[view[1] : view[3], view[0] : view[2]])
    clear = [k for k, name in enumerate(classes) if name.strip().lower() in ("background", "_background_")]
    colours = np.where((cut < 0) | (cut == 255) | np.isin(cut, clear), CLEAR, cut % frame.COLOURS + 1)
    return _layer(colours, _edges(cut))


def runs_layer(labels: Sequence[Mapping[str, Any]], view: View) -> str | None:
    """A data URI of the masks that are given as run lengths; None where there is none, or none can be read."""
    colours: np.ndarray | None = None
    left = DECODED
    masked = sorted((one for one in labels if one["rle"]),
                    key=lambda one: (-_number(one["area"]), one["annotation_id"]))
    for number, one in enumerate(masked, 1):
        left -= int(_number(one["rle"]["h"]) * _number(one["rle"]["w"]))
        if left < 0:
            break
        try:
            cut = _reduced(decode(one["rle"])[view[1] : view[3], view[0] : view[2]])
        except (DataError, TypeError, ValueError):  # what cannot be read is for validate to name
            continue
        if colours is None:
            colours, owners = np.zeros(cut.shape, np.int64), np.zeros(cut.shape, np.int64)
        if cut.shape == colours.shape:
            colours[cut], owners[cut] = one["class_id"] % frame.COLOURS + 1, number
    return None if colours is None else _layer(colours, _edges(owners))


def _reduced(ids: np.ndarray) -> np.ndarray:
    step = max(1, -(-max(ids.shape) // LAYER))
    return ids[step // 2 :: step, step // 2 :: step] if min(ids.shape) > step else ids


def _edges(ids: np.ndarray) -> np.ndarray:
    found = np.zeros(ids.shape, bool)
    down, across = ids[1:] != ids[:-1], ids[:, 1:] != ids[:, :-1]
    found[1:] |= down
    found[:-1] |= down
    found[:, 1:] |= across
    found[:, :-1] |= across
    return found


def _layer(colours: np.ndarray, edges: np.ndarray) -> str:
    drawn = np.where((colours > 0) & edges, colours + EDGE, colours).astype(np.uint8)
    picture = Image.fromarray(drawn, "P") if drawn.size else Image.new("P", (1, 1))
    bright = [int(colour[i : i + 2], 16) for colour in DARK for i in (1, 3, 5)]
    picture.putpalette([0, 0, 0, *bright, *bright])
    buffer = io.BytesIO()
    opacity = bytes([0, *[FILL] * frame.COLOURS, *[LINE] * frame.COLOURS])
    picture.save(buffer, "PNG", optimize=True, transparency=opacity)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
