"""From a stream of annotated pictures to the dataset table, by columns."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.base.errors import nearest
from tasks.base.progress import Progress
from tasks.data.formats.record import Box, Note, Picture
from tasks.data.pictures import measure, over_pictures
from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, Meta


class Columns:
    """Collects pictures in any order; `tables` gives both tables, pictures sorted by file, boxes as they came.

    Args:
        labels: the classes that boxes may have, or None when every name that comes is one.
        notes: takes what cannot enter the table.
    """

    def __init__(self, labels: list[str] | None, notes: list[Note]) -> None:
        self.listed, self.notes = labels, notes
        self.labels: dict[str, int] = {name: k for k, name in enumerate(labels or [])}
        self.files: list[str] = []
        self.splits: list[str | None] = []
        self.declared: dict[str, tuple[float, float]] = {}
        self.owner, self.label = array("q"), array("i")
        self.numbers = {name: array("d") for name in ("x", "y", "w", "h", "area")}
        self.flags = {name: array("b") for name in ("iscrowd", "difficult")}
        self.rows: list[str] = []

    def add(self, picture: Picture) -> None:
        for box in picture.boxes:
            self._add_box(box, len(self.files))
        if picture.declared is not None:
            self.declared[picture.file] = picture.declared
        self.files.append(picture.file)
        self.splits.append(picture.split)

    def _add_box(self, box: Box, owner: int) -> None:
        if not box.label or (self.listed is not None and box.label not in self.labels):
            self.notes.append(_unknown_class(box, self.labels))
            return
        self.owner.append(owner)
        self.label.append(self.labels.setdefault(box.label, len(self.labels)))
        # published areas are those of masks; 0 and NaN would move a box to another size class
        area = box.area if box.area is not None and box.area > 0 else box.w * box.h
        for name, value in zip(self.numbers, (box.x, box.y, box.w, box.h, area), strict=True):
            self.numbers[name].append(value)
        self.flags["iscrowd"].append(box.iscrowd)
        self.flags["difficult"].append(box.difficult)
        self.rows.append(box.row)

    def image_table(self, raw: Path) -> pa.Table:
        """Sorted by file; every picture is measured, a few at a time."""
        order = sorted(range(len(self.files)), key=self.files.__getitem__)
        progress = Progress(len(order), "measured")
        columns: dict[str, list[Any]] = {name: [] for name in ("width", "height", "digest", "bytes", "orientation")}
        for measured in over_pictures(measure, (raw / self.files[i] for i in order)):
            for name, column in columns.items():
                column.append(getattr(measured, name))
            progress.step()
        named = {"image_id": range(len(order)), "file": [self.files[i] for i in order],
                 "split": [self.splits[i] for i in order]}
        return pa.table({f.name: pa.array((named | columns)[f.name], f.type) for f in IMAGES}, schema=IMAGES)

    def annotation_table(self, classes: list[str]) -> pa.Table:
        """Sorted by picture, then as read; `class_id` counts through `classes`."""
        place = np.empty(len(self.files), np.int64)
        place[sorted(range(len(self.files)), key=self.files.__getitem__)] = np.arange(len(self.files))
        owner = place[np.frombuffer(self.owner, np.int64)] if self.owner else np.empty(0, np.int64)
        order = np.argsort(owner, kind="stable")
        renamed = np.array([classes.index(name) for name in self.labels] or [0], np.int32)
        values: dict[str, Any] = {name: np.array(column)[order] for name, column in (self.numbers | self.flags).items()}
        values |= {name: values[name].astype(bool) for name in self.flags}
        values |= {"annotation_id": np.arange(len(order)), "image_id": owner[order],
                   "class_id": renamed[np.array(self.label, np.int32)[order]]}
        return annotation_table(values, pa.array(self.rows, pa.string()).take(pa.array(order)))


def annotation_table(values: dict[str, Any], rows: pa.Array) -> pa.Table:
    """The annotation table of imported boxes; score, uncertainty, difficulty and reviewer are null."""
    columns = values | {"row": rows, "source": pa.repeat("import", len(rows))}
    arrays = [pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(len(rows), f.type)
              for f in ANNOTATIONS]
    return pa.Table.from_arrays(arrays, schema=ANNOTATIONS)


def build(raw: Path, pictures: Iterable[Picture], listed: list[str], found: set[str], notes: list[Note],
          **meta: Any) -> tuple[Dataset, dict[str, tuple[float, float]]]:
    """The dataset of a stream of pictures, and the sizes that their annotations state.

    Args:
        listed: the classes in their order; empty takes those that are `found` while reading, sorted by name.
    """
    columns = Columns(listed or None, notes)
    for picture in pictures:
        columns.add(picture)
    classes = listed or sorted(found | set(columns.labels))
    images, annotations = columns.image_table(raw), columns.annotation_table(classes)
    return Dataset(images, annotations, Meta(classes=classes, **meta)), columns.declared


def _unknown_class(box: Box, known: Iterable[str]) -> Note:
    file, _, row = box.row.partition("#")
    if not box.label:
        return Note("unknown_class", file, row, "the box has no class")
    guess = nearest(box.label, known)
    return Note("unknown_class", file, row, f"class {box.label!r} is not in ingest.classes"
                + (f"; did you mean {guess!r}?" if guess else ""))
