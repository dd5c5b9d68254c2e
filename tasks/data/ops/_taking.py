"""Rows of versions taken into a new one: ids are mapped by numpy, a batch at a time, in the order of the new ids."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.base.errors import DataError
from tasks.base.files import write_json
from tasks.data.ops._arrays import contains, distinct
from tasks.data.table import ANNOTATIONS, IMAGES, Meta, conform, full_disk_is_told, write_meta, write_table

BATCH = 1 << 16
# pictures whose rows of several parents are brought into order together
STEP = 1 << 13
AHEAD = 4


@dataclass(frozen=True)
class Taking:
    """What of one dataset folder goes into a version, and under which ids.

    Attributes:
        folder: the dataset folder.
        pictures: int64 [pictures], the new image_id of each, -1 for one that is left out; ascending where taken.
        labels: bool [annotations], those that stay; None for all.
        said: sorted int64, `image_id * classes + class_id` (old ids) of the picture labels that stay; None for all.
        classes: int64 [classes], the new id of each class, -1 for one whose labels are dropped.
        splits: the new split of each old picture, null for none; None: as they are.
    """

    folder: Path
    pictures: np.ndarray
    classes: np.ndarray
    labels: np.ndarray | None = None
    said: np.ndarray | None = None
    splits: pa.Array | None = None

    @property
    def annotations_as_they_are(self) -> bool:
        counted = (np.array_equal(ids, np.arange(len(ids))) for ids in (self.pictures, self.classes))
        return self.labels is None and all(counted)


def kept(mask: np.ndarray) -> np.ndarray:
    """New ids of the rows that a mask keeps, -1 for the others."""
    return np.where(mask, np.cumsum(mask) - 1, -1)


def fill(folder: Path, takings: Sequence[Taking], meta: Meta, extra: Mapping[str, Any] | None = None) -> None:
    """Write what is taken into the empty folder `folder`.

    Annotations stand by picture, then by parent, then in their old order.

    Args:
        extra: more JSON files of the folder, by name.

    Raises:
        DataError: no picture is left, a parent is damaged, or the disk is full.
    """
    pictures = sum(int((taking.pictures >= 0).sum()) for taking in takings)
    if not pictures:
        raise DataError("no picture is left", where=meta.name, mend="choose less strictly: `visionmill data show` "
                        "has the classes, splits and counts of a version")
    with full_disk_is_told(folder), ThreadPoolExecutor(1) as beside:
        images = _woven([_images(taking) for taking in takings], pictures)
        written = beside.submit(write_table, folder / "images.parquet", images, IMAGES)
        if len(takings) == 1 and takings[0].annotations_as_they_are and _is_current(takings[0].folder):
            shutil.copyfile(takings[0].folder / "annotations.parquet", folder / "annotations.parquet")
        else:
            rows = _woven([_annotations(taking) for taking in takings], pictures)
            write_table(folder / "annotations.parquet", _numbered(_ahead(rows)), ANNOTATIONS)
        written.result()
        for name, value in (extra or {}).items():
            write_json(folder / name, value)
        write_meta(folder, meta)


def batches(folder: Path, table: str, schema: pa.Schema, wanted: np.ndarray | None = None) -> Iterator[pa.Table]:
    """The rows of a folder's table in their order, conforming to `schema`.

    Args:
        wanted: bool [pictures]; runs of rows of other pictures alone may be left out.

    Raises:
        DataError: the file is missing or damaged.
    """
    path = folder / f"{table}.parquet"
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH, _groups(file.metadata, wanted)):
                yield conform(batch, schema)
    except (OSError, ValueError, pa.ArrowException) as error:  # a broken page is an OSError
        raise damaged(path, error) from None


def _groups(file: pq.FileMetaData, wanted: np.ndarray | None) -> list[int]:
    """The row groups that may have rows of wanted pictures, by the smallest and largest image_id of each."""
    every = list(range(file.num_row_groups))
    if wanted is None or "image_id" not in file.schema.names:
        return every
    place, found = file.schema.names.index("image_id"), []
    for group in every:
        told = file.row_group(group).column(place).statistics
        if told is None or not told.has_min_max or told.min < 0 or wanted[told.min:told.max + 1].any() or (
                told.max >= len(wanted)):
            found.append(group)
    return found


def damaged(path: Path, reason: object) -> DataError:
    return DataError(f"damaged dataset folder: {reason}", where=path, mend="dvc repro --force, or dvc pull")


def ids_below(ids: np.ndarray, count: int, folder: Path, least: int = 0) -> np.ndarray:
    """The ids themselves.

    Raises:
        DataError: one of them is not from `least` to below `count`: the folder is damaged.
    """
    if len(ids) and not least <= ids.min() <= ids.max() < count:
        raise damaged(folder, f"ids go from {ids.min()} to {ids.max()} where there are {count}")
    return ids


def row_by_row(images: pa.Table, folder: Path, first: int = 0) -> np.ndarray:
    """The column `image_id`, which counts the rows from `first`.

    Raises:
        DataError: it does not: the folder is damaged.
    """
    ids: np.ndarray = images["image_id"].to_numpy()
    if not np.array_equal(ids, np.arange(first, first + len(ids))):
        raise damaged(folder / "images.parquet", "image_id does not count the rows")
    return ids


def _images(taking: Taking) -> Iterator[pa.Table]:
    seen = 0
    for rows in batches(taking.folder, "images", IMAGES):
        old = ids_below(row_by_row(rows, taking.folder, seen), len(taking.pictures), taking.folder)
        seen, new = seen + len(old), taking.pictures[old]
        if taking.splits is not None:
            rows = _with(rows, "split", taking.splits.take(pa.array(old)))
        rows = _with(rows, "labels", _relabelled(rows["labels"].combine_chunks(), old, taking))
        yield _with(rows, "image_id", new).filter(pa.array(new >= 0))


def _annotations(taking: Taking) -> Iterator[pa.Table]:
    last = 0
    for rows in batches(taking.folder, "annotations", ANNOTATIONS, taking.pictures >= 0):
        owner = ids_below(rows["image_id"].to_numpy(), len(taking.pictures), taking.folder)
        if np.any(np.diff(owner, prepend=last) < 0):
            raise damaged(taking.folder / "annotations.parquet", "annotations are not in the order of their pictures")
        last, new = owner[-1], taking.pictures[owner]
        label = taking.classes[ids_below(rows["class_id"].to_numpy(), len(taking.classes), taking.folder)]
        stays = (new >= 0) & (label >= 0)
        if taking.labels is not None:
            stays &= taking.labels[ids_below(rows["annotation_id"].to_numpy(), len(taking.labels), taking.folder)]
        rows = _with(_with(rows, "image_id", new), "class_id", label)
        yield rows if stays.all() else rows.filter(pa.array(stays))


def _relabelled(column: pa.ListArray, image_ids: np.ndarray, taking: Taking) -> pa.ListArray:
    """The column `labels` with new class ids, each once, ascending; what is dropped is gone."""
    classes = len(taking.classes)
    old = ids_below(pc.fill_null(column.flatten(), -1).to_numpy(), classes, taking.folder)
    if taking.said is None and np.array_equal(taking.classes, np.arange(classes)):
        return column
    counts = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    row, new = np.repeat(np.arange(len(column)), counts), taking.classes[old]
    stays = new >= 0
    if taking.said is not None:
        stays &= contains(taking.said, image_ids[row] * classes + old)
    codes = distinct(row[stays] * (classes + 1) + new[stays])
    ends = np.searchsorted(codes, np.arange(len(column) + 1) * (classes + 1)).astype(np.int32)
    values = pa.array((codes % (classes + 1)).astype(np.int32))
    return pa.ListArray.from_arrays(pa.array(ends), values, mask=pc.is_null(column))


def _woven(streams: Sequence[Iterator[pa.Table]], pictures: int) -> Iterator[pa.Table]:
    """Rows of streams that each ascend in `image_id`: by `image_id`, then by stream, then as they came."""
    if len(streams) == 1:
        yield from streams[0]
        return
    waiting: list[list[pa.Table]] = [[] for _ in streams]
    for end in range(STEP, pictures + STEP, STEP):
        parts = [_until(stream, held, end) for stream, held in zip(streams, waiting, strict=True)]
        found = [part for part in parts if part.num_rows]
        if len(found) > 1:
            rows = pa.concat_tables(found)
            yield rows.take(pa.array(np.argsort(rows["image_id"].to_numpy(), kind="stable")))
        else:
            yield from found


def _until(stream: Iterator[pa.Table], held: list[pa.Table], end: int) -> pa.Table:
    """The next rows with an `image_id` below `end`; `held` keeps what was read beyond it."""
    taken = []
    while (rows := held.pop() if held else next(stream, None)) is not None:
        inside = int(np.searchsorted(rows["image_id"].to_numpy(), end))
        taken.append(rows.slice(0, inside))
        if inside < rows.num_rows:
            held.append(rows.slice(inside))
            break
    return pa.concat_tables(taken) if taken else pa.table({})


def _ahead(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same tables, the next few of which another thread prepares meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        waiting = deque(pool.submit(next, tables, None) for _ in range(AHEAD))
        while (rows := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(next, tables, None))
            yield rows


def _numbered(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    count = 0
    for rows in tables:
        yield _with(rows, "annotation_id", np.arange(count, count + rows.num_rows))
        count += rows.num_rows


def _with(rows: pa.Table, name: str, values: np.ndarray | pa.Array) -> pa.Table:
    position = rows.schema.get_field_index(name)
    field = rows.schema.field(position)
    return rows.set_column(position, field, pa.array(values, field.type) if isinstance(values, np.ndarray) else values)


def _is_current(folder: Path) -> bool:
    try:
        return bool(pq.read_schema(folder / "annotations.parquet").equals(ANNOTATIONS))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise damaged(folder / "annotations.parquet", error) from None
