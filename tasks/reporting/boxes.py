"""Detections by picture, and which pictures are worth looking at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tasks.data.table import Dataset

SAME = 0.5  # IoU from which two boxes are the same box


@dataclass(frozen=True)
class Found:
    """Detections of one picture, best first: boxes xyxy in pixels [n, 4], scores [n], class ids [n]."""

    boxes: np.ndarray
    scores: np.ndarray
    class_ids: np.ndarray

    def above(self, score: float, limit: int | None = None) -> Found:
        rows = np.flatnonzero(self.scores >= score)[:limit]
        return Found(self.boxes[rows], self.scores[rows], self.class_ids[rows])


NOTHING = Found(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))


def by_picture(detections: pa.Table) -> dict[int, Found]:
    """image_id -> its detections; a picture without any is not there."""
    image, score = detections["image_id"].to_numpy(), detections["score"].to_numpy()
    order = np.lexsort((-score, image))
    x, y, w, h = (detections[name].to_numpy()[order].astype(float) for name in "xywh")
    corners, classes = np.stack([x, y, x + w, y + h], axis=1), detections["class_id"].to_numpy()[order].astype(np.int64)
    ids, starts = np.unique(image[order], return_index=True)
    ends = np.append(starts[1:], len(order))[: len(ids)].tolist()
    return {
        int(i): Found(corners[a:b], score[order][a:b], classes[a:b])
        for i, a, b in zip(ids, starts.tolist(), ends, strict=True)
    }


def iou(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Intersection over union of every pair, [n, m], of boxes xyxy [n, 4] and [m, 4]."""
    low = np.maximum(ours[:, None, :2], theirs[None, :, :2])
    high = np.minimum(ours[:, None, 2:], theirs[None, :, 2:])
    inter = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(np.clip(b[:, 2:] - b[:, :2], 0, None), axis=1) for b in (ours, theirs)]
    union = areas[0][:, None] + areas[1][None] - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)


def changed(before: Found, after: Found) -> tuple[int, int]:
    """How many boxes of `before` are gone in `after`, and how many of `after` are new (class and place)."""
    if not len(before.scores) or not len(after.scores):
        return len(before.scores), len(after.scores)
    same = (iou(before.boxes, after.boxes) >= SAME) & (before.class_ids[:, None] == after.class_ids[None])
    return int((~same.any(axis=1)).sum()), int((~same.any(axis=0)).sum())


def spread(ids: Sequence[int], wanted: int) -> list[int]:
    """`wanted` of the ids, evenly apart."""
    if wanted <= 0 or not ids:
        return []
    if len(ids) <= wanted:
        return list(ids)
    return [ids[i] for i in np.linspace(0, len(ids) - 1, wanted).round().astype(int)]


def typical(dataset: Dataset, wanted: int) -> list[int]:
    """Pictures for a look at a split: each of the rarest classes once, in up to half of the places, the rest evenly."""
    ids = dataset.images["image_id"].to_pylist()
    owner, class_id = (dataset.annotations[n].to_numpy() for n in ("image_id", "class_id"))
    counts = np.bincount(class_id, minlength=len(dataset.meta.classes))
    chosen: list[int] = []
    for rare in [c for c in np.argsort(counts, kind="stable") if counts[c]]:
        if len(chosen) >= wanted // 2:
            break
        if not np.isin(owner[class_id == rare], chosen).any():
            chosen.append(int(owner[class_id == rare][0]))
    rest = [i for i in ids if i not in chosen]
    return sorted([*chosen, *spread(rest, wanted - len(chosen))])
