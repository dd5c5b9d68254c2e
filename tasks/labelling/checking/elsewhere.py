"""Predictions that are there already: a Parquet table, a version that a model has labelled, or kept pre-labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.base.errors import DataError, UserError
from tasks.data.store.layout import Version
from tasks.data.table import Dataset, read_dataset
from tasks.labels.columns import boxes_of
from tasks.metrics.detections import SCHEMA

if TYPE_CHECKING:
    from tasks.labelling.prelabelling.prelabels import Prelabels

MODEL = "model:"
# what says which picture a row is on, the surest first
NAMED = ("digest", "file", "image_id")
MEND = "a table with digest (or file, or image_id), class_id (or class), x, y, w, h and score"


@dataclass(frozen=True)
class Spoken:
    """What a model says of a version's pictures.

    Attributes:
        predictions: in the form of `tasks.metrics.detections.SCHEMA`; image_ids and class_ids are the version's.
        images: image_ids of the pictures that the model has looked at.
        by: who.
    """

    predictions: pa.Table
    images: np.ndarray
    by: str


def read_table(path: Path, dataset: Dataset) -> Spoken:
    """Predictions of a Parquet file, on pictures that are named by digest, file or image_id.

    A file does not say of which pictures nothing was found: it counts as one that speaks of all of them.

    Raises:
        DataError: no such table, a picture or a class that the version does not have, or a row that is no box.
    """
    try:
        table = pq.read_table(path, memory_map=False)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"this is no table of predictions: {error}", where=path, mend=MEND) from None
    named = next((name for name in NAMED if name in table.column_names), None)
    if named is None or not {"x", "y", "w", "h", "score"} <= set(table.column_names):
        raise DataError("a column is missing", where=f"{path}: {', '.join(table.column_names)}", mend=MEND)
    image = _pictures(table[named], dataset.images, named, path)
    label = _labels(table, dataset.meta.classes, path)
    return Spoken(_table(image, label, table, path), dataset.images["image_id"].to_numpy(), path.name)


def read_version(other: Version, dataset: Dataset, model: str | None = None) -> Spoken:
    """The boxes of a model in another version, or the same one, on the pictures that both have, known by digest.

    Args:
        model: of whom; may be left out where there is one.

    Raises:
        DataError: no picture in common, no box of a model, boxes of several, or other classes.
    """
    told = read_dataset(other.folder)
    rows, by = boxes_of_model(told, other.ref, model)
    fits_classes(told.meta.classes, dataset.meta.classes, other.ref)
    place = dict(zip(dataset.images["digest"].to_pylist(), dataset.images["image_id"].to_pylist(), strict=True))
    known = {image: place[digest] for image, digest in zip(told.images["image_id"].to_pylist(),
                                                            told.images["digest"].to_pylist(), strict=True)
             if digest in place}
    if not known:
        raise DataError(f"no picture of {other.ref} is among these", where=other.folder,
                        mend="take predictions on the pictures of the labels that are checked")
    owner = rows["image_id"].to_numpy()
    rows = rows.filter(pa.array(np.isin(owner, np.array([*known]))))
    image = np.array([known[one] for one in rows["image_id"].to_pylist()], np.int64)
    label = _renumbered(rows["class_id"].to_numpy(), told.meta.classes, dataset.meta.classes)
    return Spoken(_table(image, label, rows, other.folder), np.sort(np.array([*known.values()], np.int64)), by)


def read_prelabels(kept: Prelabels, dataset: Dataset) -> Spoken:
    """What `visionmill label auto` keeps of a version's pictures: boxes of low scores too."""
    fits_classes(kept.classes, dataset.meta.classes, kept.name)
    wanted = SCHEMA.names
    rows = pa.concat_tables([SCHEMA.empty_table(), *(one.select(wanted).cast(SCHEMA) for one in kept.boxes())])
    label = _renumbered(rows["class_id"].to_numpy(), kept.classes, dataset.meta.classes)
    return Spoken(_table(rows["image_id"].to_numpy(), label, rows, kept.folder), kept.readable, kept.name)


def boxes_of_model(told: Dataset, ref: str, model: str | None = None) -> tuple[pa.Table, str]:
    """Rows of a version that a model drew, with a score, and the model's name.

    Raises:
        DataError: there is none, or there are several models and none was named.
    """
    source = told.annotations["source"].to_pylist()
    scored = told.annotations["score"].is_valid().to_numpy()
    models = sorted({one.removeprefix(MODEL) for one, has in zip(source, scored.tolist(), strict=True)
                     if has and one.startswith(MODEL)})
    if not models:
        raise DataError(f"{ref} has no box of a model with a score", where=ref,
                        mend=f"pre-label its pictures: visionmill label auto {ref} --model MODEL")
    if model is None and len(models) > 1:
        raise DataError(f"{ref} has boxes of {len(models)} models, whose scores cannot be compared",
                        where=", ".join(models), mend=f"say which: --model {models[0]}")
    chosen = models[0] if model is None else model.removeprefix(MODEL)
    if chosen not in models:
        raise DataError(f"{ref} has no box of {chosen!r}", where=", ".join(models), mend=f"--model {models[0]}")
    mine = np.array([one == MODEL + chosen for one in source], bool) & scored
    return told.annotations.filter(pa.array(mine)), chosen


def fits_classes(theirs: Sequence[str], ours: Sequence[str], who: str) -> None:
    """Refuse a model that knows other classes than the labels: in another order they may be.

    Raises:
        UserError: names those that one side lacks.
    """
    unknown, silent = (sorted(set(a) - set(b)) for a, b in ((theirs, ours), (ours, theirs)))
    if unknown or silent:
        parts = [f"{who} speaks of {', '.join(unknown)}, which the labels do not have"] if unknown else []
        parts += [f"the labels have {', '.join(silent)}, which {who} does not know"] if silent else []
        raise UserError(f"the classes differ: {'; '.join(parts)}", where=who,
                        mend="visionmill data relabel NAME --map OLD=NEW --out OTHER, or another model")


def _pictures(column: pa.ChunkedArray, images: pa.Table, named: str, path: Path) -> np.ndarray:
    ids = images["image_id"].to_pylist()
    place = dict(zip(images[named].to_pylist(), ids, strict=True))
    told = column.to_pylist()
    strange = [one for one in told if one not in place]
    if strange:
        raise DataError(f"predictions on a picture that is not there: {named} {strange[0]!r}",
                        where=f"{path}, the first of {len(strange):,} rows",
                        mend="predict the pictures of this version: visionmill label auto NAME --model MODEL")
    return np.array([place[one] for one in told], np.int64)


def _labels(table: pa.Table, classes: Sequence[str], path: Path) -> np.ndarray:
    if "class" in table.column_names:
        names = [str(name) for name in table["class"].to_pylist()]
        if unknown := sorted(set(names) - set(classes)):
            raise UserError(f"the classes differ: the predictions speak of {', '.join(unknown)}, which the labels do "
                            "not have", where=path, mend=f"the classes are {', '.join(classes)}")
        number = {name: at for at, name in enumerate(classes)}
        return np.array([number[name] for name in names], np.int32)
    if "class_id" not in table.column_names:
        raise DataError("a column is missing: class_id, or class", where=path, mend=MEND)
    label = table["class_id"].to_numpy().astype(np.int64)
    if len(label) and not 0 <= label.min() <= label.max() < len(classes):
        raise UserError(f"the classes differ: class_id {label.max() if label.max() >= len(classes) else label.min()}, "
                        f"and there are {len(classes)}", where=path, mend=f"the classes are {', '.join(classes)}")
    return label.astype(np.int32)


def _renumbered(label: np.ndarray, theirs: Sequence[str], ours: Sequence[str]) -> np.ndarray:
    number = np.array([ours.index(name) for name in theirs], np.int32)
    return number[label] if len(label) else np.zeros(0, np.int32)


def _table(image: np.ndarray, label: np.ndarray, rows: pa.Table, where: Path) -> pa.Table:
    columns = [pa.array(image, pa.int64()), pa.array(label, pa.int32()),
               *(rows[name].cast(pa.float32()) for name in ("x", "y", "w", "h", "score"))]
    table = pa.table(columns, schema=SCHEMA)
    if any(column.null_count for column in table.columns):
        raise DataError("a prediction lacks a number", where=where, mend=MEND)
    boxes_of(table, "predictions")
    return table
