"""CALD: pictures whose changed copies are judged least consistently, then those whose classes the labels lack.

Yu et al. 2022, "Consistency-based Active Learning for Object Detection" (arXiv 2103.10374). YMIR's version for yolov5
adds up over boxes and picks the *most* consistent first; here it is the right way round.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from pydantic import Field

from tasks.labels.columns import boxes_of, iou_of, optional, places_of, together
from tasks.labels.mining.pool import boxes_on, whole_pictures
from tasks.labels.mining.strategy import Params, Ranked, Strategy, Task, best
from tasks.labels.mining.uncertain import class_name

BETA = 1.3


class Consistent(Params):
    """Parameters of `cald`.

    Attributes:
        shortlist: how many times the budget go to the second stage.
        empties: share of the budget for pictures without a box, more only where no others are left. The authors put
            all of these first, which in a pool that is mostly empty spends the budget on nothing.
    """

    shortlist: float = Field(default=1.2, ge=1, description="times the budget that the classes are balanced over")
    empties: float = Field(default=0.1, ge=0, le=1, description="share of the budget for pictures without a box")


def consistency(pictures: np.ndarray, reference: pa.Table, changed: Sequence[pa.Table],
                beta: float = BETA) -> np.ndarray:
    """C of each picture, float64 [n]; low: inconsistent.

    For a changed copy a (its boxes brought back to the picture), each reference box is compared with the box of a that
    it overlaps most, of whatever class: m = IoU + ½ (s + s′)(1 − JS(p ‖ p′)), 0 where it overlaps none;
    C_a = min over boxes of |m − beta|; C = mean over a. A picture without reference boxes has 0, and so has a copy in
    which nothing is found any more. JS in nats, of the column `probabilities` (a list of K, brought to sum 1) where
    both tables have it, else of (1 − s, s).

    Args:
        pictures: image_ids, ascending.
        reference, changed: detections; further pictures' do not count.
    """
    ours = boxes_of(reference, "detections")
    at = places_of(pictures, ours.image)
    total = np.zeros(len(pictures))
    having = np.bincount(at[at >= 0], minlength=len(pictures)) > 0
    for table in changed:
        theirs = boxes_of(table, "detections of changed copies")
        best_iou, partner = np.zeros(len(ours)), np.full(len(ours), -1)
        for mine, their in together(ours.image, theirs.image):
            iou = iou_of(ours.xywh[mine], theirs.xywh[their])
            order = np.lexsort((-theirs.score[their], -iou, mine))
            first = order[np.unique(mine[order], return_index=True)[1]]
            best_iou[mine[first]], partner[mine[first]] = iou[first], their[first]
        met = best_iou > 0
        m = np.zeros(len(ours))
        apart = _js(_spread(reference, met), _spread(table, partner[met]))
        m[met] = best_iou[met] + 0.5 * (ours.score[met] + theirs.score[partner[met]]) * (1 - apart)
        least = np.full(len(pictures), np.inf)
        np.minimum.at(least, at[at >= 0], np.abs(m - beta)[at >= 0])
        seen = places_of(pictures, np.unique(theirs.image))
        found = np.zeros(len(pictures), bool)
        found[seen[seen >= 0]] = True
        total += np.where(having & found, least, 0.0)
    return total / max(len(changed), 1)


def balanced(distribution: np.ndarray, counts: np.ndarray, budget: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows picked one by one, each with the classes that are least like all labels so far, and how unlike: JS in nats.

    JS(p_labels ‖ p_picture); what a picture is expected to add is added before the next one is picked.

    Args:
        distribution: float [n, K], the sum of scores of each class; counts: labels of each class, float [K].
    """
    counts = counts.astype(np.float64) + 1
    own = (distribution + 1e-9) / (distribution + 1e-9).sum(axis=1, keepdims=True)
    left, picked, values = np.ones(len(own), bool), [], []
    for _ in range(min(budget, len(own))):
        unlike = np.where(left, _js(own, np.broadcast_to(counts / counts.sum(), own.shape)), -1)
        row = int(unlike.argmax())
        picked.append(row)
        values.append(float(unlike[row]))
        left[row] = False
        counts += distribution[row]
    return np.array(picked, np.int64), np.array(values)


def _js(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    middle = (p + q) / 2
    return (0.5 * (_kl(p, middle) + _kl(q, middle))).clip(0)


def _kl(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    ratio = np.divide(p, q, out=np.ones_like(p), where=(p > 0) & (q > 0))
    return (p * np.log(ratio)).sum(axis=1)


def _spread(table: pa.Table, rows: np.ndarray) -> np.ndarray:
    if "probabilities" in table.column_names and table.num_rows:
        lists = np.stack(table["probabilities"].to_numpy(zero_copy_only=False))[rows].astype(np.float64)
        return lists / np.maximum(lists.sum(axis=1, keepdims=True), 1e-12)
    score = optional(table, "score", 0.0)[rows]
    return np.stack([1 - score, score], axis=1)


def _cald(params: Consistent, task: Task) -> Ranked:
    pool, value = task.pool, np.asarray(task.pool.columns["consistency"], np.float64)
    empty = _without_boxes(task)
    rest, without = task.free[~empty[task.free]], task.free[empty[task.free]]
    few = min(max(round(params.empties * task.budget), task.budget - len(rest)), len(without))
    bare = best(-value, without, few, task.rng)
    shortlist = best(-value, rest, int(np.ceil(params.shortlist * (task.budget - few))), task.rng)
    at, table = boxes_on(pool, shortlist)
    classes = max(len(pool.classes), 1)
    sums = np.zeros((len(shortlist), classes))
    if table is not None:
        label = table["class_id"].to_numpy().astype(np.int64)
        known = (label >= 0) & (label < classes)
        np.add.at(sums, (at[known], label[known]), optional(table, "score", 0.0)[known])
    counts = np.zeros(classes) if task.known.counts is None else task.known.counts
    rows, unlike = balanced(sums, counts, task.budget - few)
    places = np.concatenate([shortlist[rows], bare])
    reasons = [f"its changed copies are judged differently (C = {value[place]:.3f}), and the labels lack its classes, "
               f"first {class_name(pool.classes, int(sums[row].argmax()))} (JS = {far:.3f})"
               for place, row, far in zip(shortlist[rows], rows, unlike, strict=True)]
    reasons += ["nothing was found in it, the least consistent of all answers"] * len(bare)
    return Ranked(places, -value[places], reasons,
                  {"consistency": value[places], "unlike": np.concatenate([unlike, np.zeros(len(bare))])})


def _without_boxes(task: Task) -> np.ndarray:
    empty = np.ones(len(task.pool), bool)
    for place, _ in whole_pictures(task.pool):
        empty[place[place >= 0]] = False
    return empty


CALD = Strategy("cald", "changed copies judged least consistently, then classes that the labels lack", Consistent,
                frozenset({"boxes", "consistency"}), _cald)
