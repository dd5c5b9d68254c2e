"""Stage `evaluate`: the accuracy of torch and of every exported file, by one implementation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from tasks.base.errors import DataError
from tasks.base.files import folder_atomic, write_json
from tasks.base.params import Params as Section
from tasks.base.progress import Progress
from tasks.data.pictures import locate, over_pictures, read_picture
from tasks.data.table import Dataset, full_disk_is_told, read_dataset
from tasks.metrics.coco import evaluate_coco
from tasks.metrics.detections import detections_table, write_detections
from tasks.metrics.targets import chosen_targets
from tasks.metrics.testset import digest_testset
from tasks.metrics.voc import Limits, evaluate_voc
from tasks.models.store import load_structure
from tasks.registry.runs import stage_run
from tasks.runtime.artefacts import artefacts, size_of
from tasks.runtime.detections import Detections
from tasks.runtime.detector import Detector, open_detector
from tasks.training.session import use_threads

BATCH = 8  # pictures decoded at a time


class Voc(Section):
    """Pascal VOC's average precision: the smallest IoU that counts, and box sizes that take part, for each class."""

    iou: float | dict[str, float] = 0.5
    limits: dict[str, Limits] = {}


class Params(Section):
    """Section `evaluate` of params.yaml."""

    split: Literal["train", "val", "test"] = "test"
    score_threshold: float = Field(default=0.05, ge=0, le=1)
    max_detections: int = Field(default=100, ge=1)
    voc: Voc = Voc()


def run(
    params: Params, *, raw: Path, data: Path, trained: Path, pruned: Path, exports: Path, out: Path, run: Path
) -> None:
    """Detect on one split with every artefact; `metrics.json` and the detections go to `out`, the record to `run`.

    Raises:
        DataError: no pictures in the split, an unreadable picture, an artefact that is missing or has other classes.
        ParamsError: VOC settings for a class that is not there.
    """
    use_threads()
    dataset = read_dataset(data).subset(params.split)
    if not dataset.images.num_rows:
        raise DataError(f"no pictures in the split {params.split!r}", where=data, mend="edit evaluate.split or split")
    paths = artefacts(trained, pruned, exports, chosen_targets())
    _voc(params.voc, dataset, detections_table({}))  # a class that is not there is told before pictures are read
    line, digest = load_structure(trained).line, digest_testset(dataset)
    with stage_run("evaluate", line=line, params=params.model_dump(mode="json"), record=run) as tracked:
        tracked.dataset(dataset.meta.name, digest, context=f"{params.split} split")
        found = _detect(params, raw, dataset, paths)
        measured: dict[str, Any] = {}
        with full_disk_is_told(out), folder_atomic(out) as new:
            for name, detections in found.items():
                table = detections_table(detections)
                write_detections(new / "detections" / f"{name.replace('/', '__')}.parquet", table)
                measured[name] = {**evaluate_coco(dataset, table), "voc": _voc(params.voc, dataset, table)}
                measured[name]["bytes"] = size_of(paths[name])
            head = {"test_hash": digest, "split": params.split, "images": dataset.images.num_rows}
            write_json(new / "metrics.json", {**head, "artefacts": measured})
        tracked.metrics({name: {key: one[key] for key in ("AP", "AP50", "AP75")} for name, one in measured.items()})
    _tell(measured)


def _detect(params: Params, raw: Path, dataset: Dataset, paths: dict[str, Path]) -> dict[str, dict[int, Detections]]:
    """artefact -> image id -> detections; every picture is decoded once."""
    detectors = {name: _of_these_classes(open_detector(path), dataset, path) for name, path in paths.items()}
    found: dict[str, dict[int, Detections]] = {name: {} for name in detectors}
    ids, places = dataset.images["image_id"].to_pylist(), locate(raw, dataset.images)
    progress = Progress(len(ids), "evaluate: pictures")
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH]
        pictures = list(over_pictures(read_picture, places[start : start + BATCH]))
        for name, detector in detectors.items():
            found[name] |= zip(some, _predict(params, detector, pictures), strict=True)
        progress.step(count=len(some))
    return found


def _predict(params: Params, detector: Detector, pictures: list[np.ndarray]) -> list[Detections]:
    return detector.predict(pictures, score_threshold=params.score_threshold, max_detections=params.max_detections)


def _of_these_classes(detector: Detector, dataset: Dataset, path: Path) -> Detector:
    if list(detector.classes) != list(dataset.meta.classes):
        what = f"the model knows {', '.join(detector.classes)}; the data {', '.join(dataset.meta.classes)}"
        raise DataError(what, where=path, mend="train again: visionmill run")
    return detector


def _voc(params: Voc, dataset: Dataset, table: Any) -> dict[str, Any]:
    return {
        "sample": evaluate_voc(dataset, table, mode="sample", iou=params.iou, limits=params.limits),
        "integrate": evaluate_voc(dataset, table, mode="integrate", iou=params.iou, limits=params.limits),
    }


def _tell(measured: dict[str, Any]) -> None:
    width = max(map(len, measured))
    print(f"{'artefact':{width}}      AP    AP50    AP75       MB")
    for name, one in measured.items():
        numbers = "  ".join("   n/a" if one[key] is None else f"{one[key]:6.3f}" for key in ("AP", "AP50", "AP75"))
        print(f"{name:{width}}  {numbers}  {one['bytes'] / 1e6:7.2f}")
