"""What several windows of one picture see, put together: nothing twice, nothing cut that is whole elsewhere.

A box that reaches a border inside the picture is cut off there, most likely. Where another window sees that object
whole, the cut one is dropped; where none does, the parts are joined to one box. numpy alone, and nothing of ours:
a bundle can carry the file as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Seen = tuple[np.ndarray, np.ndarray, np.ndarray]

# a cut box with this share of it inside a whole one of its class is a part of that
INSIDE = 0.6
# two boxes of one class from different tiles are one object when the smaller lies in the other with this share
SAME = 0.8
# a box of the low scale, so much of which is filled by boxes that tiles have whole, is a heap of those
FILLED = 0.3
# parts of one object are about equally high (or wide) where a border cuts it
FACING = 0.5
WHOLE = 1 << 30  # number of the tile that is the whole picture


def merge(found: Sequence[Seen], windows: np.ndarray, size: tuple[int, int], near: float, iou: float) -> Seen:
    """The detections of all windows as those of the picture, best first.

    Args:
        found: boxes float32 [n, 4] xyxy in a window's pixels, scores float32 [n], classes int64 [n], a window each.
        windows: int [w, 4]: left, top, right, bottom. One that is the whole picture was looked at at a low scale.
        size: height and width of the picture.
        near: pixels; a box that comes this near to a window's border inside the picture counts as cut there.
        iou: of two boxes of a class from different windows that overlap by more than this the better one stays, 0..1.

    Returns:
        Boxes in pixels of the picture, scores and classes.
    """
    boxes = np.concatenate([one[0] + window[[0, 1, 0, 1]].astype(np.float32)
                            for one, window in zip(found, windows, strict=True)])
    scores, classes = (np.concatenate([one[column] for one in found]) for column in (1, 2))
    tiles = np.repeat(np.arange(len(found)), [len(one[0]) for one in found])
    seen = windows[tiles]
    cut = _cut_sides(boxes, seen, size, near)
    tiles[(seen == [0, 0, size[1], size[0]]).all(axis=1)] = WHOLE
    parts: list[Seen] = [(boxes[:0], scores[:0], classes[:0])]
    for name in np.unique(classes):
        mine = np.flatnonzero(classes == name)
        mine = mine[np.argsort(-scores[mine], kind="stable")]
        own = _merge_class(boxes[mine], scores[mine], tiles[mine], cut[mine], iou)
        parts.append((*own, np.full(len(own[0]), name, np.int64)))
    boxes, scores, classes = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(-scores, kind="stable")
    return boxes[order], scores[order], classes[order]


def _cut_sides(boxes: np.ndarray, windows: np.ndarray, size: tuple[int, int], near: float) -> np.ndarray:
    """Which sides lie at a border of the window that is none of the picture: bool [n, 4], left, top, right, bottom."""
    height, width = size
    edge = np.array([0, 0, width, height])
    return (np.abs(boxes - windows) <= near) & (windows != edge)


def _merge_class(boxes: np.ndarray, scores: np.ndarray, tiles: np.ndarray, cut: np.ndarray,
                 iou: float) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and scores of one class, given best first, that stay."""
    keep = ~_clumps(boxes, tiles, np.asarray(cut.any(axis=1)))
    boxes, scores, tiles, cut = boxes[keep], scores[keep], tiles[keep], cut[keep]
    keep = _not_parts(boxes, np.asarray(cut.any(axis=1)))
    boxes, scores, tiles, part = _join(boxes[keep], scores[keep], tiles[keep], cut[keep])
    keep = _not_parts(boxes, part)
    return _suppress(boxes[keep], scores[keep], tiles[keep], iou)


def _not_parts(boxes: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """Without the cut boxes that are part of one that is not cut: bool [n]."""
    whole = boxes[~cut]
    return np.array([not part or not (_inner(box, whole) >= INSIDE * max(_area(box), 1e-9)).any()
                     for box, part in zip(boxes, cut, strict=True)], dtype=bool)


def _clumps(boxes: np.ndarray, tiles: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """Which boxes of the low scale are, to the tiles, an object that they have whole or several smaller ones: [n]."""
    drop = np.zeros(len(boxes), bool)
    sharp = boxes[(tiles != WHOLE) & ~cut]
    for at in np.flatnonzero(tiles == WHOLE):
        drop[at] = _inner(boxes[at], sharp).sum() > FILLED * _area(boxes[at])
    return drop


def _join(boxes: np.ndarray, scores: np.ndarray, tiles: np.ndarray,
          cut: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Parts of an object that no tile has whole become the box around them, with the best part's score.

    Returns:
        Boxes, scores, tiles, and whether a box is still cut.
    """
    leader = np.arange(len(boxes))
    for i in np.flatnonzero(cut.any(axis=1)):
        for j in np.flatnonzero(_facing(boxes[i], cut[i], boxes, cut) & (tiles != tiles[i])):
            low, high = sorted((int(leader[i]), int(leader[j])))
            leader[leader == high] = low
    joined = [(leader == first).nonzero()[0] for first in np.unique(leader)]
    around = [np.concatenate([boxes[g, :2].min(axis=0), boxes[g, 2:].max(axis=0)]) for g in joined]
    # a joined box is of no tile: what any tile has of it is suppressed
    origin = [tiles[g[0]] if len(g) == 1 else -1 - number for number, g in enumerate(joined)]
    # it is cut where the part that reaches furthest is
    still = [any(cut[g[np.argmin(sign * boxes[g, side])], side] for side, sign in enumerate((1, 1, -1, -1)))
             for g in joined]
    return (np.asarray(around, np.float32).reshape(-1, 4), scores[[int(g[0]) for g in joined]],
            np.asarray(origin, np.int64), np.asarray(still, dtype=bool))


def _facing(box: np.ndarray, cut: np.ndarray, boxes: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Which boxes go on where `box` is cut: cut on the opposite side, meeting it, and about as high (or wide)."""
    met = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    spread = np.maximum(np.maximum(boxes[:, 2:] - boxes[:, :2], box[2:] - box[:2]), 1e-6)
    alike = met >= FACING * spread
    facing = np.zeros(len(boxes), bool)
    for axis in (0, 1):
        opposite = (cut[axis] & cuts[:, axis + 2]) | (cut[axis + 2] & cuts[:, axis])
        facing |= opposite & (met[:, axis] >= 0) & alike[:, 1 - axis]
    return facing


def _suppress(boxes: np.ndarray, scores: np.ndarray, tiles: np.ndarray, iou: float) -> tuple[np.ndarray, np.ndarray]:
    """Greedy, best first, between tiles only: within one, boxes that overlap have been judged already."""
    area = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    left, kept = np.arange(len(boxes)), []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        inner = _inner(boxes[best], boxes[left])
        same = inner > iou * np.maximum(area[left] + area[best] - inner, 1e-9)
        same |= inner > SAME * np.maximum(np.minimum(area[left], area[best]), 1e-9)
        left = left[~(same & (tiles[left] != tiles[best]))]
    return boxes[kept], scores[kept]


def _inner(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    return np.prod(np.maximum(sides, 0), axis=1)


def _area(box: np.ndarray) -> float:
    return float(max(box[2] - box[0], 0) * max(box[3] - box[1], 0))
