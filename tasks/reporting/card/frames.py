"""Pictures in the card: read once, a few at a time, encoded under a limit of bytes, with their labels over them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from tasks.data.pictures import over_pictures
from tasks.data.rows import Row
from tasks.reporting.card.overlay import View, mask_layer, overlay, runs_layer
from tasks.reporting.card.pixels import THREADS, place, read_mask, read_small
from tasks.reporting.markup import Child, Markup, element, shorten
from tasks.reporting.pictures import captioned, encode

THUMB, CROP = 400, 128  # pixels of the longer side
TALL = 300  # pixels on the screen that no picture is above
LIMIT = 26_000  # bytes of a thumbnail's JPEG
SMALLER = 6_000  # of a crop's


@dataclass(frozen=True)
class Job:
    """A picture to encode: its row of the table, or the name of another file (a reference), and the part of it."""

    image: dict[str, Any]
    view: View | None = None
    file: str | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        return self.file or self.image["image_id"], self.view


class Frames:
    """The pictures of one version.

    Args:
        pictures: what the column `file` is relative to.
        classes: names of the classes.
        thrift: 1 for the best pictures; 2, 4, … for as many times fewer bytes.
    """

    def __init__(self, pictures: Path, classes: Sequence[str], thrift: int = 1) -> None:
        self.pictures, self.classes, self.thrift = pictures, classes, thrift
        self.kept: dict[tuple[Any, ...], str | None] = {}

    def prepare(self, jobs: Iterable[Job]) -> None:
        """Encode pictures on a few threads; what is asked for later without this is encoded then."""
        wanted = list({job.key: job for job in jobs if job.key not in self.kept}.values())
        for job, source in zip(wanted, over_pictures(self._encode, wanted, THREADS), strict=True):
            self.kept[job.key] = source

    def source(self, job: Job) -> str | None:
        """A data URI, or None where the picture cannot be read."""
        if job.key not in self.kept:
            self.kept[job.key] = self._encode(job)
        return self.kept[job.key]

    def _encode(self, job: Job) -> str | None:
        side = THUMB if job.view is None else CROP
        width, height = size_of(job.image)
        view = job.view or (0, 0, width, height)
        longest = max(view[2] - view[0], view[3] - view[1])
        where = place(self.pictures, job.image) if job.file is None else self.pictures / job.file
        pixels = read_small(where, side / longest)
        if pixels is None:
            return None
        down, across = pixels.shape[0] / height, pixels.shape[1] / width
        rows = slice(int(view[1] * down), max(int(round(view[3] * down)), int(view[1] * down) + 1))
        columns = slice(int(view[0] * across), max(int(round(view[2] * across)), int(view[0] * across) + 1))
        cut = pixels[rows, columns]
        limit = (LIMIT if job.view is None else SMALLER) // self.thrift
        return encode(_shrunk(cut, side), limit) if cut.size else None

    def shot(self, row: Row, *, view: View | None = None, alone: bool = False) -> Markup:
        """A picture, or a part of it, with its labels.

        Args:
            alone: without labels.
        """
        image, file = row.image, row.image["file"]
        source = self.source(Job(image, view))
        if source is None:
            return element("p", f"The picture {file} could not be read.", class_="none")
        width, height = size_of(image)
        x1, y1, x2, y2 = view or (0, 0, width, height)
        picture = element("img", src=source, alt=file, width=x2 - x1, height=y2 - y1, loading="lazy", decoding="async")
        above = [] if alone else [self._mask(row, (x1, y1, x2, y2)),
                                  overlay(row.boxes, self.classes, (x1, y1, x2, y2), image["ignored"],
                                          with_names=view is None)]
        return element("div", picture, above, class_="shot", style=_style(x2 - x1, y2 - y1))

    def reference(self, row: Row) -> Markup:
        """The golden picture that a picture is compared with."""
        file = row.image["reference"]
        source = self.source(Job(row.image, file=file))
        if source is None:
            return element("p", f"The reference {file} could not be read.", class_="none")
        width, height = size_of(row.image)
        picture = element("img", src=source, alt=f"reference {file}", width=width, height=height, loading="lazy",
                          decoding="async")
        return element("div", picture, class_="shot", style=_style(width, height))

    def _mask(self, row: Row, view: View) -> Markup | None:
        layer = runs_layer(row.boxes, view)
        if row.image["mask"]:
            ids = read_mask(self.pictures / row.image["mask"])
            size = size_of(row.image)
            layer = mask_layer(ids, self.classes, view) if ids is not None and ids.shape == size[::-1] else layer
        if layer is None:
            return None
        return element("img", src=layer, alt="mask", class_="layer", loading="lazy", decoding="async")


def _style(width: int, height: int) -> str:
    """The shape of a picture in the page; a tall one becomes narrower, not cut or stretched."""
    return f"aspect-ratio:{width}/{height};max-width:{max(round(TALL * width / height), 24)}px"


def size_of(image: dict[str, Any]) -> tuple[int, int]:
    """Width and height in pixels, at least 1: tables before validation have zeros."""
    return max(image["width"] or 0, 1), max(image["height"] or 0, 1)


def around(label: dict[str, Any], image: dict[str, Any]) -> View:
    """A square part of the picture around a label with a margin, as far as the picture reaches."""
    width, height = size_of(image)
    side = max(min(max(label["w"], label["h"]) * 1.25 + 4, width, height), 8.0)
    left, right = _span(label["x"] + label["w"] / 2, side, width)
    top, bottom = _span(label["y"] + label["h"] / 2, side, height)
    return left, top, right, bottom


def _span(middle: float, side: float, limit: int) -> tuple[int, int]:
    side = min(side, limit)
    start = min(max(middle - side / 2, 0.0), limit - side)
    low = min(int(start), limit - 1)
    return low, min(max(int(np.ceil(start + side)), low + 1), limit)


def _shrunk(pixels: np.ndarray, side: int) -> np.ndarray:
    longest = max(pixels.shape[:2])
    if longest <= side:
        return pixels
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    size = (max(round(picture.width * side / longest), 1), max(round(picture.height * side / longest), 1))
    return np.asarray(picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))


def named(file: str, limit: int = 30) -> Markup:
    """A file's name as far as there is room, without folders or its end alone; all of it in the tooltip."""
    shown = file if len(file) <= limit else PurePosixPath(file).name
    return element("bdi", shorten(shown, limit, keep_end=True), title=file)


def pairs(left: Markup, right: Markup, *lines: Child) -> Markup:
    """Two pictures side by side in one figure."""
    return captioned(element("div", left, right, class_="pair"), *lines)
