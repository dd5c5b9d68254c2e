"""Pictures in archives: DVC looks at each file of a folder, 4 s for 50,000; of an archive it sees one.

A shard is a zip that stores its members uncompressed, so that a picture is a range of its bytes; the table has the
archive's name and where the range begins.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data.table import IMAGES, write_table

# more loose files than this make `dvc status` slow
LOOSE = 20_000
PICTURES = 4096
BYTES = 1 << 30
EPOCH = (1980, 1, 1, 0, 0, 0)
LOCAL_HEADER = 30


def pack(table: Path, source: Path, folder: Path, origin: str) -> None:
    """Put the pictures of `table` (images.parquet) into archives below `folder`, and their places into the table.

    Args:
        source: what the table's names are relative to, once `origin/` is taken off.
    """
    beside = table.with_name(".packed.parquet")
    with pq.ParquetFile(table) as file, Packer(source, folder, origin) as packer:
        write_table(beside, (packer.place(batch) for batch in file.iter_batches(PICTURES)), IMAGES)
    beside.replace(table)


class Packer:
    """Writes archives one after the other; the same pictures in the same order give the same bytes."""

    def __init__(self, source: Path, folder: Path, origin: str) -> None:
        self.source, self.folder, self.origin = source, folder, origin
        self.number, self.members, self.size = -1, PICTURES, 0
        self.archive: zipfile.ZipFile | None = None

    def __enter__(self) -> Packer:
        return self

    def __exit__(self, *raised: object) -> None:
        if self.archive:
            self.archive.close()

    def place(self, images: pa.RecordBatch) -> pa.Table:
        """The rows with `shard` and `offset`, their pictures written."""
        shards, offsets = [], []
        for file in images.column("file").to_pylist():
            name = file.removeprefix(f"{self.origin}/")
            offsets.append(self._write(self.source / name, name))
            shards.append(f"{self.origin}/{self._name()}")
        table = pa.Table.from_batches([images])
        for name, values in (("shard", shards), ("offset", offsets)):
            place = table.schema.get_field_index(name)
            table = table.set_column(place, IMAGES.field(name), pa.array(values, IMAGES.field(name).type))
        return table

    def _write(self, path: Path, name: str) -> int:
        """Append one file; returns where its bytes begin."""
        archive = self._open()
        member = zipfile.ZipInfo(name, EPOCH)
        member.external_attr = 0o644 << 16
        with path.open("rb") as source, archive.open(member, "w", force_zip64=False) as target:
            shutil.copyfileobj(source, target, 1 << 20)
        self.members += 1
        self.size += member.file_size
        return member.header_offset + LOCAL_HEADER + len(name.encode("utf-8")) + len(member.extra)

    def _open(self) -> zipfile.ZipFile:
        if self.archive is None or self.members >= PICTURES or self.size >= BYTES:
            if self.archive:
                self.archive.close()
            self.number, self.members, self.size = self.number + 1, 0, 0
            self.archive = zipfile.ZipFile(self.folder / self._name(), "x", zipfile.ZIP_STORED)
        return self.archive

    def _name(self) -> str:
        return f"shard-{self.number:05d}.zip"


def files_of(images: Path) -> Iterator[str]:
    """The names of all files below the pictures folder that a table needs, each once, in its order."""
    seen: set[str] = set()
    with pq.ParquetFile(images) as file:
        for batch in file.iter_batches(1 << 14, columns=["file", "shard", "mask", "reference"]):
            columns = batch.to_pydict()
            for file_name, shard, mask, reference in zip(*columns.values(), strict=True):
                yield from _new((shard or file_name, mask, reference), seen)


def _new(names: Iterable[Any], seen: set[str]) -> Iterator[str]:
    for name in names:
        if name is not None and name not in seen:
            seen.add(name)
            yield name
