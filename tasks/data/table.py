"""The dataset table: `images` and `annotations` as Parquet beside `dataset.json`; pictures stay where they are."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
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
])

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
])

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


class Meta(BaseModel):
    """`dataset.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    name: str
    problem: Literal["detect"] = "detect"
    classes: list[str]
    licence: str | None = None
    parents: list[str] = []
    recipe: dict[str, Any] = {}


@dataclass(frozen=True)
class Dataset:
    """Pictures and their boxes as columns.

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
        meta = Meta.model_validate(read_json(folder / "dataset.json"))
        tables = [pq.read_table(folder / f"{name}.parquet", memory_map=False) for name in ("images", "annotations")]
        return Dataset(tables[0].cast(IMAGES), tables[1].cast(ANNOTATIONS), meta)
    except FileNotFoundError as error:
        missing = Path(error.filename or folder).name
        raise DataError(f"not a dataset folder: no {missing}", where=folder, mend="dvc repro") from None
    except (ValidationError, ValueError, pa.ArrowException) as error:
        raise DataError(f"damaged dataset folder: {error}", where=folder, mend="dvc repro --force") from None


def write_dataset(folder: Path, dataset: Dataset, extra: Mapping[str, Any] | None = None) -> None:
    """Replace `folder` by this dataset: the same bytes for the same rows; the old folder stays if anything fails.

    Args:
        extra: more JSON files of the folder, by name.

    Raises:
        DataError: the disk is full.
    """
    with full_disk_is_told(folder), folder_atomic(folder) as new:
        _write_table(new / "images.parquet", dataset.images.select(IMAGES.names).cast(IMAGES))
        _write_table(new / "annotations.parquet", dataset.annotations.select(ANNOTATIONS.names).cast(ANNOTATIONS))
        write_json(new / "dataset.json", dataset.meta.model_dump(by_alias=True))
        for name, value in (extra or {}).items():
            write_json(new / name, value)


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


def _write_table(path: Path, table: pa.Table) -> None:
    # chunking would show in the bytes: row groups follow it
    pq.write_table(table.combine_chunks(), path, compression="zstd", row_group_size=1 << 17)
