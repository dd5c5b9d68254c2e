"""From a network's raw candidates on one picture to what a teacher answers; and whether they can be boxes at all."""

from __future__ import annotations

import numpy as np

from tasks.base.errors import UserError
from tasks.labelling.teachers.found import FLOOR, Found
from tasks.labels.features import candidate_features
from tasks.runtime.postprocess import NMS_IOU, Suppression, detections_of

SLACK = 0.01  # what arithmetic in few bits may add to a probability
PART = 1.5  # pixels of the input in whose first corner no object is: what lies there was a part of the picture
DESCRIBED = "compare {what} of its description (--description FILE.yaml) with how the model answers"


def found_of(boxes: np.ndarray, said: np.ndarray, classes: int, *, size: tuple[int, int], scale: float = 1.0,
             suppression: Suppression | None = None, features: bool = True) -> Found:
    """What is found on one picture.

    Args:
        boxes: float32 [A, 4] xyxy in input pixels.
        said: float32 [A, classes], or one column more for classes that are no detections.
        size: height and width of the picture; scale: factor from its pixels to those of the input.
        features: without, margin, spread and support are zeros.
    """
    suppression = suppression or Suppression()
    one = detections_of(boxes, said[:, :classes], size=size, scale=scale, score_threshold=FLOOR,
                        suppression=suppression)
    # what lay in the padding beside the picture has no area in it
    there = (one.boxes[:, 2:] > one.boxes[:, :2]).all(axis=1)
    kept, scores, labels = one.boxes[there], one.scores[there], one.class_ids[there]
    if not features:
        none = np.zeros(len(kept), np.float32)
        return Found(kept, scores, labels, none, none, none)
    # detections are clipped to the picture: so must be what they are compared with
    inside = (boxes / np.float32(scale)).clip(0, np.array([size[1], size[0]] * 2, np.float32))
    told = candidate_features(inside, said, kept, scores, labels, suppression.iou or NMS_IOU)
    return Found(kept, scores, labels, told["margin"], told["spread"], told["support"])


def refuse_misfit(boxes: np.ndarray, scores: np.ndarray, size: tuple[int, int], name: str,
                  elsewhere: bool = False) -> None:
    """Raises UserError where the candidates of a picture cannot be what the model's description says.

    Of the boxes those with a score above `FLOOR` count, and only what is so of all of them.

    Args:
        boxes: float32 [A, 4] xyxy in input pixels; scores: float32 [A, K].
        size: height and width of the input.
        elsewhere: the model is not of a line, whose networks may have learnt too little to give a box an area.
    """
    if not scores.size:
        return
    low, high = float(scores.min()), float(scores.max())
    if np.isnan(low):
        raise UserError(f"{name} answers with scores that are no numbers", where=name,
                        mend=DESCRIBED.format(what="input.mean and input.std"))
    if low < -SLACK or high > 1 + SLACK:
        raise UserError(f"scores of {name} reach from {low:.3g} to {high:.3g}, not 0 to 1", where=name,
                        mend=DESCRIBED.format(what="decoding.activation"))
    sure = boxes[scores.max(axis=1) > FLOOR]
    if not len(sure):
        return
    height, width = size
    left, top, right, bottom = sure.T
    wrong = {"are no numbers": ~np.isfinite(sure).all(axis=1),
             f"lie within {PART} pixels of the corner, as parts of the picture would": (
                 np.abs(sure) <= PART).all(axis=1),
             "end where they begin, or before": (
                 ((right <= left) | (bottom <= top)) & elsewhere & (len(sure) > 1)),
             f"lie outside of its input of {width} × {height}": (
                 (left > width) | (top > height) | (right < 0) | (bottom < 0))}
    for words, rows in wrong.items():
        if rows.all():
            raise UserError(f"all {len(sure)} boxes of {name} on a picture {words}",
                            where=f"{name}: {sure[0].round(3).tolist()}",
                            mend=DESCRIBED.format(what="decoding.scale and decoding.form"))
