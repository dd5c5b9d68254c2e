"""The displayed size of a picture, from its headers."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image

from tasks.data.headers import read_header
from tasks.data.pictures import DECODERS, MAX_PIXELS, orientation_of

WHOLE = 64 << 20  # a larger file is left to Pillow, which reads only what it needs


def header_size(path: Path) -> tuple[int, int] | None:
    """Width and height in pixels as displayed, as `measure` has them, or None where the headers are unreadable."""
    try:
        header = read_header(path.read_bytes()) if path.stat().st_size < WHOLE else None
        width, height, orientation = header or _by_pillow(path)
    except Exception:  # decoders raise OSError, SyntaxError, ValueError, struct.error, …
        return None
    if width * height == 0:
        return None
    return (height, width) if orientation >= 5 else (width, height)  # 5 to 8 exchange the axes


def _by_pillow(path: Path) -> tuple[int, int, int]:
    with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning), \
            Image.open(path, formats=DECODERS) as picture:
        width, height = picture.size
        # a PNG is decoded for its orientation
        return width, height, 1 if width * height > MAX_PIXELS else orientation_of(picture)
