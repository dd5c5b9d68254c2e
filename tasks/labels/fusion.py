"""Boxes of several voices on one picture and of one class put together, all pictures at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

IOU = 0.55
CELLS = 1 << 20  # boxes and places for them that are worked on at once


@dataclass(frozen=True)
class Fused:
    """Clusters, in the order in which they were begun within their groups.

    Attributes:
        cluster: int64 [n], the cluster of each box.
        xywh: float64 [c, 4], the mean of its boxes by their scores.
        score: float64 [c]; voices: int64 [c], how many different ones it has; size: int64 [c], boxes.
        first: int64 [c], the row of its best box.
    """

    cluster: np.ndarray
    xywh: np.ndarray
    score: np.ndarray
    voices: np.ndarray
    size: np.ndarray
    first: np.ndarray


def fuse(xywh: np.ndarray, score: np.ndarray, group: np.ndarray, voice: np.ndarray, weights: np.ndarray,
         iou: float = IOU) -> Fused:
    """Weighted boxes fusion.

    Solovyev, Wang and Gabruseva 2021, "Weighted boxes fusion: Ensembling boxes from different object detection
    models". Boxes of a group go by falling weight × score; each joins the cluster whose fused box it overlaps most, if
    by more than `iou`, else it begins one; the fused box is the mean by weight × score, and the confidence
    Σ (weight × score) / N · min(N, M) / Σ weights, with N boxes in the cluster and M voices (equation 5).

    Args:
        xywh: float64 [n, 4]; score: float64 [n], above 0.
        group: int64 [n]: boxes of one picture and class; groups do not touch each other.
        voice: int64 [n], of 0 to M − 1, M at most 62; weights: float64 [M].
    """
    heavy = score * weights[voice]
    order = np.lexsort((np.arange(len(group)), -heavy, group))
    starts = np.flatnonzero(np.diff(group[order], prepend=group[order[:1]] - 1)) if len(order) else order
    sizes = np.diff(np.append(starts, len(order)))
    cluster = np.full(len(group), -1, np.int64)
    # groups of about the same size together: the table is as wide as the largest
    by_size, begin, made = np.argsort(sizes, kind="stable"), 0, 0
    while begin < len(sizes):
        widths = sizes[by_size[begin:]]
        room = np.flatnonzero(widths * np.arange(1, len(widths) + 1) <= CELLS)
        some = np.sort(by_size[begin:begin + max(len(room), 1)])
        begin += len(some)
        offsets = np.arange(int(sizes[some].max()))
        rows = np.where(offsets < sizes[some][:, None], order[np.minimum(starts[some][:, None] + offsets,
                                                                         len(order) - 1)], -1)
        made += _cluster(rows, xywh, heavy, iou, cluster, made)
    return _summed(_renumbered(cluster, order), xywh, heavy, voice, weights)


def _cluster(rows: np.ndarray, xywh: np.ndarray, heavy: np.ndarray, iou: float, cluster: np.ndarray, base: int) -> int:
    """Number the clusters of some groups, from `base`; one box of each group at a time. Returns how many numbers."""
    groups, width = rows.shape
    total, fused = np.zeros((groups, width)), np.zeros((groups, width, 4))
    count, every = np.zeros(groups, np.int64), np.arange(groups)
    for step in range(width):
        row = rows[:, step]
        live = np.flatnonzero(row >= 0)
        box, weight = xywh[row[live]], heavy[row[live]]
        wide = max(int(count.max(initial=0)), 1)
        overlap = _overlap(box, fused[live, :wide])
        overlap[np.arange(wide) >= count[live][:, None]] = -1
        best = overlap.argmax(axis=1)
        joins = overlap[np.arange(len(live)), best] > iou
        at = np.where(joins, best, count[live])
        before = total[live, at]
        total[live, at] = before + weight
        share = np.divide(weight, total[live, at], out=np.ones(len(live)), where=total[live, at] > 0)
        fused[live, at] += share[:, None] * (box - fused[live, at])
        count[live[~joins]] += 1
        cluster[row[live]] = base + every[live] * width + at
    return groups * width


def _overlap(box: np.ndarray, fused: np.ndarray) -> np.ndarray:
    a, b = box[:, None], fused
    sides = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = sides.clip(0).prod(axis=2)
    union = a[..., 2] * a[..., 3] + b[..., 2] * b[..., 3] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _renumbered(cluster: np.ndarray, order: np.ndarray) -> np.ndarray:
    """From 0 without gaps, in the order of the clusters' first boxes."""
    _, first, place = np.unique(cluster[order], return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    found = np.empty_like(cluster)
    found[order] = rank[place]
    return found


def _summed(cluster: np.ndarray, xywh: np.ndarray, heavy: np.ndarray, voice: np.ndarray,
            weights: np.ndarray) -> Fused:
    many = int(cluster.max(initial=-1)) + 1
    size = np.bincount(cluster, minlength=many)
    mass = np.bincount(cluster, weights=heavy, minlength=many)
    boxes = np.stack([np.bincount(cluster, weights=heavy * xywh[:, side], minlength=many) for side in range(4)], axis=1)
    seen = np.zeros(many, np.int64)
    np.bitwise_or.at(seen, cluster, np.int64(1) << voice)
    confidence = mass / np.maximum(size, 1) * np.minimum(size, len(weights)) / weights.sum()
    best = np.lexsort((np.arange(len(cluster)), -heavy, cluster))
    first = best[np.unique(cluster[best], return_index=True)[1]]
    return Fused(cluster, boxes / np.maximum(mass, 1e-12)[:, None], confidence, np.bitwise_count(seen).astype(np.int64),
                 size, first)
