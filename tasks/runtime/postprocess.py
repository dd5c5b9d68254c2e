"""From raw candidates to detections: threshold, top-k, class-wise non-maximum suppression, for every runtime alike."""

from __future__ import annotations

import numpy as np

from tasks.runtime.detections import Detections

NMS_IOU = 0.55
TOP_K = 1000  # candidates that enter the suppression


def suppress(boxes: np.ndarray, iou: float = NMS_IOU, keep: int | None = None) -> np.ndarray:
    """Greedy non-maximum suppression.

    Args:
        boxes: float [n, 4] xyxy, best first.
        iou: a box that overlaps a better one by more than this is dropped, 0..1.
        keep: stop after this many.

    Returns:
        Indices of the boxes that stay, best first.
    """
    area = np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)
    left = np.arange(len(boxes))
    kept: list[int] = []
    while len(left) and (keep is None or len(kept) < keep):
        best, left = left[0], left[1:]
        kept.append(int(best))
        corner = np.maximum(boxes[left, :2], boxes[best, :2])
        sides = np.maximum(np.minimum(boxes[left, 2:], boxes[best, 2:]) - corner, 0)
        inner = sides[:, 0] * sides[:, 1]
        left = left[inner <= iou * np.maximum(area[left] + area[best] - inner, 1e-9)]
    return np.asarray(kept, dtype=np.int64)


def detections_of(
    boxes: np.ndarray,
    scores: np.ndarray,
    *,
    size: tuple[int, int],
    scale: float,
    score_threshold: float | np.ndarray = 0.05,
    max_detections: int = 100,
) -> Detections:
    """Detections of one picture from its raw candidates.

    Args:
        boxes: float32 [A, 4] xyxy in input pixels.
        scores: float32 [A, K] in 0..1.
        size: height and width of the original picture, to which boxes are clipped.
        scale: factor from original to input pixels.
        score_threshold: one for all, or float [K], one a class.
        max_detections: the best that are returned.
    """
    cells, classes = np.nonzero(scores > score_threshold)
    found = scores[cells, classes]
    order = np.argsort(-found, kind="stable")[:TOP_K]
    cells, classes, found = cells[order], classes[order], found[order]
    limit = np.array([size[1], size[0], size[1], size[0]], dtype=np.float32)
    candidates = np.clip(boxes[cells] / np.float32(scale), 0, limit)
    # boxes of different classes are moved apart, so that one pass suppresses within each class only
    apart = classes[:, None].astype(np.float32) * (float(limit.max()) + 1.0)
    kept = suppress(candidates + apart, keep=max_detections)
    return Detections(candidates[kept], found[kept], classes[kept].astype(np.int64))
