"""What a detector says of one picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Detections:
    """Detections of one picture, best first.

    Attributes:
        boxes: float32 [n, 4], xyxy in pixels of the original picture.
        scores: float32 [n] in 0..1, descending.
        class_ids: int64 [n], index into the classes.
    """

    boxes: np.ndarray
    scores: np.ndarray
    class_ids: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)
