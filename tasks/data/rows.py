"""A dataset folder picture by picture: a few thousand rows are in memory, however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tasks.data.table import ANNOTATIONS, IMAGES, conform

BATCH = 4096


@dataclass(frozen=True, slots=True)
class Row:
    """One picture and its annotations, each as a dictionary of the table's columns."""

    image: dict[str, Any]
    boxes: list[dict[str, Any]]


def rows(folder: Path) -> Iterator[Row]:
    """The pictures of a dataset folder in the order of their ids, each with its annotations in the order of theirs."""
    boxes = _dictionaries(folder / "annotations.parquet", ANNOTATIONS)
    waiting = next(boxes, None)
    for image in _dictionaries(folder / "images.parquet", IMAGES):
        mine = []
        while waiting is not None and waiting["image_id"] == image["image_id"]:
            mine.append(waiting)
            waiting = next(boxes, None)
        yield Row(image, mine)


def _dictionaries(path: Path, schema: Any) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH):
            yield from conform(batch, schema).to_pylist()
