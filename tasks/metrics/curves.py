"""Precision-recall curves, the best score threshold of each class, and the confusion between classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tasks.metrics.detections import Boxes, detected_boxes, truth_boxes
from tasks.metrics.matching import Pairs, by_class, claim, coco_outcomes, overlaps, ranks

if TYPE_CHECKING:
    from tasks.data.table import Dataset

Threshold = float | Mapping[str, float]


@dataclass(frozen=True)
class Curve:
    """Precision and recall, 0..1, of the detections with at least `score`, which falls; float64, all of one length."""

    score: np.ndarray
    precision: np.ndarray
    recall: np.ndarray

    @property
    def f1(self) -> np.ndarray:
        """Harmonic mean of precision and recall, 0 where both are."""
        total = self.precision + self.recall
        return np.divide(2 * self.precision * self.recall, total, out=np.zeros_like(total), where=total > 0)

    def thinned(self, points: int) -> Curve:
        """At most `points` of the points, evenly apart, the first and the last among them; for drawing."""
        if len(self.score) <= points:
            return self
        rows = np.linspace(0, len(self.score) - 1, points).round().astype(int)
        return Curve(self.score[rows], self.precision[rows], self.recall[rows])


def pr_curves(dataset: Dataset, detections: pa.Table, *, iou: float = 0.5) -> dict[str, Curve | None]:
    """The precision-recall curve of each class at one IoU threshold; None for a class without ground truth.

    Matched as COCO does: crowds do not count, difficult boxes do. There is one point for each score that occurs, so
    equal scores share theirs.
    """
    truth, found = truth_boxes(dataset), detected_boxes(dataset, detections)
    names = dataset.meta.classes
    if not names:
        return {}
    totals = np.bincount(truth.label[~truth.crowd], minlength=len(names)).tolist()
    sides = by_class(found, coco_outcomes(truth, found, iou), len(names))
    return {
        name: _curve(true, score, total) if total else None
        for name, true, score, total in zip(names, *sides, totals, strict=True)
    }


def best_thresholds(
    dataset: Dataset, detections: pa.Table, *, iou: float = 0.5
) -> dict[str, dict[str, float] | None]:
    """For each class the score threshold of the highest F1: score, f1, precision, recall, all 0..1.

    Of equal ones the highest score. None for a class without ground truth or without a true detection.
    """
    best: dict[str, dict[str, float] | None] = {}
    for name, curve in pr_curves(dataset, detections, iou=iou).items():
        best[name] = None
        if curve is not None and curve.f1.any():
            at = int(curve.f1.argmax())
            best[name] = {key: float(getattr(curve, key)[at]) for key in ("score", "f1", "precision", "recall")}
    return best


def confusion(
    dataset: Dataset, detections: pa.Table, *, score_threshold: Threshold, iou: float = 0.5
) -> np.ndarray:
    """How often each true class (row) was taken for each detected class (column); int64 [classes + 1, classes + 1].

    The last row is background: false alarms. The last column is background: missed objects. Objects first go to
    detections of their own class, by falling score; what is left is paired across classes.

    Args:
        score_threshold: detections below it are left out; a mapping has one for each class, the others have 0.5.
    """
    names = dataset.meta.classes
    compared = compare(dataset, detections, score_threshold, iou)
    truth, found = compared.truth, compared.found
    matrix = np.zeros((len(names) + 1, len(names) + 1), np.int64)
    for pairs in (compared.right, compared.wrong):
        np.add.at(matrix, (truth.label[pairs.truth], found.label[pairs.found]), 1)
    np.add.at(matrix[:, -1], truth.label[compared.missed], 1)
    np.add.at(matrix[-1], found.label[compared.alarms], 1)
    return matrix


@dataclass(frozen=True)
class Compared:
    """Ground truth without crowds and detections above the threshold: what is `right`, what is of the `wrong` class.

    `missed` and `alarms` are the rows of truth and of detections in neither; a detection in a crowd is no alarm.
    """

    truth: Boxes
    found: Boxes
    right: Pairs
    wrong: Pairs
    missed: np.ndarray
    alarms: np.ndarray


def compare(dataset: Dataset, detections: pa.Table, score_threshold: Threshold, iou: float) -> Compared:
    """Pair objects and detections within the classes, then across them; arguments as `confusion`."""
    everything, found = truth_boxes(dataset), detected_boxes(dataset, detections)
    found = found.take(found.score >= score_thresholds(dataset, score_threshold)[found.label])
    truth, crowd = everything.take(~everything.crowd), everything.take(everything.crowd)
    right = claim(overlaps(truth, found, iou), ranks(found), len(truth))
    missed = np.setdiff1d(np.arange(len(truth)), right.truth)
    alarms = np.setdiff1d(np.arange(len(found)), np.concatenate([right.found, overlaps(crowd, found, iou).found]))
    wrong = claim(overlaps(truth.take(missed), found.take(alarms), iou, same_class=False),
                  ranks(found.take(alarms)), len(missed))
    wrong = Pairs(alarms[wrong.found], missed[wrong.truth], wrong.iou)
    missed, alarms = np.setdiff1d(missed, wrong.truth), np.setdiff1d(alarms, wrong.found)
    return Compared(truth, found, right, wrong, missed, alarms)


def score_thresholds(dataset: Dataset, threshold: Threshold) -> np.ndarray:
    """The score threshold of each class, float64 [class]; a mapping's missing classes have 0.5."""
    names = dataset.meta.classes
    named = threshold if isinstance(threshold, Mapping) else dict.fromkeys(names, threshold)
    return np.array([named.get(name, 0.5) for name in names], float)


def _curve(true: np.ndarray, score: np.ndarray, total: int) -> Curve:
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1) if len(score) else np.zeros(0, int)
    hits = np.cumsum(true)[last]
    return Curve(score[last], hits / (last + 1), hits / total)
