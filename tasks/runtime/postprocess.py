"""From raw candidates to detections: threshold, top-k, class-wise non-maximum suppression, for every runtime alike."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

import numpy as np

from tasks.base.errors import DataError
from tasks.runtime.choosing import NMS_IOU, choose, suppress
from tasks.runtime.detections import Detections

__all__ = ["MAX_DETECTIONS", "NMS_IOU", "TOP_K", "Suppression", "detections_of", "suppress"]

TOP_K = 1000  # candidates that enter the suppression
MAX_DETECTIONS = 100


@dataclass(frozen=True)
class Suppression:
    """How raw candidates become detections; it travels in an exported file's metadata.

    Attributes:
        iou: a box that overlaps a better one of its class by more than this is dropped, 0..1; None for networks
            that need no suppression.
        top_k: the best candidates, over all classes, that enter the suppression.
        max_detections: the best that are returned.

    Raises:
        ValueError: a value out of its range.
    """

    iou: float | None = NMS_IOU
    top_k: int = TOP_K
    max_detections: int = MAX_DETECTIONS

    def __post_init__(self) -> None:
        if self.iou is not None and not 0 <= self.iou <= 1:
            raise ValueError(f"iou is from 0 to 1, or None, got {self.iou!r}")
        for name in ("top_k", "max_detections"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 1:
                raise ValueError(f"{name} is a number of at least 1, got {getattr(self, name)!r}")

    @classmethod
    def from_json(cls, text: str | None) -> Suppression:
        """What `to_json` wrote; the defaults where a file says nothing (None or an empty text).

        Raises:
            DataError: no JSON object, an unknown key, or a value out of its range.
        """
        try:
            told = json.loads(text) if text else {}
            if not isinstance(told, dict):
                raise ValueError("no JSON object")
            unknown = set(told) - {field.name for field in fields(cls)}
            if unknown:
                raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
            return cls(**told)
        except (TypeError, ValueError) as error:
            raise DataError(f"the suppression is not understood: {error}", where=text,
                            mend="export the file again") from None

    def to_json(self) -> str:
        """JSON with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True)


DEFAULT = Suppression()


def detections_of(
    boxes: np.ndarray,
    scores: np.ndarray,
    *,
    size: tuple[int, int],
    scale: float,
    score_threshold: float | np.ndarray = 0.05,
    max_detections: int | None = None,
    suppression: Suppression = DEFAULT,
) -> Detections:
    """Detections of one picture from its raw candidates, best first; equal scores stay in the candidates' order.

    Args:
        boxes: float32 [A, 4] xyxy in input pixels.
        scores: float32 [A, K] in 0..1.
        size: height and width of the original picture, to which boxes are clipped.
        scale: factor from original to input pixels.
        score_threshold: one for all, or float [K], one a class.
        max_detections: the best that are returned; the suppression's own number when None.
        suppression: overlap, top-k and number of detections.
    """
    found = choose(boxes, scores, size, scale, score_threshold, suppression.iou, suppression.top_k,
                   max_detections or suppression.max_detections)
    return Detections(*found)
