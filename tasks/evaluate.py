"""Stage `evaluate`: the accuracy of torch and of every exported file, by one implementation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from tasks.base.errors import DataError
from tasks.base.files import folder_atomic, write_json
from tasks.base.params import Params as Section
from tasks.data.table import Dataset, full_disk_is_told, read_dataset
from tasks.measure.detecting import detect, of_these_classes
from tasks.measure.numbers import intervals, tell, voc_numbers
from tasks.measure.opening import Opened, open_all
from tasks.metrics.coco import evaluate_coco
from tasks.metrics.detections import detections_table, write_detections
from tasks.metrics.robustness import Robustness, under_corruption
from tasks.metrics.targets import chosen_targets
from tasks.metrics.testset import digest_testset
from tasks.metrics.voc import Limits
from tasks.models.store import load_structure
from tasks.registry.runs import stage_run
from tasks.runtime.artefacts import artefacts, size_of
from tasks.runtime.detections import Detections
from tasks.training.session import use_threads

REPORTED = ("AP", "AP_low", "AP_high", "AP50", "AP50_low", "AP50_high", "AP75")


class Voc(Section):
    """Pascal VOC's average precision: the smallest IoU that counts, and box sizes that take part, for each class."""

    iou: float | dict[str, float] = 0.5
    limits: dict[str, Limits] = {}


class Params(Section):
    """Section `evaluate` of params.yaml.

    Attributes:
        draws: of pictures, for the 95 % intervals of AP and AP50.
    """

    split: Literal["train", "val", "test"] = "test"
    score_threshold: float = Field(default=0.05, ge=0, le=1)
    max_detections: int = Field(default=100, ge=1)
    draws: int = Field(default=1000, ge=100)
    voc: Voc = Voc()
    robustness: Robustness = Robustness()


def run(
    params: Params, *, raw: Path, data: Path, trained: Path, pruned: Path, exports: Path, out: Path, run: Path
) -> None:
    """Detect on one split with every artefact; `metrics.json` and the detections go to `out`, the record to `run`.

    An artefact whose runtime is not on this machine is measured through ONNX Runtime on the CPU and marked so.

    Raises:
        DataError: no pictures in the split, an unreadable picture, an artefact that is missing or has other classes.
        ParamsError: VOC settings for a class, or robustness of an artefact, that is not there.
    """
    use_threads()
    dataset = read_dataset(data).subset(params.split)
    if not dataset.images.num_rows:
        raise DataError(f"no pictures in the split {params.split!r}", where=data, mend="edit evaluate.split or split")
    paths = artefacts(trained, pruned, exports, chosen_targets())
    # a class or an artefact that is not there is told before pictures are read
    voc_numbers(dataset, detections_table({}), params.voc.iou, params.voc.limits)
    params.robustness.chosen(list(paths))
    line, digest = load_structure(trained).line, digest_testset(dataset)
    with stage_run("evaluate", line=line, params=params.model_dump(mode="json"), record=run) as tracked:
        tracked.dataset(dataset.meta.name, digest, context=f"{params.split} split")
        opened, left_out = open_all(paths)
        detectors = {name: of_these_classes(one.detector, dataset, paths[name]) for name, one in opened.items()}
        asked: dict[str, Any] = {"score_threshold": params.score_threshold, "max_detections": params.max_detections}
        found = detect(raw, dataset, detectors, **asked)
        worse = under_corruption(params.robustness, dataset, raw, detectors, **asked)
        head = {"test_hash": digest, "split": params.split, "images": dataset.images.num_rows, "left_out": left_out}
        with full_disk_is_told(out), folder_atomic(out) as new:
            measured = _measured(params, dataset, found, new)
            for name, one in measured.items():
                one |= _facts(opened[name], paths[name]) | ({"robustness": worse[name]} if name in worse else {})
            write_json(new / "metrics.json", {**head, "artefacts": measured})
        tracked.metrics({name: {key: one[key] for key in REPORTED} for name, one in measured.items()})
        tracked.metrics({name: {"robustness": one["mean"]} for name, one in worse.items()})
    tell(measured, left_out)


def _measured(params: Params, dataset: Dataset, found: dict[str, dict[int, Detections]], new: Path
              ) -> dict[str, dict[str, Any]]:
    """Every number that detections give; they are written to `new`."""
    tables = {name: detections_table(detections) for name, detections in found.items()}
    sure = intervals(dataset, tables, params.draws)
    for name, table in tables.items():
        write_detections(new / "detections" / f"{name.replace('/', '__')}.parquet", table)
    return {name: {**evaluate_coco(dataset, table), **sure[name],
                   "voc": voc_numbers(dataset, table, params.voc.iou, params.voc.limits)}
            for name, table in tables.items()}


def _facts(opened: Opened, path: Path) -> dict[str, Any]:
    facts = {"bytes": size_of(path), "provider": opened.detector.provider, "emulated": opened.emulated is not None}
    return facts | ({"emulated_because": opened.emulated} if opened.emulated else {})
