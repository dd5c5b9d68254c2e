"""Pictures decoded straight to a smaller size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from tasks.data.pictures import Location, orientation_of, read_with, turned, upright
from tasks.runtime.letterbox import resize

Size = tuple[int, int]  # height, width


def read_scaled(place: Location, size_of: Callable[[int, int], Size]) -> tuple[np.ndarray, Size]:
    """The pixels as displayed, at another size: uint8 [height, width, 3]; and the height and width before.

    A JPEG that is at least twice as large is decoded to a half, a quarter or an eighth of its size, which takes a
    fraction of the time; the rest of the way, and all other pictures, by Pillow's bilinear filter.

    Args:
        size_of: gives the wanted height and width from those of the picture.

    Raises:
        DataError: not a picture, truncated, or more than `MAX_PIXELS`.
    """
    return read_with(place, lambda picture: _scaled(picture, size_of))


def _scaled(picture: Image.Image, size_of: Callable[[int, int], Size]) -> tuple[np.ndarray, Size]:
    if picture.format not in ("JPEG", "MPO"):
        pixels = upright(picture)
        return resize(pixels, size_of(*pixels.shape[:2])), pixels.shape[:2]
    orientation = orientation_of(picture)
    width, height = picture.size
    before = (width, height) if orientation >= 5 else (height, width)  # 5 to 8 exchange the axes
    size = size_of(*before)
    wanted = size if orientation >= 5 else (size[1], size[0])
    if min(width // wanted[0], height // wanted[1]) < 2 or not (drafted := picture.draft("", wanted)):
        return resize(upright(picture), size), before
    # a draft of an odd size ends between two pixels: the box says where
    small = picture.convert("RGB").resize(wanted, Image.Resampling.BILINEAR, box=drafted[1])
    return np.asarray(turned(small, orientation)), before
