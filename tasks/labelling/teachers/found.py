"""What a teacher is asked, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

# boxes of lower scores are not kept: what a calibration and the count of missed objects still learn from
FLOOR = 0.05


@dataclass(frozen=True)
class Found:
    """Boxes on one picture after suppression, best first, with scores above `FLOOR`.

    Attributes:
        boxes: float32 [n, 4] xyxy in pixels of the picture.
        scores: float32 [n], 0..1.
        labels: int64 [n], places in the teacher's `classes`.
        margin, spread, support: float32 [n], see `tasks.labels.features.candidate_features`.
        polygons: of each box its outlines [[x1, y1, x2, y2, …], …] in pixels; None of a teacher that draws boxes alone.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    margin: np.ndarray
    spread: np.ndarray
    support: np.ndarray
    polygons: list[list[list[float]]] | None = None

    def __len__(self) -> int:
        return len(self.scores)


class Teacher(Protocol):
    """Something that labels.

    One that can be pickled looks in several processes at once; it then opens itself there with one thread.

    Attributes:
        name: what stands behind `model:` in the column `source`.
        digest: SHA-256 of the model and of how its classes are mapped.
        classes: names in the order of `Found.labels`: the pool's list.
        notes: what a person should know of the mapping.
    """

    name: str
    digest: str
    classes: list[str]
    notes: list[str]

    def ask(self, pictures: list[np.ndarray]) -> list[Found]:
        """What is on each picture, uint8 [H, W, 3] RGB."""


def nothing(polygons: bool = False) -> Found:
    """No box at all."""
    none = np.zeros(0, np.float32)
    return Found(np.zeros((0, 4), np.float32), none, np.zeros(0, np.int64), none, none, none, [] if polygons else None)
