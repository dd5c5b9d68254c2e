"""Rows of a dataset in the making, on disk in the order in which a reader found them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.base.errors import DataError
from tasks.data.formats.record import Box, Picture
from tasks.data.table import ANNOTATIONS, IMAGES

BATCH = 1 << 15
COPIED = ("file", "split", "group", "tags", "mask", "reference", "ignored", "frame", "time")
PICTURES = pa.schema([*(IMAGES.field(name) for name in COPIED),
                      pa.field("declared_width", pa.float64()), pa.field("declared_height", pa.float64()),
                      pa.field("labels", pa.list_(pa.int32())), pa.field("attributes", pa.string())])
PLAIN = ("x", "y", "w", "h", "row", "iscrowd", "difficult", "truncation", "occlusion", "polygons", "keypoints",
         "source", "score", "uncertainty", "difficulty", "reviewed_by", "track")
BOXES = pa.schema([pa.field("number", pa.int64()), pa.field("file", pa.string()), pa.field("label", pa.int32()),
                   *(ANNOTATIONS.field(name) for name in (*PLAIN, "area", "rle", "attributes"))])


class Spool:
    """Writes `pictures.parquet` and `boxes.parquet` into a folder; a few thousand rows wait in memory.

    `file` joins the two, `number` counts boxes, `label` is a class as it was met.
    """

    def __init__(self, folder: Path) -> None:
        self._pictures: list[tuple[Picture, list[int] | None]] = []
        self._boxes: list[tuple[str, Box, int]] = []
        self._written = 0
        self._files = (pq.ParquetWriter(folder / "pictures.parquet", PICTURES),
                       pq.ParquetWriter(folder / "boxes.parquet", BOXES))

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *raised: object) -> None:
        if raised[0] is None:
            self._flush_pictures()
            self._flush_boxes()
        for file in self._files:
            file.close()

    def picture(self, picture: Picture, labels: list[int] | None) -> None:
        self._pictures.append((picture, labels))
        if len(self._pictures) == BATCH:
            self._flush_pictures()

    def box(self, file: str, box: Box, label: int) -> None:
        """A box of the picture `file`, which was given before."""
        self._boxes.append((file, box, label))
        if len(self._boxes) == BATCH:
            self._flush_boxes()

    def _flush_pictures(self) -> None:
        some = [picture for picture, _ in self._pictures]
        columns: dict[str, list[Any]] = {name: [getattr(one, name) for one in some] for name in COPIED}
        columns["declared_width"] = [one.declared and one.declared[0] for one in some]
        columns["declared_height"] = [one.declared and one.declared[1] for one in some]
        columns["labels"] = [labels for _, labels in self._pictures]
        columns["attributes"] = [as_text(one.attributes) for one in some]
        self._files[0].write_table(_table(columns, PICTURES))
        self._pictures.clear()

    def _flush_boxes(self) -> None:
        some = [box for _, box, _ in self._boxes]
        columns: dict[str, list[Any]] = {name: [getattr(one, name) for one in some] for name in PLAIN}
        columns["number"] = list(range(self._written, self._written + len(some)))
        columns["file"] = [file for file, _, _ in self._boxes]
        columns["label"] = [label for _, _, label in self._boxes]
        columns["area"] = [area_of(one) for one in some]
        columns["rle"] = [one.rle and dict(zip(("h", "w", "counts"), one.rle, strict=True)) for one in some]
        columns["attributes"] = [as_text(one.attributes) for one in some]
        self._written += len(some)
        self._files[1].write_table(_table(columns, BOXES))
        self._boxes.clear()


def area_of(box: Box) -> float:
    """Published areas are those of masks; 0 and NaN would move a box to another size class."""
    return box.area if box.area is not None and box.area > 0 else box.w * box.h


def as_text(attributes: dict[str, Any] | None) -> str | None:
    """Attributes as the table keeps them: JSON, the same text for the same content."""
    return json.dumps(attributes, sort_keys=True, ensure_ascii=False, default=str) if attributes else None


def _table(columns: dict[str, list[Any]], schema: pa.Schema) -> pa.Table:
    try:
        return pa.table({f.name: pa.array(columns[f.name], f.type) for f in schema}, schema=schema)
    except (pa.ArrowException, UnicodeError, OverflowError) as error:
        first = columns.get("row") or columns["file"]
        raise DataError(f"a value that no table can hold: {error}", where=f"{first[0]} and what follows",
                        mend="mend that file") from None
