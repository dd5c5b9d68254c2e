"""A picture from bytes that a stranger sent, and the scores that count. For every server alike; numpy and Pillow."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from tasks.data.pictures import DECODERS, MAX_PIXELS, upright
from tasks.serving.coded import BadPicture

# score from which a detection counts where a file states none
DEFAULT_THRESHOLD = 0.5


def decode(content: bytes | memoryview) -> np.ndarray:
    """The pixels as displayed, uint8 [H, W, 3] RGB, as `tasks.data.pictures.read_picture` gives them of a file.

    Raises:
        BadPicture: not a picture, cut off, or more than `MAX_PIXELS`, which is known before a pixel is decoded.
    """
    try:
        with Image.open(io.BytesIO(content), formats=DECODERS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise BadPicture(f"has {picture.width} x {picture.height} pixels, too many: at most {MAX_PIXELS:,}")
            return upright(picture)
    except BadPicture:
        raise
    except Image.DecompressionBombError as error:
        raise BadPicture(f"has too many pixels: {error}") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error, …
        reason = str(error).split(" <")[0][:120] if content else "it has 0 bytes"
        raise BadPicture(f"is not a picture that can be read: {reason}") from None


def thresholds_of(stated: Any, classes: list[str]) -> np.ndarray:
    """float32 [K] from one number, a list, or class name → number; `DEFAULT_THRESHOLD` where nothing is stated."""
    if stated is None:
        stated = DEFAULT_THRESHOLD
    if isinstance(stated, dict):
        stated = [stated.get(name, DEFAULT_THRESHOLD) for name in classes]
    return np.broadcast_to(np.asarray(stated, dtype=np.float32), (len(classes),)).copy()
