"""How a picture is fitted into a network's fixed input: scaled with its aspect kept, padded at the right and bottom."""

from __future__ import annotations

import numpy as np
from PIL import Image

FILL = 114  # grey level of the padding


def scale_of(height: int, width: int, into: tuple[int, int]) -> float:
    """The factor by which a picture of `height` × `width` is scaled to fit `into` (height, width)."""
    return min(into[0] / height, into[1] / width)


def resize(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale uint8 [H, W, 3] to `size` (height, width).

    Pillow's bilinear filter widens with the reduction, so that small things do not alias.
    """
    if size == picture.shape[:2]:
        return picture
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def letterbox(picture: np.ndarray, into: tuple[int, int]) -> tuple[np.ndarray, float]:
    """Fit uint8 [H, W, 3] into uint8 [into[0], into[1], 3]; also returns the factor from original to input pixels."""
    height, width = picture.shape[:2]
    scale = scale_of(height, width, into)
    size = (min(into[0], max(1, round(height * scale))), min(into[1], max(1, round(width * scale))))
    canvas = np.full((*into, 3), FILL, dtype=np.uint8)
    canvas[: size[0], : size[1]] = resize(picture, size)
    return canvas, scale
