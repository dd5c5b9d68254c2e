"""Detections as a table: one row a box, in pixels of the picture as displayed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.base.errors import DataError
from tasks.base.files import write_atomic

if TYPE_CHECKING:
    from tasks.data.table import Dataset
    from tasks.runtime.detections import Detections

SCHEMA = pa.schema(
    [("image_id", pa.int64()), ("class_id", pa.int32())]
    + [(name, pa.float32()) for name in ("x", "y", "w", "h", "score")]
)
MEND = "write it again: dvc repro evaluate"


@dataclass(frozen=True)
class Boxes:
    """Columns of boxes as arrays of one length; detections have `score`, ground truth has the rest.

    `xywh` float64 [n, 4] in pixels, `image` and `label` int64 [n], `crowd` and `difficult` bool [n].
    """

    image: np.ndarray
    label: np.ndarray
    xywh: np.ndarray
    score: np.ndarray
    area: np.ndarray
    crowd: np.ndarray
    difficult: np.ndarray

    def __len__(self) -> int:
        return len(self.image)

    def take(self, rows: np.ndarray) -> Boxes:
        """The rows chosen by an index or a mask."""
        return Boxes(**{name: column[rows] for name, column in vars(self).items()})


def detections_table(found: Mapping[int, Detections]) -> pa.Table:
    """One table of all pictures' detections, by image id, each picture's highest score first.

    Args:
        found: image id -> boxes float32 [n, 4] as x1, y1, x2, y2 in pixels, scores [n] in 0..1, class_ids [n].
    """
    ids = sorted(found)
    boxes = np.concatenate([np.zeros((0, 4), np.float32)] + [np.asarray(found[i].boxes).reshape(-1, 4) for i in ids])
    scores = np.concatenate([np.zeros(0, np.float32)] + [np.asarray(found[i].scores) for i in ids])
    labels = np.concatenate([np.zeros(0, np.int64)] + [np.asarray(found[i].class_ids) for i in ids])
    images = np.repeat(np.array(ids, np.int64), [len(found[i].scores) for i in ids])
    x, y, right, bottom = boxes.astype(np.float32).T
    columns = [images, labels.astype(np.int32), x, y, right - x, bottom - y, scores.astype(np.float32)]
    return pa.table([pa.array(column) for column in columns], schema=SCHEMA)


def write_detections(path: Path, detections: pa.Table) -> None:
    """Write a detections table as Parquet; equal tables give equal bytes."""
    sink = pa.BufferOutputStream()
    # one chunk: how a table was put together would show in the bytes
    pq.write_table(detections.select(SCHEMA.names).cast(SCHEMA).combine_chunks(), sink, compression="zstd")
    write_atomic(path, sink.getvalue().to_pybytes())


def read_detections(path: Path) -> pa.Table:
    """Read what `write_detections` wrote.

    Raises:
        DataError: the file is missing, is not Parquet, or lacks a column.
    """
    try:
        return pq.read_table(path, columns=SCHEMA.names).select(SCHEMA.names).cast(SCHEMA)
    except FileNotFoundError:
        raise DataError("the detections are missing", where=path, mend=MEND) from None
    except (pa.ArrowException, KeyError, OSError) as error:
        raise DataError(f"this is no table of detections: {error}", where=path, mend=MEND) from None


def truth_boxes(dataset: Dataset) -> Boxes:
    """The annotations of a dataset as arrays, in the table's order."""
    table = dataset.annotations
    crowd, difficult = (_column(table, name, bool) for name in ("iscrowd", "difficult"))
    return _boxes(table, score=np.ones(table.num_rows), area=_column(table, "area"), crowd=crowd, difficult=difficult)


def detected_boxes(dataset: Dataset, detections: pa.Table) -> Boxes:
    """The detections as arrays, in the table's order, checked against the dataset that they are measured on.

    Raises:
        DataError: an unknown picture or class, NaN, infinity, or a box of negative size.
    """
    score, nothing = _column(detections, "score"), np.zeros(detections.num_rows, bool)
    boxes = _boxes(detections, score=score, area=np.zeros(0), crowd=nothing, difficult=nothing)
    stray = ~np.isin(boxes.image, dataset.images["image_id"].to_numpy())
    _refuse(stray, boxes.image, "is on a picture that is not in the dataset: image")
    wrong = (boxes.label < 0) | (boxes.label >= len(dataset.meta.classes))
    _refuse(wrong, boxes.label, f"has no name among the {len(dataset.meta.classes)} classes: class")
    _refuse(~np.isfinite(score), score, "is not a finite number: score")
    _refuse(~np.isfinite(boxes.xywh).all(axis=1), boxes.xywh, "is not finite: box")
    _refuse(np.any(boxes.xywh[:, 2:] < 0, axis=1), boxes.xywh, "has a negative size: box")
    return Boxes(**{**vars(boxes), "area": boxes.xywh[:, 2] * boxes.xywh[:, 3]})


def _boxes(table: pa.Table, **rest: np.ndarray) -> Boxes:
    image, label = (_column(table, name, np.int64) for name in ("image_id", "class_id"))
    xywh = np.stack([_column(table, name) for name in "xywh"], axis=1)
    return Boxes(image=image, label=label, xywh=xywh, **rest)


def _column(table: pa.Table, name: str, kind: type = np.float64) -> np.ndarray:
    return table[name].to_numpy().astype(kind)


def _refuse(wrong: Any, values: np.ndarray, what: str) -> None:
    rows = np.flatnonzero(wrong)
    if rows.size:
        where = f"row {rows[0]}, the first of {rows.size}"
        raise DataError(f"a detection {what} {values[rows[0]].tolist()}", where=where, mend=MEND)
