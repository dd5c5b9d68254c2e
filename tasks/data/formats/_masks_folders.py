"""Files of one kind in a folder of their own, so that reading and writing again changes no name."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from tasks.data.exporting import Export


class Below:
    """Names below `folder/` for the files of a column: their own, without `folder/` where all of them begin so."""

    def __init__(self, export: Export, folder: str, column: Literal["file", "mask", "reference"]) -> None:
        self.table, self.folder, self.column = export.folder / "images.parquet", folder, column

    def __call__(self, file: str) -> str:
        return f"{self.folder}/{file[self._cut:]}"

    @cached_property
    def _cut(self) -> int:
        with pq.ParquetFile(self.table) as table:
            inside = (pc.all(pc.starts_with(batch.column(0), f"{self.folder}/")).as_py() is not False
                      for batch in table.iter_batches(columns=[self.column]))
            return len(self.folder) + 1 if all(inside) else 0
