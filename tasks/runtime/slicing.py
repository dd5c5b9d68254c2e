"""Large pictures in overlapping tiles, each looked at on its own, and what they see put together again.

The whole picture at the network's scale is one more tile, for objects that are larger than one.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from pydantic import Field

from tasks.base.params import Params
from tasks.runtime.choosing import NMS_IOU
from tasks.runtime.detections import Detections
from tasks.runtime.merging import merge

# a box ends at a border when it comes this near: share of the tile's side; boxes are a few input pixels off
NEAR = 0.02


class Slicing(Params):
    """How large pictures are cut.

    Attributes:
        tile: longer side of a tile in pixels of the picture, best that of the pictures the network was trained on; a
            tile has the shape of the network's input.
        overlap: share of a side that neighbours have in common; objects that are no larger are whole in one tile.
        whole: look at the whole picture too, at the network's scale, for objects that no tile has whole.
    """

    tile: int = Field(default=640, ge=16, le=16384)
    overlap: float = Field(default=0.2, ge=0, le=0.9)
    whole: bool = True


class Predicts(Protocol):
    """What of a detector is needed here."""

    height: int
    width: int

    def predict(self, pictures: list[np.ndarray], score_threshold: float | np.ndarray = ...) -> list[Detections]: ...


def predict_sliced(detector: Predicts, picture: np.ndarray, slicing: Slicing,
                   score_threshold: float | np.ndarray = 0.05, iou: float | None = NMS_IOU) -> Detections:
    """Detections of one picture, best first, as many as all tiles together have.

    Args:
        detector: asked once a tile.
        picture: uint8 [H, W, 3] RGB. One that is no larger than a tile is looked at as it is.
        slicing: the tiles.
        score_threshold: 0..1, one for all or float [K], one a class.
        iou: of two boxes of a class from different tiles that overlap by more than this the better one stays; None,
            for networks without suppression, takes the usual value, since two tiles do see one object twice.
    """
    from tasks.data.ops._cutting import Grid

    height, width = picture.shape[:2]
    factor = slicing.tile / max(detector.height, detector.width)
    grid = Grid(max(1, round(detector.width * factor)), max(1, round(detector.height * factor)), slicing.overlap)
    if grid.fits(width, height):
        return detector.predict([picture], score_threshold=score_threshold)[0]
    windows = np.asarray(grid.windows(width, height), dtype=np.int64)
    views = [picture[top:bottom, left:right] for left, top, right, bottom in windows]
    found = list(detector.predict(views, score_threshold=score_threshold))
    if slicing.whole:
        (overview,) = detector.predict([picture], score_threshold=score_threshold)
        found.append(_larger(overview, slicing.overlap * grid.width, slicing.overlap * grid.height))
        windows = np.concatenate([windows, [[0, 0, width, height]]])
    seen = [(one.boxes, one.scores, one.class_ids) for one in found]
    return Detections(*merge(seen, windows, (height, width), NEAR * slicing.tile, NMS_IOU if iou is None else iou))


def _larger(found: Detections, width: float, height: float) -> Detections:
    """Without the boxes that are whole in some tile for sure: there they are seen better."""
    keep = (found.boxes[:, 2:] - found.boxes[:, :2] > [width, height]).any(axis=1)
    return Detections(found.boxes[keep], found.scores[keep], found.class_ids[keep])
