"""Pictures inside the page: small JPEGs as data URIs under a budget of bytes, boxes as SVG over them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from tasks.base.errors import DataError
from tasks.data.pictures import locate, read_picture
from tasks.reporting import frame, words
from tasks.reporting.markup import Child, Markup, element

BUDGET = 4_600_000  # bytes of JPEG in one page: base64 makes 4/3 of it, and the page stays below 8 MB
LARGEST = 60_000  # more than this for one picture shows nothing more
# longer side in pixels and JPEG quality, best first
LADDER = ((520, 82), (440, 78), (360, 74), (300, 70), (240, 62), (180, 55), (120, 45), (80, 35))


@dataclass(frozen=True)
class Mark:
    """A box to draw, [x1, y1, x2, y2] in pixels of the picture.

    Attributes:
        colour: index into the palette, as in the charts.
        hint: text of the tooltip.
        score: detections are hidden below the page's threshold; None is always shown.
        kind: "" plain, "expected" (dashed), "seen".
    """

    box: Sequence[float]
    colour: int
    hint: str
    score: float | None = None
    kind: str = ""
    label: str = ""


class Album:
    """Reads, shrinks and encodes pictures; each gets an equal share of the budget."""

    def __init__(self, raw: Path, images: pa.Table, expected: int, budget: int = BUDGET) -> None:
        self.places = dict(zip(images["file"].to_pylist(), locate(raw, images), strict=True))
        self.share = min(budget // max(expected, 1), LARGEST)
        self.kept: dict[tuple[str, tuple[int, int, int, int]], str] = {}

    def source(self, file: str, window: tuple[int, int, int, int] | None = None) -> str | None:
        """A data URI of the picture, or of `window` (x1, y1, x2, y2 in pixels); None when it cannot be read."""
        key = (file, window or (0, 0, 0, 0))
        if key not in self.kept:
            try:
                pixels = read_picture(self.places[file])
            except (DataError, OSError):
                return None
            if window:
                pixels = pixels[window[1] : window[3], window[0] : window[2]]
            self.kept[key] = encode(pixels, self.share)
        return self.kept[key]

    def shot(
        self,
        file: str,
        size: tuple[int, int],
        marks: Sequence[Mark],
        *,
        label: str,
        window: tuple[int, int, int, int] | None = None,
    ) -> Markup:
        """A picture with its boxes. `size` is width and height of the whole picture in pixels."""
        source = self.source(file, window)
        if source is None:
            return element("p", f"The picture {file} could not be read.", class_="none")
        x1, y1, x2, y2 = window or (0, 0, *size)
        width, height = max(x2 - x1, 1), max(y2 - y1, 1)
        boxes = [_box(mark, x1, y1, width, height) for mark in marks]
        overlay = (
            element(
                "svg",
                boxes,
                viewBox=f"0 0 {width} {height}",
                class_="boxes",
                role="img",
                aria_label=f"{words.plural(len(marks), 'box')} on {label}",
            )
            if boxes
            else None
        )
        picture = element("img", src=source, alt=label, width=width, height=height, loading="lazy", decoding="async")
        return element("div", picture, overlay, class_="shot", style=f"aspect-ratio:{width}/{height}")


def _box(mark: Mark, left: int, top: int, width: int, height: int) -> Markup:
    x1, y1, x2, y2 = (float(v) for v in mark.box)
    x1, x2 = max(x1 - left, 0.0), min(x2 - left, float(width))
    y1, y2 = max(y1 - top, 0.0), min(y2 - top, float(height))
    shape = {"x": x1, "y": y1, "width": max(x2 - x1, 0.5), "height": max(y2 - y1, 0.5)}
    # a dark line under the coloured one: it is seen on bright and on dark pictures
    rect = [element("rect", class_="under", **shape), element("rect", frame.tip(mark.hint), **shape)]
    label = None
    if mark.label:
        tall = max(width, height) / 26
        base = y1 - tall * 0.35 if y1 > tall * 1.3 else min(y1 + tall * 1.1, height - 2.0)
        label = element("text", mark.label, x=min(x1 + 1, width * 0.8), y=base, font_size=tall)
    score = None if mark.score is None else f"{mark.score:.3f}"
    return element("g", rect, label, class_=f"box s{mark.colour % frame.COLOURS} {mark.kind}".strip(), data_score=score)


def encode(pixels: np.ndarray, limit: int) -> str:
    """A JPEG data URI of an RGB picture, uint8 [H, W, 3], as large and good as `limit` bytes allow."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    content = b""
    for side, quality in LADDER:
        scale = side / max(picture.size)
        small = (
            picture
            if scale >= 1
            else picture.resize(
                (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1)), Image.Resampling.LANCZOS
            )
        )
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=quality, optimize=True)
        content = buffer.getvalue()
        if len(content) <= limit:
            break
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()


def window_around(
    boxes: Sequence[Sequence[float]], size: tuple[int, int], *, least: float = 0.35, margin: float = 0.6
) -> tuple[int, int, int, int]:
    """A crop of the picture, 4:3 where there is room, around all `boxes` with a margin of their size.

    Args:
        boxes: [x1, y1, x2, y2] in pixels.
        size: width and height of the picture.
        least: least width, as share of the picture's.
    """
    corners = np.asarray(boxes, dtype=float).reshape(-1, 4)
    x1, y1 = corners[:, :2].min(axis=0)
    x2, y2 = corners[:, 2:].max(axis=0)
    width = max((x2 - x1) * (1 + 2 * margin), (y2 - y1) * (1 + 2 * margin) * 4 / 3, least * size[0])
    left, right = _fit((x1 + x2) / 2, width, size[0])
    top, bottom = _fit((y1 + y2) / 2, width * 3 / 4, size[1])
    return left, top, right, bottom


def _fit(middle: float, length: float, limit: int) -> tuple[int, int]:
    length = min(length, float(limit))
    start = min(max(middle - length / 2, 0.0), limit - length)
    low = min(int(start), limit - 1)
    return low, min(max(int(np.ceil(start + length)), low + 1), limit)


def gallery(shots: Sequence[Markup], class_: str = "gallery") -> Markup:
    return element("div", shots, class_=class_)


def captioned(shot: Markup, *lines: Child) -> Markup:
    return element("figure", shot, element("figcaption", [element("span", line) for line in lines]), class_="card-shot")


def chips(names: Sequence[str], colours: Sequence[int]) -> Markup:
    """The legend of boxes: a swatch and a name a class."""
    entries = [
        element("li", element("i", class_="swatch"), element("bdi", name), class_=f"s{c % frame.COLOURS}")
        for name, c in zip(names, colours, strict=True)
    ]
    return element("ul", entries, class_="legend chips")
