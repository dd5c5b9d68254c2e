"""From a stream of annotated pictures to the dataset tables. Rows wait on disk, sorted there: memory stays flat."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.base.errors import nearest
from tasks.base.progress import Progress
from tasks.data import sql
from tasks.data.formats.record import More, Note, Picture, Reading, place_of
from tasks.data.pictures import MAX_PIXELS, measure_all
from tasks.data.spool import Spool
from tasks.data.table import ANNOTATIONS, IMAGES, Meta

MEASURED = ("width", "height", "digest", "bytes", "orientation")


@dataclass
class Built:
    """What was written: numbers of pictures, of annotations and of whole pictures' labels, the classes, pictures of
    each given split."""

    images: int = 0
    annotations: int = 0
    labels: int = 0
    classes: list[str] = field(default_factory=list)
    splits: dict[str, int] = field(default_factory=dict)


def build(raw: Path, items: Iterable[Picture | More], listed: list[str], into: Reading, out: Path,
          describe: Callable[[list[str]], Meta], rename: Callable[[str], str] = str) -> Built:
    """Write the tables of a stream of pictures to the empty folder `out`, pictures sorted by file, and measure them.

    Args:
        raw: what the pictures' names are relative to.
        listed: the classes in their order; empty takes those that are declared or used, sorted by name.
        into: takes notes on what cannot enter the table.
        describe: the dataset's description, given its classes.
        rename: a picture's name in the table, given its name below `raw`; must keep their order.
    """
    with tempfile.TemporaryDirectory(prefix="visionmill-") as folder:
        classes = Classes(listed, into.notes)
        with Spool(Path(folder)) as spool:
            for item in items:
                _add(item, classes, spool)
        known = listed or sorted(into.labels | set(classes.ids))
        built = Built(classes=known)
        with sql.connect(Path(folder)) as connection:
            places = np.array([known.index(name) for name in classes.ids] or [0], np.int32)
            found, boxes = (f"read_parquet({sql.quoted(Path(folder).resolve() / name)})"
                            for name in ("pictures.parquet", "boxes.parquet"))
            connection.execute(f"CREATE VIEW pictures AS SELECT * FROM {found}")
            images = _images(connection, raw, places, into.notes, rename, built)
            numbered = "SELECT file, row_number() OVER (ORDER BY file) - 1 AS image_id FROM pictures"
            ordered = sql.stream(connection, f"SELECT p.image_id, b.* EXCLUDE (file) FROM {boxes} b "
                                             f"JOIN ({numbered}) p USING (file) ORDER BY p.image_id, b.number")
            sql.write_version(out, images, _annotations(ordered, places, built), describe(known))
    return built


class Classes:
    """The classes met so far, numbered as they came; a class that is not `listed`, or has no name, is noted."""

    def __init__(self, listed: list[str], notes: list[Note]) -> None:
        self.listed, self.notes = listed, notes
        self.ids = {name: number for number, name in enumerate(listed)}

    def number(self, label: str, row: str) -> int | None:
        if label and not (self.listed and label not in self.ids):
            return self.ids.setdefault(label, len(self.ids))
        file, place = place_of(row)
        detail = "the label has no class"
        if label:
            guess = nearest(label, self.ids)
            detail = f"class {label!r} is not in the list of classes" + (f"; did you mean {guess!r}?" if guess else "")
        self.notes.append(Note("unknown_class", file, place, detail))
        return None


def _add(item: Picture | More, classes: Classes, spool: Spool) -> None:
    if isinstance(item, Picture):
        labels = None
        if item.labels is not None:
            found = (classes.number(label, item.row) for label in item.labels)
            labels = [number for number in found if number is not None]
        spool.picture(item, labels)
    for box in item.boxes:
        number = classes.number(box.label, box.row)
        if number is not None:
            spool.box(item.file, box, number)


def _images(connection: Any, raw: Path, places: np.ndarray, notes: list[Note], rename: Callable[[str], str],
            built: Built) -> Iterator[pa.Table]:
    """The picture table in batches, each picture measured."""
    query = "SELECT * FROM pictures ORDER BY file"
    total = connection.execute("SELECT count(*) FROM pictures").fetchall()[0][0]
    progress = Progress(total, "measured")
    files = (file for batch in sql.stream(connection, "SELECT file FROM pictures ORDER BY file")
             for file in batch.column("file").to_pylist())
    sizes = measure_all(raw / file for file in files)
    for batch in sql.stream(connection, query):
        rows = batch.to_pydict()
        measured: dict[str, list[Any]] = {name: [] for name in MEASURED}
        for found in islice(sizes, len(batch)):
            for name, column in measured.items():
                column.append(getattr(found, name))
            progress.step()
        notes += _contradicted(rows, measured)
        for split in rows["split"]:
            built.splits[split or "none"] = built.splits.get(split or "none", 0) + 1
        rows["labels"] = [None if one is None else sorted({int(places[i]) for i in one}) for one in rows["labels"]]
        built.labels += sum(len(one) for one in rows["labels"] if one)
        for name in ("file", "mask", "reference"):
            rows[name] = [None if one is None else rename(one) for one in rows[name]]
        rows["image_id"] = range(built.images, built.images + len(batch))
        columns = {f.name: pa.array((rows | measured)[f.name], f.type) if f.name in rows or f.name in measured
                   else pa.nulls(len(batch), f.type) for f in IMAGES}
        built.images += len(batch)
        yield pa.table(columns, schema=IMAGES)


def _annotations(batches: Iterable[pa.RecordBatch], places: np.ndarray, built: Built) -> Iterator[pa.Table]:
    """The annotation table in batches: classes by their final numbers, ids counted."""
    for batch in batches:
        rows = pa.Table.from_batches([batch])
        ids = np.arange(built.annotations, built.annotations + len(batch))
        classes = places[rows["label"].to_numpy()]
        columns = {"annotation_id": pa.array(ids), "class_id": pa.array(classes, pa.int32())}
        columns |= {name: rows[name] for name in rows.column_names if name in ANNOTATIONS.names}
        built.annotations += len(batch)
        yield pa.table({f.name: columns[f.name] for f in ANNOTATIONS})


def _contradicted(rows: dict[str, list[Any]], measured: dict[str, list[Any]]) -> Iterator[Note]:
    columns = rows["file"], rows["declared_width"], rows["declared_height"], measured["width"], measured["height"]
    for file, width, height, w, h in zip(*columns, strict=True):
        # of a decompression bomb the size is told by another finding
        if w and width is not None and (width, height) != (w, h) and w * h <= MAX_PIXELS:
            detail = f"the annotation says {width:g} x {height:g}, it is {w} x {h}"
            yield Note("size_differs", file, "", detail, file)
