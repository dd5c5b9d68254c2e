"""Applies findings to a dataset: drops rows, clips boxes, and counts the ids anew."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.data.table import ANNOTATIONS, IMAGES, Dataset


def clip_boxes(dataset: Dataset) -> Dataset:
    """Boxes cut off at their picture's edges; `area` shrinks in proportion, NaN and pictures of unknown size stay."""
    table = dataset.annotations
    owner = table["image_id"].to_numpy()
    columns = {}
    for low, size, limit in (("x", "w", "width"), ("y", "h", "height")):
        start, length = table[low].to_numpy(), table[size].to_numpy()
        edge = dataset.images[limit].to_numpy()[owner].astype(float)
        edge[edge == 0] = np.inf
        columns[low] = np.clip(start, 0, edge)
        columns[size] = np.clip(start + length, 0, edge) - columns[low]
        unchanged = (start >= 0) & (start + length <= edge)
        columns[low], columns[size] = np.where(unchanged, [start, length], [columns[low], columns[size]])
    with np.errstate(invalid="ignore"):  # infinite boxes, which are dropped
        before = table["w"].to_numpy() * table["h"].to_numpy()
        share = np.divide(columns["w"] * columns["h"], before, out=np.ones_like(before), where=before != 0)
        columns["area"] = table["area"].to_numpy() * share
    return replace(dataset, annotations=_with_columns(table, columns))


def drop_masks(dataset: Dataset, annotations: Iterable[int | None]) -> Dataset:
    """The dataset without the masks of these boxes; the boxes stay."""
    table = dataset.annotations
    bad = pc.is_in(table["annotation_id"], value_set=pa.array([i for i in annotations if i is not None], pa.int64()))
    for name in ("polygons", "rle"):
        field = ANNOTATIONS.field(name)
        kept = pc.if_else(bad, pa.scalar(None, field.type), table[name])
        table = table.set_column(ANNOTATIONS.get_field_index(name), field, kept)
    return replace(dataset, annotations=table)


def drop(dataset: Dataset, images: Iterable[int], annotations: Iterable[int]) -> Dataset:
    """The dataset without these pictures (with all their boxes) and these boxes; ids are counted anew from 0."""
    gone = pa.array(sorted(set(images)), pa.int64())
    kept = dataset.images.filter(pc.invert(pc.is_in(dataset.images["image_id"], value_set=gone)))
    table = dataset.annotations
    lost = pc.or_(pc.is_in(table["image_id"], value_set=gone),
                  pc.is_in(table["annotation_id"], value_set=pa.array(sorted(set(annotations)), pa.int64())))
    boxes = table.filter(pc.invert(lost))
    new_id = np.full(dataset.images.num_rows, -1, np.int64)
    new_id[kept["image_id"].to_numpy()] = np.arange(kept.num_rows)
    boxes = _with_columns(boxes, {"annotation_id": np.arange(boxes.num_rows),
                                  "image_id": new_id[boxes["image_id"].to_numpy()]})
    return replace(dataset, images=_with_columns(kept, {"image_id": np.arange(kept.num_rows)}), annotations=boxes)


def _with_columns(table: pa.Table, columns: dict[str, np.ndarray]) -> pa.Table:
    schema = IMAGES if "file" in table.column_names else ANNOTATIONS
    for name, values in columns.items():
        field = schema.field(name)
        table = table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type))
    return table
