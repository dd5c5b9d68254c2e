"""Pixels of pictures, decoded no larger than needed; brightness and mask shares of a sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from tasks.base.errors import DataError
from tasks.data.pictures import DECODERS, Location, Member, find_flaw, open_bytes, over_pictures, read_picture
from tasks.data.rows import Row
from tasks.reporting.card.bins import NONE, SHADES, ordered

SAMPLED = 512  # pictures whose pixels are looked at
GLANCE = 96  # pixels of the shorter side that are enough for a mean
VOID = 255  # in a mask: counts for nothing
LUMA = np.array([0.299, 0.587, 0.114])  # Rec. 601, as JPEG's own Y
THREADS = 4


def place(pictures: Path, image: dict[str, Any]) -> Location:
    """Where the bytes of a picture are."""
    if image["shard"] is None:
        return pictures / image["file"]
    return Member(pictures / image["shard"], image["offset"], image["bytes"], image["file"])


def read_small(where: Location, scale: float) -> np.ndarray | None:
    """RGB as displayed, uint8 [h, w, 3]; a JPEG is decoded at the smallest of 1/8, 1/4, 1/2 that is not below `scale`.

    None where it cannot be read.
    """
    try:
        if find_flaw(where, decode=False) is not None:
            return None
        with open_bytes(where) as file, Image.open(file, formats=DECODERS) as picture:
            if picture.format == "JPEG":
                width, height = (max(int(side * min(scale, 1.0)), 1) for side in picture.size)
                picture.draft("RGB", (width, height))
                return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
        return read_picture(where)
    except (DataError, OSError, ValueError, SyntaxError):
        return None


def read_mask(path: Path) -> np.ndarray | None:
    """Class ids, [h, w] integers; None where it cannot be read or has no single channel."""
    try:
        if find_flaw(path, decode=False) is not None:
            return None
        with Image.open(path, formats=DECODERS) as picture:
            ids = np.asarray(picture)
    except (OSError, ValueError, SyntaxError):
        return None
    return ids.astype(np.int32) if ids.ndim == 2 else None


def brightness(pictures: Path, sample: Sequence[Row]) -> dict[str, Any]:
    """Mean luminance, 0 black to 255 white, of each picture of a sample: per split in `SHADES` bins.

    The darkest and the brightest are named.
    """
    def mean(row: Row) -> float | None:
        side = max(min(row.image["width"], row.image["height"]), 1)
        pixels = read_small(place(pictures, row.image), GLANCE / side)
        return None if pixels is None else float((pixels.mean(axis=(0, 1)) @ LUMA).round(3))

    values = list(over_pictures(mean, sample, THREADS))
    known = [(value, row.image) for value, row in zip(values, sample, strict=True) if value is not None]
    counts: dict[str, list[int]] = {}
    for value, image in known:
        bins = counts.setdefault(image["split"] or NONE, [0] * SHADES)
        bins[min(int(value * SHADES / 256), SHADES - 1)] += 1
    known.sort(key=lambda one: (one[0], one[1]["file"]))
    named = [{"image_id": image["image_id"], "file": image["file"], "value": value} for value, image in known]
    return {"sampled": len(values), "unreadable": values.count(None), "darkest": named[:4],
            "brightest": named[::-1][:4] if len(named) > 4 else [],
            "counts": {split: counts[split] for split in ordered(set(counts))}}


def mask_shares(pictures: Path, sample: Sequence[Row], classes: int) -> dict[str, Any]:
    """Of the masks of a sample: pixels of each class id, and pictures that it is in; `void` counts for nothing."""
    masked = [row for row in sample if row.image["mask"]]

    def count(row: Row) -> np.ndarray | None:
        ids = read_mask(pictures / row.image["mask"])
        return None if ids is None else np.bincount(np.clip(ids, 0, 65535).ravel(), minlength=classes)

    pixels, seen = np.zeros(65536, np.int64), np.zeros(65536, np.int64)
    unreadable = 0
    for counts in over_pictures(count, masked, THREADS):
        if counts is None:
            unreadable += 1
        else:
            pixels[: len(counts)] += counts
            seen[: len(counts)] += counts > 0
    unknown = int(pixels[classes:].sum() - (pixels[VOID] if classes <= VOID else 0))
    return {"sampled": len(masked), "unreadable": unreadable, "unknown": unknown,
            "void": int(pixels[VOID]) if classes <= VOID else 0,
            "pixels": pixels[:classes].tolist(), "pictures": seen[:classes].tolist()}
