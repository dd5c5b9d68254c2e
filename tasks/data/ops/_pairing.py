"""Labels of two versions of the same pictures, one to one: equal ones first, then those that overlap most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tasks.data.ops._arrays import mix

CLOSE = 0.5
# pairs of boxes that are compared at once
AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Labels:
    """Labels of one version; arrays [labels], ascending in `picture`.

    Attributes:
        picture: a number that both versions share.
        kind: class, numbered over both versions.
        box: float64 [labels, 4], x, y, w, h.
        whole: uint64, a hash of all that counts.
        placed: uint64, of class and box.
        place: uint64, of the box.
    """

    picture: np.ndarray
    kind: np.ndarray
    box: np.ndarray
    whole: np.ndarray
    placed: np.ndarray
    place: np.ndarray


Matches = tuple[np.ndarray, np.ndarray]


def pair(a: Labels, b: Labels) -> dict[str, Matches]:
    """Positions in `a` and in `b` of labels that belong together, each label at most once.

    Returns:
        `equal`; `other` (same class and box, something else differs); `kind` (same place, another class); `box` (same
        class, moved: IoU of at least 0.5, the largest first).
    """
    free_a, free_b = np.ones(len(a.picture), bool), np.ones(len(b.picture), bool)
    found: dict[str, Matches] = {}
    for name, key in (("equal", "whole"), ("other", "placed"), ("kind", "place")):
        rows_a, rows_b = np.flatnonzero(free_a), np.flatnonzero(free_b)
        left, right = equal_rows(a.picture[rows_a], getattr(a, key)[rows_a], b.picture[rows_b], getattr(b, key)[rows_b])
        found[name] = rows_a[left], rows_b[right]
        free_a[found[name][0]] = free_b[found[name][1]] = False
    left, right = _overlapping(a, b, np.flatnonzero(free_a), np.flatnonzero(free_b))
    same = a.kind[left] == b.kind[right]
    found["box"] = left[same], right[same]
    found["kind"] = (np.concatenate([found["kind"][0], left[~same]]), np.concatenate([found["kind"][1], right[~same]]))
    return found


def equal_rows(picture_a: np.ndarray, key_a: np.ndarray, picture_b: np.ndarray, key_b: np.ndarray) -> Matches:
    """Rows with the same picture and key: the first with the first, the second with the second."""
    picture, key = np.concatenate([picture_a, picture_b]), np.concatenate([key_a, key_b])
    side = np.repeat([0, 1], [len(key_a), len(key_b)])
    order = _grouped(picture, key)
    picture, key, side = picture[order], key[order], side[order]
    starts = _starts(picture, key)
    turns = starts.copy()
    turns[1:] |= side[1:] != side[:-1]
    begins = np.flatnonzero(turns)
    rank = np.arange(len(order)) - np.repeat(begins, np.diff(begins, append=len(order)))
    code = np.cumsum(starts) * (len(order) + 1) + rank
    _, left, right = np.intersect1d(code[side == 0], code[side == 1], assume_unique=True, return_indices=True)
    return order[side == 0][left], order[side == 1][right] - len(key_a)


def _grouped(picture: np.ndarray, key: np.ndarray) -> np.ndarray:
    """An order in which equal rows (picture, key) follow each other as they came.

    Sorted by one mixed number and then by position within its runs: two plain sorts, which are several times faster
    than `lexsort`. Rows that differ and share the number, one pair in 2^64, only miss being matched.
    """
    mixed = mix(key.astype(np.uint64) ^ mix(picture.astype(np.uint64)))
    order = np.argsort(mixed)
    run = np.cumsum(_starts(mixed[order]))
    again = np.argsort(run * len(order) + order)
    return order[again]


def _starts(*columns: np.ndarray) -> np.ndarray:
    """Where another value than in the row before begins."""
    starts = np.ones(len(columns[0]), bool)
    starts[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return starts


def _overlapping(a: Labels, b: Labels, rows_a: np.ndarray, rows_b: np.ndarray) -> Matches:
    """Greedy matching of the rows: pairs of one class before others, among these the largest IoU first."""
    edges = list(_edges(a, b, rows_a, rows_b))
    left, right, iou = (np.concatenate(column) for column in zip(*edges, strict=True)) if edges else (
        np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    order = np.lexsort((right, left, -iou, a.kind[left] != b.kind[right]))
    left, right = left[order], right[order]
    chosen: list[Matches] = [(left[:0], right[:0])]
    best_a, best_b = np.zeros(len(a.picture), np.int64), np.zeros(len(b.picture), np.int64)
    while len(left):
        # an edge that comes first for both of its ends is what a greedy walk along all edges would take
        number = np.arange(len(left))
        best_a[left[::-1]], best_b[right[::-1]] = number[::-1], number[::-1]
        takes = (best_a[left] == number) & (best_b[right] == number)
        chosen.append((left[takes], right[takes]))
        used = takes[best_a[left]] | takes[best_b[right]]
        left, right = left[~used], right[~used]
    return np.concatenate([ends[0] for ends in chosen]), np.concatenate([ends[1] for ends in chosen])


def _edges(a: Labels, b: Labels, rows_a: np.ndarray, rows_b: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """Pairs of rows of one picture with an IoU of at least `CLOSE`: position in `a`, in `b`, IoU."""
    owner_b = b.picture[rows_b]
    first, last = (np.searchsorted(owner_b, a.picture[rows_a], side=side) for side in ("left", "right"))
    ends = np.cumsum(last - first)
    begin = 0
    while begin < len(rows_a):
        before = ends[begin - 1] if begin else 0
        end = max(int(np.searchsorted(ends, before + AT_ONCE, side="right")), begin + 1)
        counts = (last - first)[begin:end]
        left = np.repeat(rows_a[begin:end], counts)
        offset = np.arange(len(left)) - np.repeat(np.cumsum(counts) - counts, counts)
        right = rows_b[np.repeat(first[begin:end], counts) + offset]
        iou = overlap(a.box[left], b.box[right])
        close = iou >= CLOSE
        yield left[close], right[close], iou[close]
        begin = end


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes x, y, w, h, row by row: float64 [n]; NaN where they are not numbers."""
    x, y, w, h = a.T
    left, top, width, height = b.T
    inside = np.minimum(x + w, left + width) - np.maximum(x, left)
    inside = np.maximum(inside, 0) * np.maximum(np.minimum(y + h, top + height) - np.maximum(y, top), 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return inside / (w * h + width * height - inside)
