"""What is kept of each shard of a pool: a file of its pictures, then one of its boxes; with the second it is done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.base.errors import DataError
from tasks.base.files import write_atomic
from tasks.data.table import full_disk_is_told

BOXES = pa.schema([
    pa.field("image_id", pa.int64(), nullable=False),
    pa.field("class_id", pa.int32(), nullable=False),
    *(pa.field(name, pa.float32(), nullable=False) for name in ("x", "y", "w", "h", "score", "margin")),
    # null without a look at the mirrored picture
    pa.field("flip", pa.float32()),
    *(pa.field(name, pa.float32(), nullable=False) for name in ("spread", "support")),
    pa.field("polygons", pa.list_(pa.list_(pa.float64()))),
])
PICTURES = pa.schema([
    pa.field("image_id", pa.int64(), nullable=False),
    pa.field("digest", pa.string(), nullable=False),
    # why it could not be read
    pa.field("flaw", pa.string()),
    pa.field("aldd", pa.list_(pa.float64())),
    pa.field("consistency", pa.float64()),
])
COLUMNS = ["image_id", "file", "width", "height", "digest", "bytes", "shard", "offset"]
FEWEST, MOST, PARTS = 16, 512, 64


def shard_size(pictures: int) -> int:
    """Pictures a shard: some sixty shards of a small pool, so that processes end together; at most 512."""
    return min(max(-(-pictures // PARTS), FEWEST), MOST)


def boxes_file(folder: Path, number: int) -> Path:
    return folder / "shards" / f"{number:06d}.boxes.parquet"


def pictures_file(folder: Path, number: int) -> Path:
    return folder / "shards" / f"{number:06d}.pictures.parquet"


def write_shard(folder: Path, number: int, boxes: pa.Table, pictures: pa.Table) -> None:
    """Keep a shard; until its boxes are there it counts as not looked at.

    Raises:
        DataError: the disk is full.
    """
    with full_disk_is_told(folder):
        # of a shard that is done again the old boxes must not stand beside the new pictures
        boxes_file(folder, number).unlink(missing_ok=True)
        for path, table in ((pictures_file(folder, number), pictures), (boxes_file(folder, number), boxes)):
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink, compression="zstd")
            write_atomic(path, sink.getvalue().to_pybytes())


def read_shard(path: Path) -> pa.Table:
    """A file of a shard.

    Raises:
        DataError: it is damaged or was deleted.
    """
    try:
        return pq.read_table(path, memory_map=False)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"a shard of the pre-labels is damaged: {str(error).splitlines()[0]}", where=path,
                        mend=f"rm {path}, then visionmill label auto again: that shard alone is done anew") from None


class Rows:
    """The pictures of a version by position, read row group by row group: a million rows need no memory."""

    def __init__(self, images: Path) -> None:
        self._file = pq.ParquetFile(images)
        self._group, self._table, self._start = -1, None, 0

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def __call__(self, start: int, stop: int) -> pa.Table:
        """Rows `start` to `stop`, the columns `COLUMNS`."""
        parts, first = [], 0
        for group in range(self._file.metadata.num_row_groups):
            last = first + self._file.metadata.row_group(group).num_rows
            if first < stop and last > start:
                table = self._read(group)
                parts.append(table.slice(max(start - first, 0), min(stop, last) - max(start, first)))
            first = last
        return pa.concat_tables(parts).combine_chunks()

    def _read(self, group: int) -> pa.Table:
        if group != self._group:
            self._group, self._table = group, self._file.read_row_group(group, columns=COLUMNS)
        return self._table

    def blocks(self, rows: int) -> Iterator[tuple[int, pa.Table]]:
        """All rows, so many at a time, with the position of the first."""
        for start in range(0, len(self), rows):
            yield start, self(start, min(start + rows, len(self)))
