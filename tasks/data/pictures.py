"""Reading and measuring pictures. What comes from outside is hostile: sizes are checked before pixels are decoded."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageOps

from tasks.base.errors import DataError
from tasks.base.files import CHUNK

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".gif"})
# the decoders that a picture may choose
DECODERS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "PPM", "GIF")
# 270 MB as RGB; a few kilobytes of PNG can ask for far more
MAX_PIXELS = 90_000_000
EXIF_ORIENTATION = 0x0112
BATCH = 4096

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True)
class Measured:
    """What is known of a picture file without decoding it; width and height are 0 where the header is unreadable."""

    width: int
    height: int
    orientation: int
    bytes: int
    digest: str


def read_picture(path: Path) -> np.ndarray:
    """The pixels as displayed: uint8 [height, width, 3], RGB, EXIF orientation applied.

    Raises:
        DataError: not a picture, truncated, or more than `MAX_PIXELS`.
    """
    flaw = find_flaw(path, decode=False)
    if flaw is None:
        try:
            with Image.open(path, formats=DECODERS) as picture:
                return np.asarray(_eight_bit(ImageOps.exif_transpose(picture)).convert("RGB"))
        except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error, …
            flaw = ("truncated", str(error))
    mend = f"replace or remove the picture; in a line: validate.{flaw[0]}: drop"
    raise DataError(f"picture is {flaw[0].replace('_', ' ')}: {flaw[1]}", where=path, mend=mend)


def find_flaw(path: Path, decode: bool = True) -> tuple[str, str] | None:
    """What is wrong with a picture file: (`zero_size`, `unreadable`, `too_large` or `truncated`, reason), or None.

    Args:
        decode: decode all pixels, which alone finds a truncated picture.
    """
    try:
        if path.stat().st_size == 0:
            return "zero_size", "the file has 0 bytes"
        with _quiet_about_bombs(), Image.open(path, formats=DECODERS) as picture:
            return _flaw_of_size(*picture.size) or (_flaw_of_pixels(picture) if decode else None)
    except Image.DecompressionBombError as error:
        return "too_large", str(error)
    except Exception as error:
        reason = str(error).replace(str(path), path.name)
        return "truncated" if "truncated" in reason.lower() else "unreadable", reason


def measure(path: Path) -> Measured:
    """Digest and displayed size of one picture; reads the bytes, decodes nothing."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    width, height, orientation = _header(path)
    if orientation >= 5:  # 5 to 8 exchange the axes
        width, height = height, width
    return Measured(width, height, orientation, size, digest.hexdigest())


def over_pictures(function: Callable[[S], T], items: Iterable[S], threads: int | None = None) -> Iterator[T]:
    """`map` on a few threads, in order. Hashing and decoding release the GIL; no more than `BATCH` results wait."""
    with ThreadPoolExecutor(threads or min(8, cpu_count() or 1)) as pool:
        for batch in _batches(items):
            yield from pool.map(function, batch)


def _batches(items: Iterable[S]) -> Iterator[Sequence[S]]:
    batch: list[S] = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            yield batch
            batch = []
    yield batch


def _header(path: Path) -> tuple[int, int, int]:
    try:
        with _quiet_about_bombs(), Image.open(path, formats=DECODERS) as picture:
            orientation = int(picture.getexif().get(EXIF_ORIENTATION, 1) or 1)
            return *picture.size, orientation if 1 <= orientation <= 8 else 1
    except Exception:  # validate names the reason
        return 0, 0, 1


def _flaw_of_size(width: int, height: int) -> tuple[str, str] | None:
    if width * height > MAX_PIXELS:
        return "too_large", f"{width} x {height} pixels, more than {MAX_PIXELS:,}"
    return ("zero_size", f"{width} x {height} pixels") if width * height == 0 else None


def _flaw_of_pixels(picture: Image.Image) -> tuple[str, str] | None:
    try:
        picture.load()
    except Exception as error:
        return "truncated", str(error)
    return None


def _eight_bit(picture: Image.Image) -> Image.Image:
    # convert("RGB") clips 16-bit pictures to white instead of scaling them
    if picture.mode.startswith("I;16") or picture.mode == "I":
        return Image.fromarray((np.asarray(picture).clip(0, 65535) >> 8).astype(np.uint8))
    return picture


def _quiet_about_bombs() -> Any:
    # the size is checked here, with our own limit
    return warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning)
