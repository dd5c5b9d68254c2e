"""Before the network and behind it: reading, fitting, choosing what counts. For predict.py; needs numpy and pillow."""

from __future__ import annotations

import numpy as np
from PIL import Image

from tasks.data.pictures import DECODERS, upright
from tasks.runtime.choosing import choose
from tasks.runtime.letterbox import letterbox

__all__ = ["choose", "letterbox", "read"]


def read(path: str) -> np.ndarray:
    """The picture as displayed, uint8 [H, W, 3] RGB; 16 bits are scaled to 8."""
    with Image.open(path, formats=DECODERS) as picture:
        return upright(picture)
