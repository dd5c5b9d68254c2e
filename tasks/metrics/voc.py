"""Pascal VOC's average precision, with IoU thresholds and box sizes for each class as in TLT's `evaluation_config`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from tasks.base.errors import ParamsError, nearest
from tasks.base.params import Params, check
from tasks.metrics.detections import Boxes, detected_boxes, truth_boxes
from tasks.metrics.matching import by_class, voc_outcomes

if TYPE_CHECKING:
    from tasks.data.table import Dataset

LIMITS = "params.yaml: evaluate.voc.limits"
Mode = Literal["sample", "integrate"]


class Limits(Params):
    """Sizes in pixels, both ends included, that a box of a class must have to take part, true or detected."""

    min_height: float = Field(default=0, ge=0)
    max_height: float | None = Field(default=None, ge=0)
    min_width: float = Field(default=0, ge=0)
    max_width: float | None = Field(default=None, ge=0)


def evaluate_voc(
    dataset: Dataset,
    detections: pa.Table,
    *,
    mode: Mode,
    iou: float | Mapping[str, float] = 0.5,
    limits: Mapping[str, Limits | Mapping[str, float]] | None = None,
) -> dict[str, Any]:
    """Average precision of each class, and its mean over the classes that have ground truth.

    Boxes outside the limits of their class are left out on both sides, as TLT does. Difficult boxes and crowds are
    neither missed nor found.

    Args:
        mode: "sample", the mean of the best precision at recall 0, 0.1 … 1 (VOC until 2009); or "integrate", the area
            under the curve made monotonic (VOC from 2010, section 3.4.1 of the development kit's documentation).
        iou: smallest IoU that counts as found, above 0 and at most 1; a mapping names classes, the others have 0.5.
        limits: class -> `Limits`, or a mapping of its fields.

    Returns:
        mAP: 0..1, None when no class has ground truth; per_class: name -> 0..1, None for a class without.

    Raises:
        ParamsError: an unknown mode or class, or an IoU outside its range.
        DataError: a detection of an unknown picture or class, or one that is not finite.
    """
    if mode not in ("sample", "integrate"):
        raise ParamsError(f"no such mode of VOC's average precision: {mode!r}", mend="'sample' or 'integrate'")
    classes = list(dataset.meta.classes)
    needed = thresholds(classes, iou)
    bounds = _bounds(classes, limits or {})
    truth, found = (_within(boxes, bounds) for boxes in (truth_boxes(dataset), detected_boxes(dataset, detections)))
    if not classes:
        return {"mAP": None, "per_class": {}}
    totals = np.bincount(truth.label[~truth.difficult & ~truth.crowd], minlength=len(classes))
    trues = by_class(found, voc_outcomes(truth, found, needed), len(classes))[0]
    area = sampled if mode == "sample" else integrated
    scores = [area(true, int(total)) if total else None for true, total in zip(trues, totals, strict=True)]
    measured = [score for score in scores if score is not None]
    return {"mAP": float(np.mean(measured)) if measured else None, "per_class": dict(zip(classes, scores, strict=True))}


def sampled(true: np.ndarray, total: int) -> float:
    """Mean over recall 0, 0.1 … 1 of the best precision at that recall or above.

    Args:
        true: whether each detection is true, bool [n], highest score first.
        total: number of objects, above 0.
    """
    hits = np.cumsum(true)
    best = _envelope(hits / np.arange(1, len(hits) + 1))
    # in floating point 9 of 15 is below the seventh point, 0.6000000000000001; published values and TLT have it so
    places = np.searchsorted(hits / total, np.linspace(0, 1, 11))
    return float(np.append(best, 0.0)[places].mean())


def integrated(true: np.ndarray, total: int) -> float:
    """Area under the precision-recall curve after precision is made to fall with recall; arguments as `sampled`."""
    precision = np.cumsum(true) / np.arange(1, len(true) + 1)
    return float(_envelope(precision)[true].sum() / total)


def thresholds(classes: list[str], iou: float | Mapping[str, float]) -> np.ndarray:
    """The IoU threshold of each class, float64 [class]; arguments and errors as `evaluate_voc`."""
    named = dict(iou) if isinstance(iou, Mapping) else dict.fromkeys(classes, iou)
    _known(named, classes, "params.yaml: evaluate.voc.iou")
    for name, value in named.items():
        if not 0 < value <= 1:
            raise ParamsError(f"the IoU threshold of {name!r} is {value}", mend="a number above 0 and at most 1")
    return np.array([named.get(name, 0.5) for name in classes], float)


def _envelope(precision: np.ndarray) -> np.ndarray:
    return np.maximum.accumulate(precision[::-1])[::-1]


def _bounds(classes: list[str], limits: Mapping[str, Limits | Mapping[str, float]]) -> np.ndarray:
    """[class, (min, max), (width, height)]"""
    _known(limits, classes, LIMITS)
    given = {name: one if isinstance(one, Limits) else check(Limits, one, LIMITS) for name, one in limits.items()}
    each = [given.get(name, Limits()) for name in classes]
    rows = [[[one.min_width, one.min_height], [one.max_width, one.max_height]] for one in each]
    bounds = np.array(rows, float).reshape(-1, 2, 2)  # None has become NaN
    return np.where(np.isnan(bounds), np.inf, bounds)


def _within(boxes: Boxes, bounds: np.ndarray) -> Boxes:
    low, high = bounds[boxes.label, 0], bounds[boxes.label, 1]
    size = boxes.xywh[:, 2:]
    return boxes.take(((low <= size) & (size <= high)).all(axis=1))


def _known(named: Mapping[str, Any], classes: list[str], where: str) -> None:
    for name in named:
        if name not in classes:
            guess = nearest(name, classes)
            mend = f"did you mean {guess!r}?" if guess else f"the classes are: {', '.join(classes)}"
            raise ParamsError(f"no class is called {name!r}", where=where, mend=mend)
