"""Changed copies of a picture whose boxes stay where they are, or come back: what a sure model says the same of.

Those of Yu et al. 2022 (CALD, arXiv 2103.10374) without the rotation, after which a box is no box any more.
"""

from __future__ import annotations

import numpy as np

from tasks.runtime.letterbox import FILL

CUTS, LEAST, MOST = 2, 0.05, 0.20  # how many parts are covered, and their sides as shares of the picture's
SMALLER = 0.8


def mirror(picture: np.ndarray) -> np.ndarray:
    """Left and right exchanged, uint8 [H, W, 3]."""
    return np.ascontiguousarray(picture[:, ::-1])


def covered(picture: np.ndarray, seed: int) -> np.ndarray:
    """Two rectangles covered with grey; the same ones for the same seed."""
    rng = np.random.default_rng(seed)
    height, width = picture.shape[:2]
    copy = picture.copy()
    for _ in range(CUTS):
        tall, wide = (max(1, round(side * rng.uniform(LEAST, MOST))) for side in (height, width))
        top, left = int(rng.integers(0, height - tall + 1)), int(rng.integers(0, width - wide + 1))
        copy[top:top + tall, left:left + wide] = FILL
    return copy


def smaller(picture: np.ndarray) -> np.ndarray:
    """The picture at the top left of a grey one that is larger: a network with a fixed input sees it at 0.8.

    To scale it would change nothing, since it is fitted into the input anyway. Boxes stay where they are.
    """
    height, width = picture.shape[:2]
    canvas = np.full((round(height / SMALLER), round(width / SMALLER), 3), FILL, np.uint8)
    canvas[:height, :width] = picture
    return canvas
