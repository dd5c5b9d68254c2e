"""Who speaks against the labels of a version: models of other folds, a file, or a model that is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.base.errors import DataError, UserError
from tasks.data.store.layout import Store, Version
from tasks.data.table import Dataset
from tasks.labelling.checking.elsewhere import Spoken, read_prelabels, read_table, read_version
from tasks.labelling.checking.folds import Folds, predict_out_of_fold
from tasks.labelling.checking.seen import warning

BY_FOLDS = "out-of-fold"
DETECTED = ("detect", "segment", "pairs")


@dataclass(frozen=True)
class Speaker:
    """Predictions, and what is told of them.

    Attributes:
        spoken: the predictions.
        said: how they came about, for the recipe of the queue; facts: the same for a reader.
    """

    spoken: Spoken
    said: dict[str, Any]
    facts: list[tuple[str, str]]


def find_speaker(store: Store, version: Version, dataset: Dataset, workspace: Path, folds: Folds, *,
                 predictions: str | None = None, model: str | None = None,
                 tell: Callable[[str], None] = print) -> Speaker:
    """Train out of fold, unless there are predictions already.

    Args:
        predictions: a Parquet file, or a version with a model's boxes.
        model: a model that has pre-labelled this version; with a version as `predictions`, which of its models.
        tell: takes lines for the person: progress, and whether the model has seen the pictures.

    Raises:
        DataError: labels without boxes, or predictions that do not fit; UserError: no such version or model.
    """
    if dataset.meta.problem not in DETECTED:
        raise DataError(f"the labels are for {dataset.meta.problem!r}; what is checked here is boxes",
                        where=version.ref, mend="choose a dataset with boxes: visionmill data list")
    if not dataset.annotations.num_rows:
        raise DataError(f"{version.ref} has no labels that could be wrong", where=version.folder,
                        mend=f"visionmill label auto {version.ref} --model MODEL")
    if predictions is None and model is None:
        return _out_of_fold(store, version, dataset, workspace, folds, tell)
    if predictions is not None and Path(predictions).is_file():
        spoken = read_table(Path(predictions), dataset)
    elif predictions is not None:
        spoken = read_version(_version(store, predictions), dataset, model)
    else:
        spoken = read_prelabels(_prelabels(version, dataset, workspace, str(model)), dataset)
    digest = dict(zip(*(dataset.images[name].to_pylist() for name in ("image_id", "digest")), strict=True))
    if told := warning(spoken.by, [digest[image] for image in spoken.images.tolist()], workspace):
        tell(told)
    if rest := dataset.images.num_rows - len(spoken.images):
        tell(f"{rest:,} pictures have no predictions: their labels are not checked")
    return Speaker(spoken, {"predictions": spoken.by}, [("Predictions", spoken.by)])


def _out_of_fold(store: Store, version: Version, dataset: Dataset, workspace: Path, folds: Folds,
                 tell: Callable[[str], None]) -> Speaker:
    made = predict_out_of_fold(version.folder, store.pictures, folds, workspace, tell)
    known = [one for one in made.accuracy if one is not None]
    facts = [("Predictions", f"{folds.folds} models, each on the pictures that it was not trained on")]
    facts += [("Their AP50", f"{np.mean(known):.3f}")] if known else []
    spoken = Spoken(made.predictions, dataset.images["image_id"].to_numpy(), BY_FOLDS)
    return Speaker(spoken, {"folds": folds.model_dump()}, facts)


def _version(store: Store, text: str) -> Version:
    try:
        return store.find(text)
    except UserError as error:
        raise UserError(f"there is no file and no dataset {text!r}", where=error.where, mend=error.mend) from None


def _prelabels(version: Version, dataset: Dataset, workspace: Path, model: str) -> Any:
    from tasks.labelling.prelabelling.prelabels import newest

    try:
        return newest(version, workspace, model)
    except UserError:
        if ":/" not in model:
            raise
    from tasks.labelling.teachers.opening import open_teacher

    # an alias is not what stands in the column `source`
    return newest(version, workspace, open_teacher(model, list(dataset.meta.classes), workspace=workspace).name)
