"""What the pixels of a mask file say: indices, palettes, colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from tasks.base.errors import DataError
from tasks.data.pictures import Location, read_with
from tasks.data.table import Meta

IGNORED = 255
INDEXED, COLOURED = ("1", "L", "P", "LA", "PA"), ("RGB", "RGBA")
Colour = tuple[int, int, int]


def read_mask(place: Location, meta: Meta) -> np.ndarray:
    """The classes of a picture's pixels: uint8 [height, width], positions in `meta.classes`, 255 counts for nothing.

    Raises:
        DataError: it is no mask that can be read.
    """
    told = meta.attributes.get("masks")
    colours = {tuple(rgb): int(value) for value, rgb in (told or {}).get("colors", {}).items()}
    ids = meta.attributes.get("ids") or {name: place for place, name in enumerate(meta.classes)}
    meaning = np.full(256, IGNORED, np.uint8)
    for number, name in enumerate(meta.classes):
        if 0 <= ids.get(name, -1) < len(meaning):
            meaning[ids[name]] = number
    return meaning[values_of(place, colours)]


def values_of(place: Location, colours: Mapping[Any, int]) -> np.ndarray:
    """The values of a mask's pixels: uint8 [height, width]; colours that nobody named are 255.

    Args:
        colours: red, green, blue → value, for masks that are not indexed.

    Raises:
        DataError: it is no picture, has 16 bits, or colours that nobody named.
    """
    pixels = read_with(place, _pixels)
    if pixels is None:
        raise DataError("not a mask of 8 bits", where=place,
                        mend="save it again with the number of its class in each pixel")
    if pixels.ndim == 2:
        return pixels
    if colours:
        code = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
        found = np.full(code.shape, IGNORED, np.uint8)
        for (red, green, blue), value in colours.items():
            found[code == red << 16 | green << 8 | blue] = value
        return found
    if not grey(pixels):
        raise DataError("a coloured mask, and no list says what its colours mean", where=place,
                        mend="put labelmap.txt beside it: one line a class, name:red,green,blue::")
    return pixels[..., 0]


def header(place: Location) -> tuple[str, int, int]:
    """Mode, width and height of a mask, nothing decoded.

    Raises:
        DataError: it is no picture.
    """
    return read_with(place, lambda picture: (picture.mode, *picture.size))


def palette(place: Location) -> list[Colour]:
    """The colours of an indexed mask, by value; empty where it has none."""
    flat = read_with(place, lambda picture: picture.getpalette("RGB") if picture.mode == "P" else None) or []
    return [(flat[i], flat[i + 1], flat[i + 2]) for i in range(0, len(flat) - 2, 3)]


def grey(pixels: np.ndarray) -> bool:
    """Whether a coloured mask says the same number three times."""
    return bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all())


def _pixels(picture: Image.Image) -> np.ndarray | None:
    if picture.mode in INDEXED:
        pixels = np.asarray(picture)
        return (pixels if pixels.ndim == 2 else pixels[..., 0]).astype(np.uint8)
    return np.asarray(picture)[..., :3] if picture.mode in COLOURED else None
