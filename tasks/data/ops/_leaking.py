"""Near-duplicates that were given in two splits: which of them go, and what each is near to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.base.errors import DataError
from tasks.data.splitting import NO_SPLIT
from tasks.data.table import SPLIT_ORDER

SHOWN = 10
NAMES = [name for name in SPLIT_ORDER if name]


@dataclass(frozen=True)
class Leak:
    """A picture of a less important split, and one of the most important split that it is near to; by way of others
    where there is no similarity."""

    file: str
    split: str
    near: str
    near_split: str
    similarity: float | None

    def line(self) -> str:
        how = "" if self.similarity is None else f", similarity {self.similarity:.3f}"
        return f"{self.file} ({self.split}) is near {self.near} ({self.near_split}{how})"


def leaking(near: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Which pictures have near-duplicates in a more important given split; bool [pictures].

    Args:
        near: int64 [pictures], the same number for near-duplicates, below their number.
        ranks: the given split's place in `SPLIT_ORDER`, 3 for none.
    """
    return (ranks < NO_SPLIT) & (ranks > _best(near, ranks))


def explain(connection: duckdb.DuckDBPyConnection, folder: Path, near: np.ndarray, ranks: np.ndarray,
            leaked: np.ndarray) -> list[Leak]:
    """Each picture of the mask `leaked` with the most similar one of the split that counts most there, by file.

    Args:
        connection: has the dataset's views as `it`.
        folder: has `pairs.parquet`.
    """
    best = _best(near, ranks)
    partner, similarity = _first_of_best(near, ranks), np.full(len(near), np.nan, np.float32)
    a, b, value = _pairs(folder, len(near))
    order = np.argsort(value, kind="stable")  # the last one written is the most similar
    for one, other in ((a[order], b[order]), (b[order], a[order])):
        told = leaked[one] & (ranks[other] == best[one]) & ~(similarity[one] > value[order])
        partner[one[told]], similarity[one[told]] = other[told], value[order][told]
    files = connection.sql("SELECT file FROM it_images").to_arrow_table()["file"]
    rows = np.flatnonzero(leaked)
    mine, theirs = (files.take(pa.array(ids)).to_pylist() for ids in (rows, partner[rows]))
    return [Leak(file, NAMES[ranks[row]], other, NAMES[ranks[partner[row]]], _number(similarity[row]))
            for row, file, other in zip(rows, mine, theirs, strict=True)]


def refusal(leaks: list[Leak], where: Path) -> DataError:
    lines = [leak.line() for leak in leaks[:SHOWN]]
    if len(leaks) > SHOWN:
        lines.append(f"… and {len(leaks) - SHOWN:,} more")
    return DataError(f"{len(leaks):,} pictures are near to pictures of a more important split",
                     where="\n    ".join([str(where), *lines]),
                     mend="split: {leaks: drop} in params.yaml takes them out and lists them; or {leaks: keep}")


def to_json(leaks: list[Leak], policy: str) -> dict[str, Any]:
    """The content of `leaks.json`."""
    return {"schema": 1, "policy": policy, "leaks": [vars(leak) for leak in leaks]}


def _best(near: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """The most important given split among each picture's near-duplicates."""
    best = np.full(len(near), NO_SPLIT)
    np.minimum.at(best, near, ranks)
    found: np.ndarray = best[near]
    return found


def _first_of_best(near: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """The first picture of the most important split among each picture's near-duplicates."""
    order = np.lexsort((np.arange(len(near)), ranks, near))
    starts = np.flatnonzero(np.diff(near[order], prepend=-1))
    first = np.zeros(len(near), np.int64)
    first[near[order[starts]]] = order[starts]
    return first[near]


def _pairs(folder: Path, pictures: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    path = folder / "pairs.parquet"
    try:
        rows = pq.read_table(path, columns=["a", "b", "similarity"], memory_map=False)
        a, b = (rows[name].to_numpy().astype(np.int64) for name in ("a", "b"))
        value = rows["similarity"].to_numpy().astype(np.float32)
    except (FileNotFoundError, ValueError, pa.ArrowException) as error:
        raise DataError(f"no near-duplicates can be read: {error}", where=path, mend="dvc repro --force") from None
    if any(ids.min(initial=0) < 0 or ids.max(initial=-1) >= pictures for ids in (a, b)):
        raise DataError("near-duplicates of another dataset", where=path, mend="dvc repro")
    return a, b, value


def _number(similarity: np.float32) -> float | None:
    return None if np.isnan(similarity) else round(float(similarity), 6)
