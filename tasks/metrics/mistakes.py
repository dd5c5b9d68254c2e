"""The worst mistakes, for people to look at; the kinds are those of TIDE (Bolya et al., ECCV 2020), joined to four."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from tasks.metrics.curves import Compared, Threshold, compare
from tasks.metrics.detections import Boxes, detected_boxes
from tasks.metrics.matching import Pairs, claim, overlaps, ranks

if TYPE_CHECKING:
    from tasks.data.table import Dataset

Kind = Literal["missed", "false alarm", "wrong class", "badly placed"]
NEAR = 0.1  # the IoU from which TIDE takes a detection for a badly placed one, not for a false alarm


@dataclass(frozen=True)
class Mistake:
    """One object or detection that is wrong; boxes are x, y, w, h in pixels.

    `true_class` and `true_box` are None for a false alarm; `found_class`, `found_box` and `score` for a missed object.
    `severity`, 0..1, compares mistakes of one kind.
    """

    kind: Kind
    image_id: int
    severity: float
    true_class: str | None
    true_box: tuple[float, ...] | None
    found_class: str | None
    found_box: tuple[float, ...] | None
    score: float | None
    iou: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)


def worst_mistakes(
    dataset: Dataset, detections: pa.Table, *, score_threshold: Threshold = 0.5, limit: int = 50, iou: float = 0.5
) -> list[Mistake]:
    """The worst mistakes first, the kinds in turns: the worst of each kind, the second worst of each, and so on.

    False alarms and confused classes are the worse the higher their score, badly placed boxes the higher score times
    distance from IoU 1. A missed object is the worse the lower the best score that its class had on it, then the
    larger it is. A detection is in one mistake at most; a second detection of one object is a false alarm.

    Args:
        score_threshold: detections below it do not count; a mapping has one for each class, the others have 0.5.
        limit: how many to return at most.
    """
    compared = compare(dataset, detections, score_threshold, iou)
    placed, missed, alarms = _badly_placed(compared)
    truth, found, names = compared.truth, compared.found, dataset.meta.classes
    hope = _best_scores(truth.take(missed), detected_boxes(dataset, detections), iou)
    kinds = [
        _worst_first([_missed(truth, names, row, score) for row, score in zip(missed, hope, strict=True)]),
        _worst_first([_alarm(found, names, row) for row in alarms]),
        _worst_first(_pairs("wrong class", truth, found, names, compared.wrong)),
        _worst_first(_pairs("badly placed", truth, found, names, placed)),
    ]
    turns = [(place, kind, mistake) for kind, ranked in enumerate(kinds) for place, mistake in zip(count(), ranked)]
    return [mistake for _, _, mistake in sorted(turns, key=lambda turn: turn[:2])[:limit]]


def _badly_placed(compared: Compared) -> tuple[Pairs, np.ndarray, np.ndarray]:
    missed, alarms = compared.missed, compared.alarms
    truth, found = compared.truth.take(missed), compared.found.take(alarms)
    near = claim(overlaps(truth, found, NEAR), ranks(found), len(truth))
    pairs = Pairs(alarms[near.found], missed[near.truth], near.iou)
    return pairs, np.setdiff1d(missed, pairs.truth), np.setdiff1d(alarms, pairs.found)


def _best_scores(truth: Boxes, found: Boxes, iou: float) -> np.ndarray:
    pairs = overlaps(truth, found, iou)
    best = np.zeros(len(truth))
    np.maximum.at(best, pairs.truth, found.score[pairs.found])
    return best


def _worst_first(mistakes: list[Mistake]) -> list[Mistake]:
    def size(mistake: Mistake) -> float:
        box = mistake.true_box or mistake.found_box or (0, 0, 0, 0)
        return box[2] * box[3]

    return sorted(mistakes, key=lambda one: (-one.severity, -size(one), one.image_id))


def _missed(truth: Boxes, names: list[str], row: int, score: float) -> Mistake:
    return Mistake("missed", int(truth.image[row]), 1 - float(score), names[truth.label[row]], _box(truth, row),
                   None, None, None, None)


def _alarm(found: Boxes, names: list[str], row: int) -> Mistake:
    score = float(found.score[row])
    return Mistake("false alarm", int(found.image[row]), score, None, None, names[found.label[row]],
                   _box(found, row), score, None)


def _pairs(kind: Kind, truth: Boxes, found: Boxes, names: list[str], pairs: Pairs) -> list[Mistake]:
    mistakes = []
    for ours, theirs, iou in zip(pairs.found, pairs.truth, pairs.iou.tolist(), strict=True):
        score = float(found.score[ours])
        severity = score if kind == "wrong class" else score * (1 - iou)
        mistakes.append(Mistake(kind, int(found.image[ours]), severity, names[truth.label[theirs]],
                                _box(truth, theirs), names[found.label[ours]], _box(found, ours), score, iou))
    return mistakes


def _box(boxes: Boxes, row: int) -> tuple[float, ...]:
    return tuple(boxes.xywh[row].tolist())
