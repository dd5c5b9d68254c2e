"""The tables of a version whose rows come in any order. Memory holds a few thousand of them."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.base.errors import DataError
from tasks.base.progress import Progress
from tasks.data import sql
from tasks.data.crew import cores
from tasks.data.ops import Making, Parent
from tasks.data.pictures import over_pictures
from tasks.data.rows import Row, rows
from tasks.data.table import ANNOTATIONS, IMAGES, Meta

BATCH = 4096
# what is listed by name in a report; the counts are of all
LISTED = 1000


@dataclass
class Done:
    """What became of one picture: rows of the new version, counts, and the labels or pictures that a report names."""

    rows: list[Row]
    counts: Counter[str] = field(default_factory=Counter)
    named: list[str] = field(default_factory=list)


def only(parents: Sequence[Parent], operation: str) -> Parent:
    """The one parent.

    Raises:
        DataError: there are more, or none.
    """
    if len(parents) != 1:
        raise DataError(f"{operation} takes one version, not {len(parents)}",
                        where=", ".join(parent.ref for parent in parents), mend="visionmill data merge them first")
    return parents[0]


def remake(parent: Parent, making: Making, meta: Meta, work: Callable[[Row], Done], operation: str,
           counted: Iterable[str]) -> Counter[str]:
    """Write a version of what `work` makes of each picture, a few at a time; returns all counts.

    They stand in `<operation>.json` too, with what is named; `counted` are those that are told when they are 0.
    """
    total = Done([], Counter(dict.fromkeys(counted, 0)))
    progress = Progress(pq.read_metadata(parent.folder / "images.parquet").num_rows, operation)
    with tempfile.TemporaryDirectory(prefix="visionmill-") as folder:
        with Spool(Path(folder)) as spool:
            for done in over_pictures(work, rows(parent.folder), cores()):
                spool.add(done.rows)
                total.counts.update(done.counts)
                total.named += done.named[:LISTED - len(total.named)]
                progress.step()
        _write_sorted(Path(folder), making, meta, {f"{operation}.json": dict(total.counts) | {"named": total.named}})
    return total.counts


class Spool:
    """`images.parquet` and `annotations.parquet` of rows as they come, their ids counted in that order."""

    def __init__(self, folder: Path) -> None:
        self._files = [pq.ParquetWriter(folder / f"{name}.parquet", schema) for name, schema in sql.TABLES.items()]
        self._waiting: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
        self._counts = [0, 0]

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if kind is None:
            self._flush(0)
            self._flush(1)
        for file in self._files:
            file.close()

    def add(self, some: Sequence[Row]) -> None:
        for row in some:
            self._put(0, row.image | {"image_id": self._counts[0]})
            for box in row.boxes:
                self._put(1, box | {"annotation_id": self._counts[1], "image_id": self._counts[0] - 1})

    def _put(self, table: int, row: dict[str, Any]) -> None:
        self._waiting[table].append(row)
        self._counts[table] += 1
        if len(self._waiting[table]) == BATCH:
            self._flush(table)

    def _flush(self, table: int) -> None:
        schema = (IMAGES, ANNOTATIONS)[table]
        self._files[table].write_table(pa.Table.from_pylist(self._waiting[table], schema=schema))
        self._waiting[table].clear()


def _write_sorted(folder: Path, making: Making, meta: Meta, extra: Mapping[str, Any]) -> None:
    images, annotations = (sql.quoted(folder.resolve() / f"{name}.parquet") for name in sql.TABLES)
    with sql.connect(folder) as connection:
        connection.execute("CREATE TABLE places AS SELECT image_id AS owner, row_number() OVER (ORDER BY file) - 1 AS "
                           f"place FROM read_parquet({images})")
        pictures = sql.stream(connection, f"SELECT * FROM read_parquet({images}) ORDER BY file")
        labels = sql.stream(connection, f"SELECT a.* EXCLUDE (image_id), p.place AS image_id FROM read_parquet("
                                        f"{annotations}) a JOIN places p ON a.image_id = p.owner "
                                        "ORDER BY p.place, a.annotation_id")
        sql.write_version(making.folder, _counted(pictures, "image_id"), _counted(labels, "annotation_id"), meta, extra)


def _counted(batches: Iterator[pa.RecordBatch], name: str) -> Iterator[pa.Table]:
    seen = 0
    for batch in batches:
        table = pa.Table.from_batches([batch])
        ids = pa.array(np.arange(seen, seen + len(batch)))
        yield table.set_column(table.column_names.index(name), name, ids)
        seen += len(batch)
