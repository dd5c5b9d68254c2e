"""What is alike, and what of it stands in two splits, by file: from what the stage `neighbours` wrote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from tasks.base.errors import DataError
from tasks.data.splitting import read_near
from tasks.data.sql import tables
from tasks.data.table import SPLIT_ORDER

RANK = "CASE split " + " ".join(f"WHEN '{name}' THEN {rank}" for name, rank in SPLIT_ORDER.items() if name) + " END"
COLUMNS = ("a", "b", "similarity", "kind")


@dataclass(frozen=True)
class Pair:
    """Two pictures that are alike.

    Attributes:
        similarity: 0 to 1; 1 for equal bytes.
        kind: exact, near or flipped.
    """

    first: str
    second: str
    similarity: float
    kind: str

    def __str__(self) -> str:
        return f"{self._how()}: {self.first} and {self.second}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def _how(self) -> str:
        return self.kind if self.kind == "exact" else f"{self.kind} {self.similarity:.2f}"


@dataclass(frozen=True)
class Leak(Pair):
    """Two pictures that are alike and stand in two splits; the first is of the more important one."""

    first_split: str
    second_split: str

    def __str__(self) -> str:
        return f"{self._how()}: {self.first} ({self.first_split}) and {self.second} ({self.second_split})"


def alike(folder: Path, near: Path) -> list[Pair]:
    """All pairs of a dataset folder: near ones first, the most similar first, then equal ones.

    Args:
        near: what the stage `neighbours` wrote for this folder.

    Raises:
        DataError: it is missing, damaged, or of another dataset.
    """
    query = """SELECT x.file, y.file, similarity, kind FROM pairs JOIN it_images x ON x.image_id = a
        JOIN it_images y ON y.image_id = b ORDER BY kind = 'exact', similarity DESC, x.file, y.file"""
    with _opened(folder, near) as connection:
        return [Pair(a, b, round(value, 4), kind) for a, b, value, kind in connection.execute(query).fetchall()]


def leaks(folder: Path, near: Path) -> list[Leak]:
    """Pictures of a dataset folder that are alike and stand in two splits: near ones first.

    Of equal pictures each one is named that is not of the most important split among them (test, then val, then
    train). A near pair is named once, and by its copies where these stand in two splits.

    Raises:
        DataError: as `alike`.
    """
    with _opened(folder, near) as connection:
        connection.execute(f"""CREATE TEMP TABLE members AS
            SELECT image_id, file, split, {RANK} AS rank, coalesce(a, image_id) AS first
            FROM it_images LEFT JOIN (SELECT a, b FROM pairs WHERE kind = 'exact') ON b = image_id""")
        connection.execute("CREATE TEMP TABLE places AS SELECT first, rank, split, arg_min(file, image_id) AS file "
                           "FROM members WHERE rank IS NOT NULL GROUP BY ALL")
        rows = connection.execute(f"""SELECT * FROM ({NEAR_LEAKS} UNION ALL {EXACT_LEAKS})
            ORDER BY kind = 'exact', similarity DESC, first, second""").fetchall()
    return [Leak(first, second, round(value, 4), *rest) for first, second, value, *rest in rows]


# of each pair the two that come first by the importance of their splits, the smaller rank standing first
NEAR_LEAKS = """
    SELECT least(x, y).file AS first, greatest(x, y).file AS second, similarity, kind, least(x, y).split AS split,
        greatest(x, y).split AS other
    FROM (SELECT a, b, similarity, kind, struct_pack(rank := p.rank, file := p.file, split := p.split) AS x,
            struct_pack(rank := q.rank, file := q.file, split := q.split) AS y
        FROM pairs JOIN places p ON p.first = a JOIN places q ON q.first = b
        WHERE kind <> 'exact' AND p.rank <> q.rank
        QUALIFY row_number() OVER (PARTITION BY a, b ORDER BY least(p.rank, q.rank), greatest(p.rank, q.rank), p.rank)
            = 1)"""
EXACT_LEAKS = """
    SELECT best.file, m.file, 1.0::FLOAT, 'exact', best.split, m.split
    FROM members m JOIN (SELECT * FROM places QUALIFY row_number() OVER (PARTITION BY first ORDER BY rank) = 1) best
        USING (first)
    WHERE m.rank > best.rank"""


@contextmanager
def _opened(folder: Path, near: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the dataset as `it_images`, and `pairs`."""
    path = near / "pairs.parquet"
    try:
        known = pq.read_schema(path).names
    except (FileNotFoundError, ValueError, OSError) as error:
        raise DataError(f"no near-duplicates can be read: {error}", where=path, mend="dvc repro --force") from None
    if missing := [name for name in COLUMNS if name not in known]:
        raise DataError(f"no near-duplicates can be read: no column {missing[0]}", where=path, mend="dvc repro --force")
    with tables(it=folder) as connection:
        pairs = pq.read_table(path, columns=list(COLUMNS), memory_map=False)
        connection.register("pairs", pairs)
        read_near(near, connection.sql("SELECT image_id FROM it_images").to_arrow_table().num_rows)
        yield connection
