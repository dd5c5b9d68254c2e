"""Is the exported file the model that was trained? As tensors on real pictures, and as AP on the validation split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from tasks.base.errors import GateRefused
from tasks.base.params import Params
from tasks.data.pictures import Location, locate, read_picture
from tasks.data.table import Dataset
from tasks.metrics.coco import quick_ap
from tasks.metrics.detections import detections_table
from tasks.runtime.detector import Detector

SEEN = 0.05  # boxes of candidates below this score are never shown


class Limits(Params):
    """How far a file may be from torch.

    Attributes:
        pictures: validation pictures whose raw tensors are compared.
        score: largest difference of a score, 0..1, in 32-bit files.
        box: largest difference of a box's side, as a share of the longer side of the input, in 32-bit files.
        ap_loss: validation AP that a 32-bit file may lose, 0..1.
        int8_ap_loss: validation AP that an 8-bit file may lose, 0..1.
    """

    pictures: int = Field(16, ge=1)
    score: float = Field(1e-3, ge=0)
    box: float = Field(1e-3, ge=0)
    ap_loss: float = Field(0.001, ge=0)
    int8_ap_loss: float = Field(0.02, ge=0)


def compare(reference: Detector, file: Detector, val: Dataset, raw: Path, count: int) -> dict[str, Any]:
    """Differences between two artefacts of one model; AP is None where the split has no box.

    Raises:
        GateRefused: the file's answers are not finite.
    """
    files = locate(raw, val.images)
    scores, boxes = 0.0, 0.0
    for file_name in files[:count]:
        image, _ = reference.fit(read_picture(file_name))
        (want_boxes, want_scores), (got_boxes, got_scores) = reference.raw(image), file.raw(image)
        if not (np.isfinite(got_scores).all() and np.isfinite(got_boxes).all()):
            raise GateRefused("the file answers with numbers that are not finite", where=file_name.name,
                              mend="another export.calibration.method, or more calibration pictures")
        scores = max(scores, float(np.abs(want_scores - got_scores).max()))
        shown = want_scores.max(axis=2) > SEEN
        if shown.any():
            boxes = max(boxes, float(np.abs(want_boxes[shown] - got_boxes[shown]).max()))
    torch_ap, own_ap = (_ap(d, val, files) for d in (reference, file))
    return {"max_score_difference": scores, "max_box_difference_px": boxes, "val_AP_torch": torch_ap, "val_AP": own_ap,
            "pictures": min(count, len(files))}


def _ap(detector: Detector, val: Dataset, files: list[Location]) -> float | None:
    ids = val.images["image_id"].to_pylist()
    found = {i: detector.predict([read_picture(file)])[0] for i, file in zip(ids, files, strict=True)}
    return quick_ap(val, detections_table(found))[0]


def broken(said: dict[str, Any], limits: Limits, precision: str, side: int) -> list[str]:
    """What a comparison violates, in words; an empty list when the file is equal enough."""
    found = []
    loss = (said["val_AP_torch"] or 0.0) - (said["val_AP"] or 0.0)
    allowed = limits.int8_ap_loss if precision == "int8" else limits.ap_loss
    if loss > allowed:
        found.append(f"validation AP falls by {loss:.4f}, {allowed} are allowed")
    if precision == "int8":
        return found
    if said["max_score_difference"] > limits.score:
        found.append(f"scores differ by {said['max_score_difference']:.2g}, {limits.score} are allowed")
    if said["max_box_difference_px"] > limits.box * side:
        found.append(f"boxes differ by {said['max_box_difference_px']:.2g} px, {limits.box * side:.2g} are allowed")
    return found
