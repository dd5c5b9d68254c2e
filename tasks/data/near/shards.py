"""What pictures look like, kept by the digest of their bytes: files that are only ever added, each whole or absent."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.base.files import write_atomic
from tasks.data.near.thumbs import SIDE
from tasks.data.table import full_disk_is_told

DIMENSIONS = 256
SCHEMA = pa.schema([pa.field("key", pa.binary(32)), pa.field("thumb", pa.binary(SIDE * SIDE)),
                    pa.field("vector", pa.binary(4 * DIMENSIONS))])


class Shards:
    """The files `*.arrow` of a folder, mapped into memory: a row a picture. A damaged file counts as absent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        tables = [table for path in sorted(folder.glob("*.arrow")) if (table := _read(path)) is not None]
        self._columns = {field.name: [_array(table, field) for table in tables] for field in SCHEMA}
        keys = self._columns["key"]
        self._starts = np.cumsum([0, *(len(part) for part in keys)])
        joined = np.concatenate(keys).view(">u8").reshape(-1, 4) if keys else np.empty((0, 4), ">u8")
        self._order = np.argsort(joined[:, 0], kind="stable")
        self._keys = joined[self._order]

    def again(self) -> Shards:
        """With what was added since."""
        return Shards(self.folder)

    def find(self, keys: np.ndarray) -> np.ndarray:
        """The row of each key (V32), -1 where there is none; int64."""
        wanted = keys.view(">u8").reshape(-1, 4)
        place = np.searchsorted(self._keys[:, 0], wanted[:, 0])
        inside = place < len(self._keys)
        place[~inside] = 0
        if not len(self._keys):
            return np.full(len(keys), -1)
        same = inside & (self._keys[place] == wanted).all(1)
        return np.where(same, self._order[place], -1)

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """float32 [len(rows), 256]; zeros for row -1."""
        return self._gather("vector", rows).view(np.float32).reshape(-1, DIMENSIONS)

    def thumbs(self, rows: np.ndarray) -> np.ndarray:
        """uint8 [len(rows), SIDE, SIDE]; zeros for row -1."""
        return self._gather("thumb", rows).reshape(-1, SIDE, SIDE)

    def add(self, keys: np.ndarray, thumbs: np.ndarray, vectors: np.ndarray) -> None:
        """One more file, if there is anything to keep; its name is a digest of its keys.

        Raises:
            DataError: the disk is full.
        """
        if not len(keys):
            return
        parts = (keys, thumbs, vectors.astype("<f4"))
        columns = [pa.FixedSizeBinaryArray.from_buffers(field.type, len(keys), [None, pa.py_buffer(part.tobytes())])
                   for field, part in zip(SCHEMA, parts, strict=True)]
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, SCHEMA) as writer:
            writer.write_table(pa.table(columns, schema=SCHEMA))
        name = hashlib.sha256(keys.tobytes()).hexdigest()[:32]
        with full_disk_is_told(self.folder):
            write_atomic(self.folder / f"{name}.arrow", sink.getvalue().to_pybytes())

    def _gather(self, name: str, rows: np.ndarray) -> np.ndarray:
        width = SCHEMA.field(name).type.byte_width
        found = np.zeros((len(rows), width), np.uint8)
        shard = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(shard[rows >= 0]):
            mine = np.flatnonzero(shard == number)
            part = self._columns[name][number].view(np.uint8).reshape(-1, width)
            found[mine] = part[rows[mine] - self._starts[number]]
        return found


def _read(path: Path) -> pa.Table | None:
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        return table if table.schema.equals(SCHEMA) and table.num_rows else None
    except (OSError, ValueError, pa.ArrowException):
        return None


def _array(table: pa.Table, field: pa.Field) -> np.ndarray:
    [chunk] = table[field.name].chunks
    return np.frombuffer(chunk.buffers()[1], f"V{field.type.byte_width}", len(chunk))
