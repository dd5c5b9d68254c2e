"""What the workspace's model got wrong on val, for the strategy `failures` and the weights of `mixed`.

Never on test: a pool mined for what test shows makes the test set a part of the training.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.base.errors import DataError, UserError
from tasks.base.files import digest_file, digest_tree, digest_value, read_json
from tasks.data.near.embedding import CACHE, embed
from tasks.data.pictures import locate
from tasks.data.table import Dataset, read_dataset
from tasks.labels.mining.failures import failures_of
from tasks.labels.mining.pool import Failures
from tasks.metrics.coco import evaluate_coco
from tasks.metrics.detections import read_detections, write_detections
from tasks.metrics.mistakes import worst_mistakes

RESULTS, SPLIT, RAW, TRAINED = Path("results/evaluate"), Path("data/split"), Path("data/raw"), Path("models/trained")
KEPT = Path(".visionmill/mining")
FIRST = "trained/torch"
MOST = 10_000


@dataclass(frozen=True)
class Evaluation:
    """What a model finds on pictures whose labels are known.

    Attributes:
        dataset: the pictures and their labels; raw: what their names are relative to.
        detections: in the form of `tasks.metrics.detections.SCHEMA`.
        thresholds: score from which a detection of a class counts; 0.5 for those that are not named.
        told: which evaluation it is, in words.
    """

    dataset: Dataset
    detections: pa.Table
    raw: Path
    thresholds: dict[str, float]
    told: str


def failures(evaluation: Evaluation, workspace: Path) -> Failures:
    """Its mistakes by picture, worst first, with what the pictures look like.

    Raises:
        UserError: it is of the test split.
    """
    if evaluation.dataset.images.num_rows and set(evaluation.dataset.images["split"].to_pylist()) == {"test"}:
        raise UserError("mistakes on test are not mined for: the test set would become part of the training",
                        where=evaluation.told, mend="give an evaluation on val, or take another strategy")
    wrong = worst_mistakes(evaluation.dataset, evaluation.detections, score_threshold=evaluation.thresholds, limit=MOST)
    images = evaluation.dataset.images
    at = np.flatnonzero(np.isin(images["image_id"].to_numpy(), [one.image_id for one in wrong]))
    some = images.take(pa.array(at))
    vectors = embed(locate(evaluation.raw, some), some["digest"].to_pylist(), cache=workspace / CACHE)
    return failures_of(wrong, some["image_id"].to_numpy(), vectors)


def quality(evaluation: Evaluation) -> dict[str, float]:
    """AP50 of each class that the evaluation's labels have."""
    told = evaluate_coco(evaluation.dataset, evaluation.detections)["per_class"]
    return {name: round(one["AP50"], 4) for name, one in told.items() if one["AP50"] is not None}


def last_evaluation(workspace: Path, make: bool = True) -> Evaluation:
    """The last evaluation of this workspace's line on val: results/evaluate where it was on val, else of the trained
    model, which then looks at val once.

    Args:
        make: let the trained model look where there is none.

    Raises:
        UserError: there is none, and no trained model or no val split to make one; or it may not be made.
    """
    metrics = workspace / RESULTS / "metrics.json"
    told = _read(metrics)
    if told.get("split") != "val":
        return _on_val(workspace, make)
    dataset = _val(workspace)
    names = list(told["artefacts"])
    name = FIRST if FIRST in names else names[0]
    detections = read_detections(workspace / RESULTS / "detections" / f"{name.replace('/', '__')}.parquet")
    strange = np.setdiff1d(detections["image_id"].to_numpy(), dataset.images["image_id"].to_numpy())
    if len(strange):
        raise DataError("results/evaluate is of another split than data/split has", where=metrics, mend="dvc repro")
    return Evaluation(dataset, detections, workspace / RAW, _thresholds(workspace), f"{name} on val")


def _on_val(workspace: Path, make: bool) -> Evaluation:
    folder = workspace / TRAINED
    if not make or not (folder / "model.safetensors").is_file():
        raise UserError("there is no evaluation on val, and no trained model to make one", where=workspace,
                        mend="visionmill run, or take another strategy")
    dataset = _val(workspace)
    key = digest_value([digest_file(folder / "model.json"), digest_file(folder / "model.safetensors"),
                        digest_tree(workspace / SPLIT)])[:32]
    kept = workspace / KEPT / f"val-{key}.parquet"
    if not kept.is_file():
        from tasks.models.store import load_model
        from tasks.training.judge import Judge

        model, structure = load_model(folder)
        if structure.classes != dataset.meta.classes:
            raise DataError("the trained model has other classes than data/split", where=folder, mend="dvc repro")
        judge = Judge(workspace / RAW, dataset, (structure.height, structure.width))
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_detections(kept, judge.detections(model))
    return Evaluation(dataset, read_detections(kept), workspace / RAW, _thresholds(workspace), "models/trained on val")


def _val(workspace: Path) -> Dataset:
    if not (workspace / SPLIT / "dataset.json").is_file():
        raise UserError("this workspace has no split yet", where=workspace / SPLIT, mend="dvc repro split")
    dataset = read_dataset(workspace / SPLIT).subset("val")
    if not dataset.images.num_rows:
        raise DataError("the val split has no picture", where=workspace / SPLIT, mend="edit split in params.yaml")
    return dataset


def _thresholds(workspace: Path) -> dict[str, float]:
    return dict(_read(workspace / TRAINED / "model.json").get("thresholds") or {})


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(path)) if path.is_file() else {}
    except (ValueError, TypeError):
        raise DataError("damaged", where=path, mend="dvc repro --force evaluate") from None
