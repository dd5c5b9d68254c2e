"""The dataset table: `images` and `annotations` as Parquet beside `dataset.json`; pictures stay where they are."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.base.errors import DataError
from tasks.base.files import folder_atomic, read_json, write_json

SPLITS = ("train", "val", "test")
# of a picture in several splits the first of these stays: a number that is published must not be of seen pictures
SPLIT_ORDER = {"test": 0, "val": 1, "train": 2, None: 3}

IMAGES = pa.schema([
    pa.field("image_id", pa.int64(), nullable=False),
    pa.field("file", pa.string(), nullable=False),
    pa.field("width", pa.int32(), nullable=False),
    pa.field("height", pa.int32(), nullable=False),
    pa.field("digest", pa.string(), nullable=False),
    pa.field("bytes", pa.int64(), nullable=False),
    pa.field("orientation", pa.int8(), nullable=False),
    pa.field("split", pa.string()),
    # pictures of one group are never torn between splits: tiles of one scene, frames of one film
    pa.field("group", pa.string()),
    pa.field("tags", pa.list_(pa.string())),
    # classification: ids of the picture's classes; null where nobody has said
    pa.field("labels", pa.list_(pa.int32())),
    # semantic segmentation: a picture whose values are class ids, 255 for "counts for nothing"
    pa.field("mask", pa.string()),
    # pairs: the golden picture that this one is compared with
    pa.field("reference", pa.string()),
    # regions [x, y, w, h] that count for nothing, of whatever class
    pa.field("ignored", pa.list_(pa.list_(pa.float64()))),
    # what the format says and no column holds, as a JSON object
    pa.field("attributes", pa.string()),
    # a picture in an archive: the archive's name, and where in it the picture's bytes begin
    pa.field("shard", pa.string()),
    pa.field("offset", pa.int64()),
    # a picture of a film, which is its group: number from 0 and seconds from the start
    pa.field("frame", pa.int64()),
    pa.field("time", pa.float64()),
])

RLE = pa.struct([pa.field("h", pa.int32()), pa.field("w", pa.int32()), pa.field("counts", pa.string())])

ANNOTATIONS = pa.schema([
    pa.field("annotation_id", pa.int64(), nullable=False),
    pa.field("image_id", pa.int64(), nullable=False),
    pa.field("class_id", pa.int32(), nullable=False),
    *(pa.field(name, pa.float64(), nullable=False) for name in ("x", "y", "w", "h", "area")),
    pa.field("iscrowd", pa.bool_(), nullable=False),
    pa.field("difficult", pa.bool_(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("score", pa.float32()),
    pa.field("uncertainty", pa.float32()),
    pa.field("difficulty", pa.float32()),
    pa.field("reviewed_by", pa.string()),
    pa.field("row", pa.string(), nullable=False),
    # share that is cut off, 0 to 1; how much is hidden, 0 to 3 (KITTI)
    pa.field("truncation", pa.float64()),
    pa.field("occlusion", pa.int8()),
    # one of two forms of a mask: polygons [x1, y1, x2, y2, …], or COCO's compressed run lengths
    pa.field("polygons", pa.list_(pa.list_(pa.float64()))),
    pa.field("rle", RLE),
    # x, y, visibility (0 not labelled, 1 hidden, 2 seen) of each point of the class
    pa.field("keypoints", pa.list_(pa.float64())),
    pa.field("attributes", pa.string()),
    # the same object on the pictures of one film has one name
    pa.field("track", pa.string()),
])

Problem = Literal["detect", "segment", "classify", "semantic", "pairs"]
# a dictionary of values that hardly repeat costs time and saves nothing
UNIQUE = frozenset({"image_id", "annotation_id", "file", "digest", "bytes", "row", "offset"})
ROW_GROUP = 1 << 17
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


class Meta(BaseModel):
    """`dataset.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_version: Literal[1, 2] = Field(default=2, alias="schema")
    name: str
    problem: Problem = "detect"
    classes: list[str]
    licence: str | None = None
    parents: list[str] = []
    recipe: dict[str, Any] = {}
    # names and edges of the keypoints of a class; what a format says of the whole set
    keypoints: dict[str, dict[str, Any]] = {}
    attributes: dict[str, Any] = {}


@dataclass(frozen=True)
class Dataset:
    """Pictures and their labels as columns.

    `images.file` is relative to the raw folder; sizes are pixels as displayed. Boxes are `x, y, w, h` in pixels,
    continuous, origin at the top left corner of the picture. `class_id` indexes `meta.classes`.
    """

    images: pa.Table
    annotations: pa.Table
    meta: Meta

    def subset(self, split: str) -> Dataset:
        """The rows of one split; image_ids stay as they are."""
        images = self.images.filter(pc.equal(self.images["split"], split))
        inside = pc.is_in(self.annotations["image_id"], value_set=images["image_id"].combine_chunks())
        return replace(self, images=images, annotations=self.annotations.filter(inside))


def read_dataset(folder: Path) -> Dataset:
    """Read a dataset folder.

    Raises:
        DataError: it is not one, or its columns are not those of this version.
    """
    try:
        meta = read_meta(folder)
        tables = [pq.read_table(folder / f"{name}.parquet", memory_map=False) for name in ("images", "annotations")]
        return Dataset(conform(tables[0], IMAGES), conform(tables[1], ANNOTATIONS), meta)
    except FileNotFoundError as error:
        missing = Path(error.filename or folder).name
        raise DataError(f"not a dataset folder: no {missing}", where=folder, mend="dvc repro") from None
    except (ValueError, pa.ArrowException) as error:
        raise DataError(f"damaged dataset folder: {error}", where=folder, mend="dvc repro --force") from None


def write_dataset(folder: Path, dataset: Dataset, extra: Mapping[str, Any] | None = None) -> None:
    """Replace `folder` by this dataset: the same bytes for the same rows; the old folder stays if anything fails.

    Args:
        extra: more JSON files of the folder, by name.

    Raises:
        DataError: the disk is full.
    """
    with full_disk_is_told(folder), folder_atomic(folder) as new:
        write_table(new / "images.parquet", [dataset.images], IMAGES)
        write_table(new / "annotations.parquet", [dataset.annotations], ANNOTATIONS)
        write_meta(new, dataset.meta)
        for name, value in (extra or {}).items():
            write_json(new / name, value)


def read_meta(folder: Path) -> Meta:
    """`dataset.json` of a dataset folder.

    Raises:
        DataError: there is none, or it is damaged.
    """
    try:
        return Meta.model_validate(read_json(folder / "dataset.json"))
    except FileNotFoundError:
        raise DataError("not a dataset folder: no dataset.json", where=folder, mend="dvc repro") from None
    except (ValidationError, ValueError) as error:
        raise DataError(f"damaged dataset folder: {error}", where=folder, mend="dvc repro --force") from None


def write_meta(folder: Path, meta: Meta) -> None:
    write_json(folder / "dataset.json", meta.model_dump(by_alias=True) | {"schema": 2})


@contextmanager
def full_disk_is_told(path: Path) -> Iterator[None]:
    """Turns "no space left on device" into a DataError that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise
        mend = "free some space and run it again; what was there before is untouched"
        raise DataError("no space left on the disk, nothing was written", where=path, mend=mend) from None


def to_coco(dataset: Dataset) -> dict[str, Any]:
    """COCO JSON of a dataset: category id = class_id + 1, image id = image_id, annotation id = annotation_id + 1.

    Annotation ids start at 1 because pycocotools takes 0 for "not matched".
    """
    images = dataset.images.select(["image_id", "file", "width", "height"]).to_pydict()
    columns = dataset.annotations.select(
        ["annotation_id", "image_id", "class_id", "x", "y", "w", "h", "area", "iscrowd"]).to_pydict()
    return {
        "info": {"description": dataset.meta.name},
        "licenses": [{"id": 1, "name": dataset.meta.licence}] if dataset.meta.licence else [],
        "images": [{"id": i, "file_name": f, "width": w, "height": h}
                   for i, f, w, h in zip(*images.values(), strict=True)],
        "annotations": [
            {"id": a + 1, "image_id": i, "category_id": c + 1, "bbox": [x, y, w, h], "area": area, "iscrowd": int(lot)}
            for a, i, c, x, y, w, h, area, lot in zip(*columns.values(), strict=True)],
        "categories": [{"id": k + 1, "name": name} for k, name in enumerate(dataset.meta.classes)],
    }


def boxes_of(dataset: Dataset) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """image_id → (boxes xyxy in pixels, float32 [n, 4]; class ids, int64 [n]); every picture, without crowds."""
    rows = dataset.annotations.filter(pc.invert(dataset.annotations["iscrowd"]))
    owner = rows["image_id"].to_numpy()
    order = np.argsort(owner, kind="stable")
    x, y, w, h = (rows[name].to_numpy()[order] for name in ("x", "y", "w", "h"))
    boxes = np.stack([x, y, x + w, y + h], axis=1).astype(np.float32)
    classes = rows["class_id"].to_numpy()[order].astype(np.int64)
    ids = dataset.images["image_id"].to_numpy()
    first, last = (np.searchsorted(owner[order], ids, side=side) for side in ("left", "right"))
    return {int(i): (boxes[a:b], classes[a:b]) for i, a, b in zip(ids, first, last, strict=True)}


def write_table(path: Path, batches: Iterable[pa.RecordBatch | pa.Table], schema: pa.Schema) -> int:
    """Write rows as they come; returns their number. How they were cut into batches does not show in the bytes."""
    waiting: list[pa.Table] = []
    written = held = 0
    repeating = [name for name in schema.names if name not in UNIQUE]
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=repeating) as writer:
        for batch in batches:
            waiting.append(conform(batch, schema))
            held += batch.num_rows
            while held >= ROW_GROUP:
                rows = pa.concat_tables(waiting)
                writer.write_table(rows.slice(0, ROW_GROUP).combine_chunks(), ROW_GROUP)
                waiting, held, written = [rows.slice(ROW_GROUP)], held - ROW_GROUP, written + ROW_GROUP
        if held:
            writer.write_table(pa.concat_tables(waiting).combine_chunks(), ROW_GROUP)
    return written + held


def conform(rows: pa.Table | pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    """Rows with exactly the columns of `schema`; those that came after the rows were written are null."""
    table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
    for field in schema:
        if field.name not in table.column_names and field.nullable:
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table.select(schema.names).cast(schema)
