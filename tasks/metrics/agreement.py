"""Do two artefacts of one model say the same of a picture? Their detections, matched one to one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tasks.metrics.detections import Boxes, detected_boxes
from tasks.metrics.matching import claim, overlaps, ranks

if TYPE_CHECKING:
    from tasks.data.table import Dataset

SHOWN = 0.3  # a detection below this score comes and goes with the last bits; it may be a partner, it needs none


@dataclass(frozen=True)
class Agreement:
    """How two tables of detections agree.

    Attributes:
        iou: least overlap of partners, 0..1.
        shown: detections of both sides with a score of `SHOWN` or more.
        unmatched: those of them without a partner.
        score_difference: largest difference of the scores of two partners, 0..1.
        worst: image id of the picture on which they agree least; None without detections.
    """

    iou: float
    shown: int
    unmatched: int
    score_difference: float
    worst: int | None

    @property
    def unmatched_share(self) -> float:
        """0..1; 0 where nothing is shown."""
        return self.unmatched / self.shown if self.shown else 0.0

    def numbers(self) -> dict[str, float]:
        """Plain data: iou, shown, unmatched, unmatched_share, max_score_difference."""
        return {"iou": self.iou, "shown": self.shown, "unmatched": self.unmatched,
                "unmatched_share": self.unmatched_share, "max_score_difference": self.score_difference}


def agreement(dataset: Dataset, one: pa.Table, other: pa.Table, iou: float) -> Agreement:
    """Match detections of one class that overlap by at least `iou` > 0, highest score first, each once.

    Raises:
        DataError: a detection of an unknown picture or class, or one that is not finite.
    """
    sides = [detected_boxes(dataset, table) for table in (one, other)]
    partners = claim(overlaps(sides[0], sides[1], iou), ranks(sides[1]), len(sides[0]))
    alone = [_alone(side, taken) for side, taken in zip(sides, (partners.truth, partners.found), strict=True)]
    apart = np.abs(sides[0].score[partners.truth] - sides[1].score[partners.found])
    shown = sum(int((side.score >= SHOWN).sum()) for side in sides)
    images = np.concatenate([*(part.image for part in alone), sides[0].image[partners.truth]])
    blame = np.concatenate([*(part.score for part in alone), apart])
    return Agreement(iou, shown, sum(map(len, alone)), float(apart.max(initial=0.0)), _most_blamed(images, blame))


def _alone(boxes: Boxes, taken: np.ndarray) -> Boxes:
    free = boxes.score >= SHOWN
    free[taken] = False
    return boxes.take(free)


def _most_blamed(images: np.ndarray, blame: np.ndarray) -> int | None:
    if not len(images):
        return None
    ids, places = np.unique(images, return_inverse=True)
    return int(ids[np.argmax(np.bincount(places, blame))])
