"""Which detection found which object: overlaps, and the two rules by which detections claim ground truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.metrics.detections import Boxes

CHUNK = 2_000_000  # pairs at a time: 200 MB while they are measured
TRUE, FALSE, IGNORED = 1, 0, -1


@dataclass(frozen=True)
class Pairs:
    """Rows of detections and of ground truth that overlap, with their IoU float64 in 0..1; all [n]."""

    found: np.ndarray
    truth: np.ndarray
    iou: np.ndarray

    def __len__(self) -> int:
        return len(self.iou)

    def take(self, rows: np.ndarray) -> Pairs:
        """The rows chosen by an index or a mask."""
        return Pairs(self.found[rows], self.truth[rows], self.iou[rows])


def overlaps(truth: Boxes, found: Boxes, least: float, *, same_class: bool = True) -> Pairs:
    """All pairs on one picture (and of one class) with IoU >= `least` > 0, by detection, then by ground truth.

    With a crowd box the overlap is the share of the detection that lies in it, as COCO has it.
    """
    ours, theirs = (_groups(boxes, same_class) for boxes in (found, truth))
    order = np.argsort(theirs, kind="stable")
    low, high = (np.searchsorted(theirs[order], ours, side) for side in ("left", "right"))
    ends = np.cumsum(high - low)
    nothing = np.zeros(0, np.int64)
    parts, start = [_measure(truth, found, nothing, nothing, least)], 0
    while start < len(found):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + CHUNK, "right")))
        counts = (high - low)[start:stop]
        rows = np.repeat(np.arange(start, stop), counts)
        offsets = np.arange(len(rows)) - np.repeat(ends[start:stop] - counts - before, counts)
        parts.append(_measure(truth, found, order[low[rows] + offsets], rows, least))
        start = stop
    return Pairs(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("found", "truth", "iou")))


def ranks(found: Boxes) -> np.ndarray:
    """The place of each detection when the highest score goes first; equal scores keep the table's order."""
    places = np.empty(len(found), np.int64)
    places[np.argsort(-found.score, kind="stable")] = np.arange(len(found))
    return places


def claim(pairs: Pairs, rank: np.ndarray, truths: int) -> Pairs:
    """COCO's rule: by falling score each detection takes the free object that it overlaps most, of equals the later.

    All proposals go out at once and each object keeps its best-ranked one, until nobody is turned away: Gale and
    Shapley's algorithm, which ends in the same place as going one by one since every object ranks by score alike.
    """
    place = rank[pairs.found]
    order = np.lexsort((-pairs.truth, -pairs.iou, place))
    pairs, place = pairs.take(order), place[order]
    while True:
        first = np.unique(place, return_index=True)[1]
        holder = np.full(truths, len(rank))
        np.minimum.at(holder, pairs.truth[first], place[first])
        keep = place <= holder[pairs.truth]
        if keep.all():
            return pairs.take(first)
        pairs, place = pairs.take(keep), place[keep]


def coco_outcomes(truth: Boxes, found: Boxes, iou: float) -> np.ndarray:
    """TRUE, FALSE or IGNORED for each detection at one IoU threshold, as COCO decides; int8 [n]."""
    pairs = overlaps(truth, found, iou)
    crowd = truth.crowd[pairs.truth]
    outcomes = np.zeros(len(found), np.int8)
    outcomes[pairs.found[crowd]] = IGNORED
    outcomes[claim(pairs.take(~crowd), ranks(found), len(truth)).found] = TRUE
    return outcomes


def voc_outcomes(truth: Boxes, found: Boxes, iou: np.ndarray) -> np.ndarray:
    """TRUE, FALSE or IGNORED for each detection, as the VOC devkit decides; int8 [n].

    Each detection stands for the one object that it overlaps most: the highest score on it is true, the others are
    false, and none counts where that object is difficult or the place a crowd.

    Args:
        iou: the smallest overlap that counts, for each class, each above 0.
    """
    pairs = overlaps(truth, found, float(iou.min()))
    pairs = pairs.take(pairs.iou >= iou[found.label[pairs.found]])
    crowd = truth.crowd[pairs.truth]
    outcomes = np.zeros(len(found), np.int8)
    outcomes[pairs.found[crowd]] = IGNORED
    best = _best(pairs.take(~crowd))
    difficult = truth.difficult[best.truth]
    outcomes[best.found[~difficult]] = FALSE
    outcomes[best.found[difficult]] = IGNORED
    best = best.take(~difficult)
    best = best.take(np.argsort(ranks(found)[best.found]))
    outcomes[best.found[np.unique(best.truth, return_index=True)[1]]] = TRUE
    return outcomes


def by_class(found: Boxes, outcomes: np.ndarray, classes: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """For each class, highest score first: whether each detection that counts is true, and its score."""
    rows = np.flatnonzero(outcomes != IGNORED)
    rows = rows[np.lexsort((ranks(found)[rows], found.label[rows]))]
    cuts = np.searchsorted(found.label[rows], np.arange(1, classes))
    return np.split(outcomes[rows] == TRUE, cuts), np.split(found.score[rows], cuts)


def _best(pairs: Pairs) -> Pairs:
    pairs = pairs.take(np.lexsort((pairs.truth, -pairs.iou, pairs.found)))
    return pairs.take(np.unique(pairs.found, return_index=True)[1])


def _groups(boxes: Boxes, same_class: bool) -> np.ndarray:
    return boxes.image * (1 << 31) + boxes.label if same_class else boxes.image


def _measure(truth: Boxes, found: Boxes, theirs: np.ndarray, ours: np.ndarray, least: float) -> Pairs:
    a, b = truth.xywh[theirs], found.xywh[ours]
    sides = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    shared = sides.clip(0).prod(axis=1)
    area = b[:, 2] * b[:, 3]
    union = np.where(truth.crowd[theirs], area, area + a[:, 2] * a[:, 3] - shared)
    iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    near = iou >= least
    return Pairs(ours[near], theirs[near], iou[near])
