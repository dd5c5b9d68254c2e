"""What tells a right box from a wrong one besides its score: class margin, flip consistency, spread of candidates."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tasks.labels.columns import boxes_of, iou_of, together
from tasks.runtime.choosing import NMS_IOU

# candidates below this say nothing: a network gives thousands of them
FLOOR = 0.01
ROWS = 16  # detections that are compared with all candidates at once: their overlaps stay in the cache


def candidate_features(boxes: np.ndarray, scores: np.ndarray, kept: np.ndarray, kept_scores: np.ndarray,
                       kept_classes: np.ndarray, iou: float = NMS_IOU, floor: float = FLOOR) -> dict[str, np.ndarray]:
    """Of the detections of one picture, from the raw candidates that they were chosen from.

    For a detection d of class k, the candidates C that overlap it by more than `iou` are those that the suppression
    folded into it. That their spread tells how well a box is placed: He et al. 2019, "Bounding Box Regression with
    Uncertainty", section 3.4; class margin: Scheffer et al. 2001, "Active Hidden Markov Models".
        margin = s_d − max over C and classes j ≠ k of s_cj, −1..1; s_d where no other class is seen there
        spread = Σ_C s_ck (1 − IoU(c, d)) / Σ_C s_ck, 0..1; 0 where d stands alone
        support = Σ_C s_ck: how much of the network speaks for d

    Args:
        boxes: float [A, 4] xyxy, candidates, in the pixels of `kept`.
        scores: float [A, K].
        kept: float [n, 4] xyxy, the detections; `kept_scores` [n], `kept_classes` int [n].
        floor: candidates whose best score is not above it do not count.

    Returns:
        margin, spread, support: float32 [n] each.
    """
    near = np.flatnonzero(scores.max(axis=1, initial=0) > floor)
    some, said = boxes[near].astype(np.float32), scores[near].astype(np.float64)
    found = {name: np.zeros(len(kept), np.float32) for name in ("margin", "spread", "support")}
    for start in range(0, len(kept), ROWS):
        part = slice(start, start + ROWS)
        for name, values in _compared(kept[part].astype(np.float32), kept_scores[part], kept_classes[part], some, said,
                                      iou).items():
            found[name][part] = values
    return found


def flip_consistency(found: pa.Table, flipped: pa.Table) -> np.ndarray:
    """How far a look at the mirrored pictures says the same: float32 [n] in 0..1, for each row of `found`.

    max over the boxes f of the same class on the mirrored picture of IoU(d, f) · (1 − |s_d − s_f|), 0 where there is
    none (Jeong et al. 2019, "Consistency-based Semi-supervised Learning for Object Detection", asks for both to agree).

    Args:
        flipped: what was found on the mirrored pictures, mirrored back (`mirrored`).
    """
    ours, theirs = boxes_of(found, "detections"), boxes_of(flipped, "detections of mirrored pictures")
    best = np.zeros(len(ours))
    span = 1 + max(int(ours.label.max(initial=0)), int(theirs.label.max(initial=0)))
    for mine, their in together(ours.image * span + ours.label, theirs.image * span + theirs.label):
        agree = iou_of(ours.xywh[mine], theirs.xywh[their]) * (1 - np.abs(ours.score[mine] - theirs.score[their]))
        np.maximum.at(best, mine, agree)
    return best.astype(np.float32)


def mirrored(found: pa.Table, images: pa.Table) -> pa.Table:
    """Boxes with left and right exchanged: x becomes width − x − w.

    Args:
        images: the columns image_id and width of all their pictures.
    """
    ids = images["image_id"].to_numpy()
    order = np.argsort(ids)
    rows = order[np.searchsorted(ids[order], found["image_id"].to_numpy())]
    width = images["width"].to_numpy()[rows]
    x, w = (found[name].to_numpy().astype(np.float64) for name in "xw")
    at = found.schema.get_field_index("x")
    return found.set_column(at, "x", pa.array(width - x - w).cast(found.schema.field("x").type))


def _compared(kept: np.ndarray, score: np.ndarray, label: np.ndarray, boxes: np.ndarray, said: np.ndarray,
              iou: float) -> dict[str, np.ndarray]:
    overlap = _ious(kept, boxes)
    row, candidate = np.nonzero(overlap > iou)
    over, own, theirs = overlap[row, candidate], said[candidate, label[row]], said[candidate]
    theirs[np.arange(len(row)), label[row]] = 0
    others, support, apart = (np.zeros(len(kept)) for _ in range(3))
    np.maximum.at(others, row, theirs.max(axis=1, initial=0))
    np.add.at(support, row, own)
    np.add.at(apart, row, own * (1 - over))
    spread = np.divide(apart, support, out=np.zeros_like(apart), where=support > 0)
    return {"margin": score - others, "spread": spread, "support": support}


def _ious(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    left, top, right, bottom = (column[:, None] for column in a.T)
    wide = np.minimum(right, b[:, 2]) - np.maximum(left, b[:, 0])
    high = np.minimum(bottom, b[:, 3]) - np.maximum(top, b[:, 1])
    shared = wide.clip(0, out=wide) * high.clip(0, out=high)
    areas = [(x[:, 2] - x[:, 0]).clip(0) * (x[:, 3] - x[:, 1]).clip(0) for x in (a, b)]
    union = areas[0][:, None] + areas[1] - shared
    return np.divide(shared, union, out=shared, where=union > 0)
