"""A few pictures made on the spot: bright shapes on a dull ground, with their boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tasks.plugins.folders import Sample, of_pixels

WIDTH, HEIGHT = 128, 96
COLOURS = np.array([[220, 60, 40], [50, 90, 230], [60, 200, 80], [230, 210, 50], [200, 60, 210], [60, 210, 210]])


def tiny(count: int, classes: Sequence[str], seed: int = 0) -> list[Sample]:
    """So many pictures of 128 × 96, with one to three rectangles of the classes' colours, at most one a quarter."""
    rng = np.random.default_rng(seed)
    return [_picture(rng, number, len(classes)) for number in range(count)]


def _picture(rng: np.random.Generator, number: int, classes: int) -> Sample:
    pixels = rng.integers(90, 120, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    quarters = rng.permutation(4)[:1 + number % 3]
    boxes, labels = [], []
    for quarter in quarters:
        w, h = rng.integers(24, 52), rng.integers(20, 40)
        x = int(quarter % 2) * WIDTH // 2 + int(rng.integers(2, WIDTH // 2 - w - 1))
        y = int(quarter // 2) * HEIGHT // 2 + int(rng.integers(2, HEIGHT // 2 - h - 1))
        label = int(rng.integers(classes))
        pixels[y:y + h, x:x + w] = COLOURS[label % len(COLOURS)]
        boxes.append([x, y, x + w, y + h])
        labels.append(label)
    return replace(of_pixels(pixels), boxes=np.array(boxes, np.float64), labels=np.array(labels, np.int64))
