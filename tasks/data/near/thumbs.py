"""A picture as a small square one: all that near-duplicates are found by."""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
from PIL import Image

from tasks.base.errors import DataError
from tasks.data.pictures import Location, orientation_of, read_with, turned, upright

SIDE = 64
Mode = Literal["L", "RGB"]


def thumbnail(place: Location, side: int = SIDE, mode: Mode = "L") -> np.ndarray | None:
    """The whole picture as displayed, squeezed into a square: uint8 [side, side], or [side, side, 3] as RGB.

    A JPEG is decoded at the smallest of its own scales that is at least twice as large. None where it cannot be read:
    `validate` has said why.
    """
    try:
        return read_with(place, lambda picture: np.asarray(_small(picture, side, mode)))
    except DataError:
        return None


def box_blur(x: np.ndarray, radius: int) -> np.ndarray:
    """The mean over a square of 2 radius + 1 pixels, mirrored at the edges: float32 [n, s, s]."""
    mean = _box(x.shape[1], radius)
    return mean @ x @ mean.T


def block_sums(x: np.ndarray, block: int) -> np.ndarray:
    """Sums over squares of `block` pixels: float32 [n, s / block, s / block]."""
    rows = np.repeat(np.eye(x.shape[1] // block, dtype=np.float32), block, axis=1)
    return rows @ x @ rows.T


@cache
def _box(side: int, radius: int) -> np.ndarray:
    places = np.arange(-radius, radius + 1) + np.arange(side)[:, None]
    mirrored = np.where(places < 0, -1 - places, np.where(places >= side, 2 * side - 1 - places, places))
    mean = np.zeros((side, side), np.float32)
    np.add.at(mean, (np.arange(side)[:, None], mirrored), 1 / (2 * radius + 1))
    return mean


def _small(picture: Image.Image, side: int, mode: Mode) -> Image.Image:
    if picture.format not in ("JPEG", "MPO"):
        return _squeezed(Image.fromarray(upright(picture)), side, mode)
    orientation = orientation_of(picture)
    drafted = picture.draft(mode, (2 * side, 2 * side))
    # a draft of an odd size ends between two pixels: the box says where
    return turned(_squeezed(picture, side, mode, drafted[1] if drafted else None), orientation)


def _squeezed(picture: Image.Image, side: int, mode: Mode, box: tuple[float, float, float, float] | None = None
              ) -> Image.Image:
    return picture.convert(mode).resize((side, side), Image.Resampling.BOX, box)
