"""Is the exported file the model that was trained? As raw tensors, as matched detections, and as AP, on real pictures.

A file has to pass all three on the validation split: raw candidates of some pictures, detections of all pictures
matched one to one, and AP with the paired interval of its difference. What each precision may differ is in `Limits`:
arithmetic in 32 bits is held to the largest difference of all candidates, 8 bits to the mean one, since a single
candidate between two classes may jump.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from tasks.base.errors import DataError, GateRefused
from tasks.base.files import digest_value
from tasks.base.params import Params
from tasks.compress.parity_picture import side_by_side
from tasks.data.pictures import Location, locate, read_picture
from tasks.data.table import Dataset
from tasks.metrics.agreement import agreement
from tasks.metrics.bootstrap import change, resample
from tasks.metrics.detections import detections_table
from tasks.runtime.detections import Detections
from tasks.runtime.detector import Detector

SEEN = 0.05  # boxes of candidates below this score are never shown
SHOTS = Path(".visionmill/parity")  # outside the outputs, which DVC removes when a stage fails
IOU = {"int8": 0.75}  # least overlap of one object's boxes by torch and by the file; 0.9 for other precisions
FLOAT_IOU = 0.9
DRAWS = 1000


class Limits(Params):
    """How far a file may be from torch. Scores are 0..1; boxes are shares of the longer side of the input.

    Attributes:
        pictures: validation pictures whose raw tensors are compared.
        score: largest difference of any score, in 32-bit files.
        box: largest difference of a box's side, in 32-bit files.
        ap_loss: validation AP that a 32-bit or 16-bit file may lose, 0..1.
        unmatched: share of the detections that may have no partner, in 32-bit files.
        fp16_score, fp16_box, fp16_unmatched: the same for 16-bit files.
        int8_score, int8_box: mean difference over the candidates that can be seen, in 8-bit files.
        int8_ap_loss, int8_unmatched: the same for 8-bit files.
    """

    pictures: int = Field(32, ge=1)
    score: float = Field(1e-4, ge=0)
    box: float = Field(1e-4, ge=0)
    ap_loss: float = Field(0.001, ge=0)
    unmatched: float = Field(0.01, ge=0, le=1)
    fp16_score: float = Field(0.02, ge=0)
    fp16_box: float = Field(0.02, ge=0)
    fp16_unmatched: float = Field(0.03, ge=0, le=1)
    int8_score: float = Field(0.05, ge=0)
    int8_box: float = Field(0.03, ge=0)
    int8_ap_loss: float = Field(0.02, ge=0)
    int8_unmatched: float = Field(0.25, ge=0, le=1)


@dataclass(frozen=True)
class Worst:
    """The picture on which two artefacts agree least, and what each says of it."""

    place: Location
    torch: Detections
    file: Detections
    classes: list[str]


class Comparison(dict[str, Any]):
    """The numbers of a comparison, plain data for JSON, and beside them the worst case, which is drawn when it fails.

    Keys: max_score_difference, mean_score_difference (0..1), max_box_difference_px, mean_box_difference_px (input
    pixels); the means are over candidates with a score above `SEEN`. val_AP_torch, val_AP, val_AP_change (value, low,
    high: the file's AP less torch's with its paired 95 % interval); matched (iou, shown, unmatched, unmatched_share,
    max_score_difference); pictures (whose tensors were compared), val_pictures; provider.
    """

    worst: Worst | None = None


def compare(reference: Detector, file: Detector, val: Dataset, raw: Path, count: int,
            precision: str | None = None) -> Comparison:
    """Differences between two artefacts of one model; AP is None where the split has no box.

    Args:
        reference: the model in torch.
        file: the exported file, on the runtime that is to be proven.
        val: the validation split.
        raw: folder of the pictures.
        count: pictures whose raw tensors are compared.
        precision: of the file, what it says of itself when None; decides how much partners must overlap.

    Raises:
        DataError: the split has no picture, or the file knows other classes.
        GateRefused: the file's answers are not finite, or of another shape.
    """
    files = locate(raw, val.images)
    if not files:
        raise DataError("no validation picture to compare on: equality cannot be shown", where="data/split",
                        mend="mend split.val")
    said = Comparison(_tensors(reference, file, files[:count]), pictures=min(count, len(files)),
                      val_pictures=len(files), provider=getattr(file, "provider", None))
    if list(file.classes) != list(reference.classes):
        raise DataError(f"the file knows {', '.join(file.classes)}; the model {', '.join(reference.classes)}",
                        mend="export it again: dvc repro")
    found = _answers(reference, file, val, files)
    one, other = (detections_table(side) for side in found)
    torch_ap, own_ap = (resample(val, table, ("AP",), DRAWS)["AP"] for table in (one, other))
    matched = agreement(val, one, other, IOU.get(precision or file.precision, FLOAT_IOU))
    said |= {"val_AP_torch": torch_ap.value, "val_AP": own_ap.value,
             "val_AP_change": change(torch_ap, own_ap)._asdict(), "matched": matched.numbers()}
    ids = val.images["image_id"].to_pylist()
    at = matched.worst if matched.worst is not None else ids[0]
    said.worst = Worst(files[ids.index(at)], found[0][at], found[1][at], list(file.classes))
    return said


def _tensors(reference: Detector, file: Detector, files: list[Location]) -> dict[str, float]:
    """Largest and mean differences of the raw candidates."""
    scores, boxes = [np.zeros(0)], [np.zeros(0)]  # of candidates that are seen
    most_score = most_box = 0.0
    for place in files:
        image, _ = reference.fit(read_picture(place))
        (want_boxes, want_scores), (got_boxes, got_scores) = reference.raw(image), file.raw(image)
        _refuse_broken(want_scores, got_scores, got_boxes, place)
        by_score, by_box = np.abs(want_scores - got_scores), np.abs(want_boxes - got_boxes)
        seen = want_scores.max(axis=2) > SEEN
        most_score, most_box = max(most_score, float(by_score.max())), max(most_box, float(by_box[seen].max(initial=0)))
        either = seen | (got_scores.max(axis=2) > SEEN)
        scores.append(by_score[either].max(axis=1))
        boxes.append(by_box[either].ravel())
    means = [float(np.concatenate(parts).mean()) if sum(map(len, parts)) else 0.0 for parts in (scores, boxes)]
    return {"max_score_difference": most_score, "max_box_difference_px": most_box, "mean_score_difference": means[0],
            "mean_box_difference_px": means[1]}


def _refuse_broken(wanted: np.ndarray, scores: np.ndarray, boxes: np.ndarray, place: Location) -> None:
    if scores.shape != wanted.shape:
        raise GateRefused(f"the file answers in another shape: {scores.shape}, torch {wanted.shape}", where=place.name,
                          mend="export it again: dvc repro")
    if not (np.isfinite(scores).all() and np.isfinite(boxes).all()):
        raise GateRefused("the file answers with numbers that are not finite", where=place.name,
                          mend="another export.calibration.method, or more calibration pictures")


def _answers(reference: Detector, file: Detector, val: Dataset, files: list[Location]
             ) -> tuple[dict[int, Detections], dict[int, Detections]]:
    """Image id → detections of both; every picture is decoded once."""
    found: tuple[dict[int, Detections], dict[int, Detections]] = ({}, {})
    for image, place in zip(val.images["image_id"].to_pylist(), files, strict=True):
        picture = read_picture(place)
        for side, detector in zip(found, (reference, file), strict=True):
            side[image] = detector.predict([picture])[0]
    return found


def broken(said: dict[str, Any], limits: Limits, precision: str, side: int) -> list[str]:
    """What a comparison violates, in words; an empty list when the file is equal enough.

    When something is violated and `said` comes from `compare`, the last of the words name a picture of the worst case.

    Args:
        said: what `compare` gave.
        limits: what is allowed.
        precision: fp32, fp16 or int8.
        side: the longer side of the input in pixels.
    """
    found = [*_accuracy(said, limits, precision), *_raw(said, limits, precision, side),
             *_unmatched(said, limits, precision)]
    if found and isinstance(said, Comparison) and said.worst is not None:
        found.append(f"the worst picture, both side by side: {_drawn(said, said.worst, precision)}")
    return found


def _accuracy(said: dict[str, Any], limits: Limits, precision: str) -> list[str]:
    loss = (said["val_AP_torch"] or 0.0) - (said["val_AP"] or 0.0)
    allowed = limits.int8_ap_loss if precision == "int8" else limits.ap_loss
    if loss <= allowed:
        return []
    told = said.get("val_AP_change") or {}
    sure = (f" (95 % interval {-told['high']:.4f} to {-told['low']:.4f})"
            if told.get("low") is not None else "")
    return [f"validation AP falls by {loss:.4f}{sure}, {allowed} are allowed"]


def _raw(said: dict[str, Any], limits: Limits, precision: str, side: int) -> list[str]:
    kind, how = ("mean", "on average ") if precision == "int8" else ("max", "")
    prefix = "" if precision == "fp32" else f"{precision}_"
    score, box = (getattr(limits, f"{prefix}{name}") for name in ("score", "box"))
    scores, boxes = said.get(f"{kind}_score_difference", 0.0), said.get(f"{kind}_box_difference_px", 0.0)
    found = [f"scores differ {how}by {scores:.2g}, {score} are allowed"] if scores > score else []
    if boxes > box * side:
        found.append(f"boxes differ {how}by {boxes:.2g} px, {box * side:.2g} are allowed")
    return found


def _unmatched(said: dict[str, Any], limits: Limits, precision: str) -> list[str]:
    matched = said.get("matched") or {"unmatched_share": 0.0}
    allowed = limits.unmatched if precision == "fp32" else getattr(limits, f"{precision}_unmatched")
    if matched["unmatched_share"] <= allowed:
        return []
    return [f"{matched['unmatched']} of {matched['shown']} detections have no partner at IoU {matched['iou']:g}: "
            f"{matched['unmatched_share']:.3f}, {allowed} are allowed"]


def _drawn(said: Comparison, worst: Worst, precision: str) -> Path:
    """Where the picture of the worst case is written; equal failures have one name."""
    path = SHOTS / f"{precision}-{worst.place.name.rpartition('/')[2].rpartition('.')[0]}-{digest_value(said)[:8]}.png"
    side_by_side(read_picture(worst.place), {"torch": worst.torch, "file": worst.file}, worst.classes, path)
    return path
