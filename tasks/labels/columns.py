"""Tables of boxes as arrays, and which of them lie on the same picture."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from tasks.base.errors import DataError
from tasks.metrics.detections import Boxes

BLOCK = 2_000_000  # pairs at a time: some 200 MB while they are measured
COLUMNS = ("image_id", "class_id", "x", "y", "w", "h")


def boxes_of(table: pa.Table, what: str = "boxes") -> Boxes:
    """The columns image_id, class_id, x, y, w, h, and score, iscrowd, difficult where there are any.

    Args:
        what: what the table is, for the message.

    Raises:
        DataError: a column is missing, or a box or a score is not finite or of negative size.
    """
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise DataError(f"{what} without the column {missing[0]!r}", where=", ".join(table.column_names),
                        mend="give a table in the form of the annotations or of results/evaluate/detections")
    xywh = np.stack([_numbers(table, name) for name in "xywh"], axis=1).reshape(-1, 4)
    score = optional(table, "score", 1.0)
    wrong = np.flatnonzero(~np.isfinite(xywh).all(axis=1) | (xywh[:, 2:] < 0).any(axis=1) | ~np.isfinite(score))
    if len(wrong):
        raise DataError(f"{what}: not a box: {xywh[wrong[0]].tolist()}, score {score[wrong[0]]}",
                        where=f"row {wrong[0]}, the first of {len(wrong)}", mend="take these rows out")
    image, label = (_numbers(table, name).astype(np.int64) for name in ("image_id", "class_id"))
    crowd, difficult = (optional(table, name, 0.0).astype(bool) for name in ("iscrowd", "difficult"))
    return Boxes(image=image, label=label, xywh=xywh, score=score, area=xywh[:, 2] * xywh[:, 3], crowd=crowd,
                 difficult=difficult)


def optional(table: pa.Table, name: str, default: float) -> np.ndarray:
    """A column as float64 [n], `default` where it is null or not there."""
    if name not in table.column_names:
        return np.full(table.num_rows, default)
    values = table[name].cast(pa.float64(), safe=False) if not pa.types.is_boolean(table[name].type) else (
        table[name].cast(pa.int8()).cast(pa.float64()))
    return values.fill_null(default).to_numpy().astype(np.float64)


def together(ours: np.ndarray, theirs: np.ndarray, block: int = BLOCK) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All pairs of rows of one group, `(row of ours, row of theirs)`, int64, some `block` pairs at a time.

    All pairs of one of our rows come at once, and rows of ours come in the order of their groups.

    Args:
        ours, theirs: int64, the group (for instance the picture) of each row.
    """
    mine, their = np.argsort(ours, kind="stable"), np.argsort(theirs, kind="stable")
    low, high = (np.searchsorted(theirs[their], ours[mine], side) for side in ("left", "right"))
    ends = np.cumsum(high - low)
    start = 0
    while start < len(mine):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + block, "right")))
        counts = (high - low)[start:stop]
        rows = np.repeat(np.arange(start, stop), counts)
        offsets = np.arange(len(rows)) - np.repeat(ends[start:stop] - counts - before, counts)
        yield mine[rows], their[low[rows] + offsets]
        start = stop


def iou_of(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Overlap of boxes x, y, w, h, row by row: float64 [n], 0 where both are empty."""
    sides = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    shared = sides.clip(0).prod(axis=1)
    union = a[:, 2] * a[:, 3] + b[:, 2] * b[:, 3] - shared
    return np.divide(shared, union, out=np.zeros(len(a)), where=union > 0)


def places_of(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each of `wanted` stands in `ids`, which ascend; -1 where it does not. int64."""
    if not len(ids):
        return np.full(len(wanted), -1)
    place = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    return np.where(ids[place] == wanted, place, -1)


def ranked_within(group: np.ndarray, value: np.ndarray) -> np.ndarray:
    """The place of each row in its group, 0 for the largest value; of equal ones the first row goes first. int64."""
    order = np.lexsort((-value, group))
    starts = np.flatnonzero(np.diff(group[order], prepend=group[order[:1]] - 1)) if len(order) else order
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - np.repeat(starts, np.diff(np.append(starts, len(group))))
    return rank


def entropy(p: np.ndarray) -> np.ndarray:
    """Binary entropy in bits, −p log₂ p − (1 − p) log₂(1 − p): 0 where nothing is open, 1 at one half."""
    inside = np.clip(p, 1e-12, 1 - 1e-12)
    return np.where((p <= 0) | (p >= 1), 0.0, -inside * np.log2(inside) - (1 - inside) * np.log2(1 - inside))


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    try:
        return table[name].to_numpy().astype(np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(f"column {name!r} is not of numbers: {error}", where=name) from None
