"""What can be picked from, what is known already, and what is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.base.errors import DataError
from tasks.labels.columns import places_of

ROWS = 1 << 18
Batches = Callable[[], Iterable[pa.Table | pa.RecordBatch]]


@dataclass(frozen=True)
class Pool:
    """Pictures that may be picked.

    Attributes:
        image_id: int64 [n], ascending, each once.
        classes: names in the order of class ids.
        boxes: makes the batches of all detections, in the columns of results/evaluate/detections and, where there are
            any, margin and flip (`features`) and probability (`difficulty.rate`); by image_id, ascending. None: no
            model has looked.
        vectors: float16 or float32 [n, d], a row a picture, for instance mapped from a file; None: not there.
        near: int64 [n], the same number for near-duplicates, also those of `Known`; None: not known.
        columns: more of each picture: `aldd` [n, K] (`aldd.scores`), `consistency` [n] (`cald.consistency`).
    """

    image_id: np.ndarray
    classes: list[str]
    boxes: Batches | None = None
    vectors: np.ndarray | None = None
    near: np.ndarray | None = None
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if np.any(np.diff(self.image_id) <= 0):
            raise DataError("the pool's image_ids do not ascend", where="pool", mend="sort them, each once")
        arrays = {"vectors": self.vectors, "near": self.near, **self.columns}
        for name, array in arrays.items():
            if array is not None and len(array) != len(self.image_id):
                raise DataError(f"the pool has {len(self.image_id)} pictures and {len(array)} rows of {name}",
                                where=name, mend="make them from the same pictures")

    def __len__(self) -> int:
        return len(self.image_id)


@dataclass(frozen=True)
class Failures:
    """What the last evaluation got wrong: a row a picture, worst first.

    Attributes:
        vectors: float [f, d], of the pictures; severity: float [f], above 0; words: what was wrong, one each.
    """

    vectors: np.ndarray
    severity: np.ndarray
    words: list[str]


@dataclass(frozen=True)
class Known:
    """What has been labelled, or was picked in past rounds.

    Attributes:
        image_id: of those that are in the pool.
        vectors: float [m, d] of all labelled pictures.
        near: their groups of near-duplicates, numbered as the pool's.
        counts: labels of each class, int64 [K].
        failures: of the last evaluation.
    """

    image_id: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    vectors: np.ndarray | None = None
    near: np.ndarray | None = None
    counts: np.ndarray | None = None
    failures: Failures | None = None


class NothingLeft(DataError):
    """All pictures of the pool are labelled, were picked before, or are near-duplicates of such."""


def free_places(pool: Pool, known: Known) -> tuple[np.ndarray, list[str]]:
    """Places in the pool that may be picked, int64 ascending, and what was left out, in words.

    Of a group of near-duplicates the first picture stays, and none where one of the group is known.

    Raises:
        DataError: the pool is empty; NothingLeft: nothing is left of it.
    """
    if not len(pool):
        raise DataError("the pool has no pictures", where="pool", mend="name a dataset with pictures")
    taken = np.isin(pool.image_id, known.image_id)
    notes = [f"{int(taken.sum()):,} pictures are labelled or were picked in past rounds"] if taken.any() else []
    stays = ~taken
    if pool.near is not None:
        groups = pool.near[taken] if known.near is None else np.concatenate([pool.near[taken], known.near])
        first = np.zeros(len(pool), bool)
        first[np.unique(pool.near, return_index=True)[1]] = True
        alike = ~taken & (~first | np.isin(pool.near, groups))
        stays &= ~alike
        if alike.any():
            notes.append(f"{int(alike.sum()):,} pictures are near-duplicates of others or of what is known")
    free = np.flatnonzero(stays)
    if not len(free):
        raise NothingLeft(f"nothing is left of the {len(pool):,} pictures of the pool: {'; '.join(notes)}",
                          where="pool", mend="add new pictures to the pool")
    return free, notes


def parquet_batches(path: Path, rows: int = ROWS) -> Batches:
    """The rows of a Parquet file as they are asked for, `rows` at a time."""
    def batches() -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            yield from file.iter_batches(rows)

    return batches


def table_batches(table: pa.Table, rows: int = ROWS) -> Batches:
    """A table in memory as batches, sorted by image_id."""
    ordered = table.take(pa.array(np.argsort(table["image_id"].to_numpy(), kind="stable")))
    return lambda: (ordered.slice(start, rows) for start in range(0, ordered.num_rows, rows))


def whole_pictures(pool: Pool) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """Batches that tear no picture: each row's place in the pool (-1: not of it) and the rows.

    Raises:
        DataError: the rows are not in the order of image_id.
    """
    waiting: pa.Table | None = None
    for batch in pool.boxes() if pool.boxes else ():
        table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
        table = table if waiting is None else pa.concat_tables([waiting, table]).combine_chunks()
        if not table.num_rows:
            continue
        ids = table["image_id"].to_numpy()
        if np.any(np.diff(ids) < 0):
            raise DataError("the detections of the pool are not in the order of image_id", where="pool",
                            mend="sort them by image_id")
        cut = int(np.searchsorted(ids, ids[-1]))
        if cut:
            yield places_of(pool.image_id, ids[:cut]), table.slice(0, cut)
        waiting = table.slice(cut)
    if waiting is not None and waiting.num_rows:
        yield places_of(pool.image_id, waiting["image_id"].to_numpy()), waiting


def boxes_on(pool: Pool, places: np.ndarray) -> tuple[np.ndarray, pa.Table | None]:
    """All detections of some pictures: for each row the position in `places`, and the rows; None without any."""
    position = np.full(len(pool) + 1, -1)
    position[places] = np.arange(len(places))
    parts, at = [], [np.zeros(0, np.int64)]
    for place, table in whole_pictures(pool):
        here = position[place]
        if (here >= 0).any():
            parts.append(table.filter(pa.array(here >= 0)))
            at.append(here[here >= 0])
    return np.concatenate(at), pa.concat_tables(parts).combine_chunks() if parts else None


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1 as float32; zeros stay zeros."""
    rows = np.asarray(vectors, dtype=np.float32)
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return rows / np.where(length > 0, length, 1)[:, None]
