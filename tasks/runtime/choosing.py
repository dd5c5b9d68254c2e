"""Which raw candidates are detections: threshold, top-k, class-wise suppression. numpy alone, and nothing of ours.

Bundles carry this file as it is, so that what they find is what was measured.
"""

from __future__ import annotations

import numpy as np

NMS_IOU = 0.55
# rows that are resolved at once: wide enough that numpy's call costs little, small enough that tables stay in cache
BLOCK = 128
# candidates for each one asked for, above which a higher threshold is looked for in every SPARSE-th row
PLENTY, SPARSE = 8, 64


def choose(boxes: np.ndarray, scores: np.ndarray, size: tuple[int, int], scale: float, threshold: float | np.ndarray,
           iou: float | None, top_k: int, keep: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The detections of one picture, by falling score; of equal scores the lower row is first, then the lower class.

    Args:
        boxes: float32 [A, 4] xyxy in input pixels.
        scores: float32 [A, K].
        size: height and width of the original picture, to which boxes are clipped before they are compared.
        scale: factor from original to input pixels.
        threshold: scores above it count; one for all classes, or float [K].
        iou: a box that overlaps a better one of its class by more than this is dropped, 0..1; None: none is.
        top_k: the best candidates over all classes that enter the suppression.
        keep: the best that are returned.

    Returns:
        boxes float32 [n, 4] in pixels of the original picture, scores float32 [n], classes int64 [n].
    """
    best = strongest(scores, threshold, top_k if iou is not None else min(top_k, keep))
    rows, classes = np.divmod(best, max(scores.shape[1], 1))
    limit = np.array([size[1], size[0], size[1], size[0]], dtype=np.float32)
    found = np.clip(boxes[rows] / np.float32(scale), 0, limit)
    if iou is not None:
        stay = suppress(found, iou, keep, classes)
        rows, classes, found = rows[stay], classes[stay], found[stay]
    return found, scores[rows, classes], classes


def strongest(scores: np.ndarray, threshold: float | np.ndarray, count: int) -> np.ndarray:
    """Places int64 [n], in the flattened scores, of the `count` best above the threshold, in `choose`'s order."""
    if scores.size == 0:
        return np.empty(0, np.int64)
    scores = np.ascontiguousarray(scores, dtype=np.float32)
    flat = scores.reshape(-1)
    limits = np.asarray(threshold, dtype=np.float32)
    lowest = limits.min()
    above = flat > lowest
    if np.count_nonzero(above) > PLENTY * count:
        above = _raised(scores, limits, count, above)
    places = np.flatnonzero(above)
    found = flat[places]
    if limits.ndim and (limits != lowest).any():
        passing = found > limits[places % scores.shape[1]]
        places, found = places[passing], found[passing]
    # one whole number for score and place: no two are equal, so that no sorting can exchange candidates of one score
    bits = found.view(np.int32).astype(np.int64)
    keys = places - ((bits ^ ((bits >> 31) & 0x7FFFFFFF)) << 32)
    if len(keys) > count:
        keys = np.partition(keys, count - 1)[:count]
    return np.sort(keys) & 0xFFFFFFFF


def _raised(scores: np.ndarray, limits: np.ndarray, count: int, above: np.ndarray) -> np.ndarray:
    """`above` with a threshold that still leaves `count`, guessed from every SPARSE-th row; `above` if it does not."""
    some = scores[::SPARSE]
    sample = some[some > limits]
    wanted = 3 * count // SPARSE
    if not wanted < len(sample):
        return above
    guess = np.partition(sample, -wanted)[-wanted] if wanted else sample.max()
    fewer = (scores > np.maximum(limits, guess)).reshape(-1)
    return fewer if np.count_nonzero(fewer) >= count else above


def suppress(boxes: np.ndarray, iou: float = NMS_IOU, keep: int | None = None,
             classes: np.ndarray | None = None) -> np.ndarray:
    """Greedy non-maximum suppression.

    Args:
        boxes: float [n, 4] xyxy, best first.
        iou: a box that overlaps a better one by more than this is dropped, 0..1.
        keep: stop after this many.
        classes: int [n]; only boxes of one class suppress each other. One class for all when None.

    Returns:
        Indices int64 of the boxes that stay, best first.
    """
    many = len(boxes) if keep is None else min(keep, len(boxes))
    table = _columns(boxes, classes)
    kept = np.empty(0, np.int64)
    for start in range(0, len(boxes), BLOCK):
        block, places = table[:, start:start + BLOCK], np.arange(start, min(start + BLOCK, len(boxes)))
        if len(kept):
            free = ~_overlaps(table[:, kept], block, iou).any(axis=0)
            block, places = block[:, free], places[free]
        kept = np.concatenate([kept, places[_greedy(_overlaps(block, block, iou))]])
        if len(kept) >= many:
            break
    return kept[:many]


def _columns(boxes: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
    """float32 [5 or 6, n]: left, top, right, bottom, area, and the class where classes differ."""
    table = np.empty((5 if classes is None else 6, len(boxes)), np.float32)
    table[:4] = boxes.T
    np.multiply(np.maximum(table[2] - table[0], 0), np.maximum(table[3] - table[1], 0), out=table[4])
    if classes is not None:
        table[5] = classes
    return table


def _overlaps(one: np.ndarray, other: np.ndarray, iou: float) -> np.ndarray:
    """Whether boxes of two tables [., n] and [., m] overlap by more than `iou`: bool [n, m]."""
    rows = one[:, :, None]
    wide = np.minimum(rows[2], other[2]) - np.maximum(rows[0], other[0])
    high = np.minimum(rows[3], other[3]) - np.maximum(rows[1], other[1])
    inner = np.maximum(wide, 0, out=wide)
    inner *= np.maximum(high, 0, out=high)
    limit = rows[4] + other[4]
    limit -= inner
    limit *= iou
    over = inner > limit
    if len(one) > 5:
        over &= rows[5] == other[5]
    return over


def _greedy(over: np.ndarray) -> list[int]:
    """Rows that no kept row before them overlaps."""
    width = -(-over.shape[1] // 8)
    packed = np.packbits(over, axis=1, bitorder="little").tobytes()
    dropped, kept = 0, []
    for row in range(len(over)):
        if not dropped >> row & 1:
            kept.append(row)
            dropped |= int.from_bytes(packed[row * width:(row + 1) * width], "little")
    return kept
