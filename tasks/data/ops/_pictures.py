"""Pictures of a version read, and those made from them written."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from tasks.base.errors import DataError
from tasks.data.ops import Making, Parent
from tasks.data.pictures import Location, Member, measure, read_with, upright

# No metadata, and the same bytes for the same pixels as long as Pillow's libraries stay the same. Runs alone take half
# the time of zlib's search, and 1 % more bytes on photographs
PNG: dict[str, Any] = {"format": "PNG", "compress_level": 6, "compress_type": zlib.Z_RLE}
JPEG: dict[str, Any] = {"format": "JPEG", "quality": 95, "subsampling": 0}
JPEGS = frozenset({".jpg", ".jpeg"})
# a class id that counts for nothing
NOTHING = 255


def location(parent: Parent, image: Mapping[str, Any]) -> Location:
    """Where the bytes of a picture of the table are."""
    if image["shard"] is None:
        return parent.pictures / image["file"]
    return Member(parent.pictures / image["shard"], image["offset"], image["bytes"], image["file"])


def read_pixels(parent: Parent, image: Mapping[str, Any]) -> Image.Image:
    """A picture as displayed, RGB, or L where it is grey.

    Raises:
        DataError: it cannot be read, or is not of the size that the table says.
    """
    return _read(location(parent, image), image, upright)


def read_beside(parent: Parent, image: Mapping[str, Any]) -> dict[str, Image.Image]:
    """The `mask` and the `reference` of a picture, as far as it has them.

    Raises:
        DataError: one cannot be read or is not of the picture's size, or a mask is no picture of class ids.
    """
    found = {name: _read(parent.pictures / image[name], image, decode)
             for name, decode in (("mask", ids_of), ("reference", upright)) if image[name] is not None}
    if "mask" in found and found["mask"].mode != "L":
        raise DataError(f"a mask is a picture of class ids, with one channel of 8 bits; this is {found['mask'].mode}",
                        where=parent.pictures / image["mask"], mend="convert it")
    return found


def ids_of(picture: Image.Image) -> np.ndarray:
    """The values of a picture as they are stored, of a palette picture the indices."""
    values = np.asarray(picture)
    return values.astype(np.uint8) if values.dtype == np.bool_ else values


def _read(place: Location, image: Mapping[str, Any], decode: Callable[[Image.Image], np.ndarray]) -> Image.Image:
    pixels = read_with(place, decode)
    if pixels.shape[:2] != (image["height"], image["width"]):
        raise DataError(f"{pixels.shape[1]} x {pixels.shape[0]} pixels, where the table says {image['width']} x "
                        f"{image['height']}", where=place, mend="import the pictures again")
    if decode is upright and _is_grey(pixels[::16, ::16]) and _is_grey(pixels):
        pixels = np.ascontiguousarray(pixels[..., 0])
    return Image.fromarray(pixels)


def _is_grey(pixels: np.ndarray) -> bool:
    return all(np.array_equal(pixels[..., 0], pixels[..., channel]) for channel in (1, 2))


def new_name(file: str, mark: str, suffix: str = ".png") -> str:
    """A name for a picture made from `file`: legible, of any file system's letters and length, and its alone."""
    path = PurePosixPath(file)
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", path.stem)[:80].lstrip(".")
    return f"{stem}-{hashlib.sha256(file.encode()).hexdigest()[:12]}_{mark}{suffix}"


def save(picture: Image.Image, making: Making, name: str) -> str:
    """Write a picture below `making.pictures`, JPEG or PNG by its name; returns what the table calls it.

    Several pictures may have one reference: what is there stays.
    """
    path = making.pictures / name
    if not path.exists():
        handle, beside = tempfile.mkstemp(dir=making.pictures, prefix=".")
        with os.fdopen(handle, "wb") as file:
            picture.save(file, **(JPEG if path.suffix.lower() in JPEGS else PNG))
        Path(beside).chmod(0o644)
        Path(beside).replace(path)
    return f"{making.origin}/{name}"


def new_image(image: Mapping[str, Any], making: Making, name: str, origin: dict[str, Any],
              **changes: Any) -> dict[str, Any]:
    """The row of a new picture that was made from that of `image`: measured, and of its group.

    Args:
        name: the new picture's, below `making.pictures`.
        origin: what its attributes say of how it was made.
    """
    found = measure(making.pictures / name)
    told = json.loads(image["attributes"]) if image["attributes"] else {}
    own = {"file": f"{making.origin}/{name}", "width": found.width, "height": found.height, "digest": found.digest,
           "bytes": found.bytes, "orientation": found.orientation, "shard": None, "offset": None,
           "group": group_of(image), "attributes": json.dumps(told | origin, sort_keys=True, ensure_ascii=False)}
    return dict(image) | own | changes


def group_of(image: Mapping[str, Any]) -> str:
    """What a picture and all that is made from it have in common, so that no split tears them apart."""
    return image["group"] if image["group"] is not None else image["file"]
