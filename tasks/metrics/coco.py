"""COCO average precision of boxes. faster-coco-eval computes; the tests hold it against pycocotools."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tasks.metrics.detections import Boxes, detected_boxes, truth_boxes

if TYPE_CHECKING:
    from tasks.data.table import Dataset

AREAS = ("all", "small", "medium", "large")
IOU_50, IOU_75 = 0, 5  # places in the thresholds 0.50, 0.55 … 0.95


def evaluate_coco(dataset: Dataset, detections: pa.Table) -> dict[str, Any]:
    """COCO's summary of the detections on all pictures of a dataset, and the same for each class.

    A crowd box is neither missed nor found: what lies in it does not count. At most 100 detections a picture and class
    count. A number is None where there is no ground truth to measure it on, and such a class is left out of the means.

    Returns:
        AP (mean over IoU 0.50 … 0.95), AP50, AP75, AP_small (below 32² px), AP_medium, AP_large (from 96² px), AR_100:
        0..1 or None; per_class: name -> AP, AP50, ground_truth (crowd not counted), detections; images: how many.

    Raises:
        DataError: a detection of an unknown picture or class, or one that is not finite.
    """
    truth, found = truth_boxes(dataset), detected_boxes(dataset, detections)
    precision, recall = _evaluate(dataset, truth, found, AREAS)
    overall = {
        "AP": _mean(precision[..., 0]),
        "AP50": _mean(precision[IOU_50, ..., 0]),
        "AP75": _mean(precision[IOU_75, ..., 0]),
        **{f"AP_{name}": _mean(precision[..., place]) for place, name in enumerate(AREAS) if place},
        "AR_100": _mean(recall[..., 0]),
    }
    return {**overall, "per_class": _per_class(dataset, truth, found, precision), "images": dataset.images.num_rows}


def quick_ap(dataset: Dataset, detections: pa.Table) -> tuple[float | None, float | None]:
    """AP and AP50 alone, as `evaluate_coco` gives them; for the end of an epoch."""
    precision, _ = _evaluate(dataset, truth_boxes(dataset), detected_boxes(dataset, detections), AREAS[:1])
    return _mean(precision), _mean(precision[IOU_50])


def _per_class(dataset: Dataset, truth: Boxes, found: Boxes, precision: np.ndarray) -> dict[str, dict[str, Any]]:
    names = dataset.meta.classes
    truths = np.bincount(truth.label[~truth.crowd], minlength=len(names))
    founds = np.bincount(found.label, minlength=len(names))
    return {
        name: {
            "AP": _mean(precision[:, :, place, 0]),
            "AP50": _mean(precision[IOU_50, :, place, 0]),
            "ground_truth": int(truths[place]),
            "detections": int(founds[place]),
        }
        for place, name in enumerate(names)
    }


def _evaluate(dataset: Dataset, truth: Boxes, found: Boxes, areas: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Precision [IoU 10, recall 101, class, area] and recall [IoU 10, class, area]; -1 where there is no truth."""
    classes = len(dataset.meta.classes)
    if not len(truth):
        return np.full((10, 101, classes, len(areas)), -1.0), np.full((10, classes, len(areas)), -1.0)
    # imported here: half a second that a reader of detections need not wait for
    from faster_coco_eval import COCO
    from faster_coco_eval.core.faster_eval_api import COCOeval_faster

    common = {
        "images": [{"id": image} for image in dataset.images["image_id"].to_pylist()],
        "categories": [{"id": place, "name": name} for place, name in enumerate(dataset.meta.classes)],
    }
    with _no_collector():
        sides = [COCO({**common, "annotations": _rows(boxes)}, print_function=_silent) for boxes in (truth, found)]
        evaluator = COCOeval_faster(*sides, iouType="bbox", print_function=_silent)
        evaluator.params.maxDets = [100]
        evaluator.params.areaRng = evaluator.params.areaRng[: len(areas)]
        evaluator.params.areaRngLbl = evaluator.params.areaRngLbl[: len(areas)]
        evaluator.evaluate()
    return evaluator.eval["precision"][..., 0], evaluator.eval["recall"][..., 0]


@contextmanager
def _no_collector() -> Iterator[None]:
    # it would walk over a growing million of dictionaries again and again: 1.8 of 9.5 s for 500,000 detections
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _rows(boxes: Boxes) -> list[dict[str, Any]]:
    # ids from 1: to the evaluator a match with annotation 0 means no match
    columns = (boxes.image, boxes.label, boxes.xywh, boxes.area, boxes.score, boxes.crowd.astype(int))
    names = ("id", "image_id", "category_id", "bbox", "area", "score", "iscrowd")
    return [
        dict(zip(names, row, strict=True))
        for row in zip(range(1, len(boxes) + 1), *(column.tolist() for column in columns), strict=True)
    ]


def _mean(values: np.ndarray) -> float | None:
    measured = values[values > -1]
    return float(measured.mean()) if measured.size else None


def _silent(*_: object) -> None:
    """The evaluator's prints go nowhere."""
