"""Near-duplicates as `dedup` left them: how many, how many between two splits, and the pairs to look at."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.base.errors import DataError
from tasks.reporting.card.bins import NONE, ordered
from tasks.reporting.card.counts import row, rows

SHOWN = 12
PAIRS = pa.schema([("a", pa.int64()), ("b", pa.int64()), ("similarity", pa.float32())])
LEAK = "x.split IS NOT NULL AND y.split IS NOT NULL AND x.split <> y.split"


def near_duplicates(connection: duckdb.DuckDBPyConnection, folder: Path) -> dict[str, Any]:
    """Of `pairs.parquet` (a, b, similarity) over the view `it_images`: numbers, and `SHOWN` pairs, leaks first.

    A leak is a pair that stands in two splits; pictures without a split can still go to one.

    Raises:
        DataError: there is no such file, or its columns are others.
    """
    _load(connection, folder / "pairs.parquet")
    joined = "pairs JOIN it_images AS x ON x.image_id = a JOIN it_images AS y ON y.image_id = b"
    count, leaks = row(connection, f"SELECT count(*), count(*) FILTER ({LEAK}) FROM {joined}")
    between = rows(connection, f"""SELECT least(x.split, y.split), greatest(x.split, y.split), count(*) FROM {joined}
        WHERE {LEAK} GROUP BY ALL""")
    between = sorted(([*ordered({a, b}), n] for a, b, n in between), key=lambda one: (-one[2], one))
    shown = rows(connection, f"""SELECT a, b, similarity, {LEAK}, x.digest = y.digest,
            coalesce(x.split, '{NONE}'), coalesce(y.split, '{NONE}') FROM {joined}
        ORDER BY coalesce({LEAK}, false) DESC, similarity DESC, a, b LIMIT {SHOWN}""")
    names = ("a", "b", "similarity", "leak", "equal", "split_a", "split_b")
    return {"pairs": count, "leaks": leaks, "between": between,
            "groups": _groups(folder / "groups.parquet"),
            "shown": [dict(zip(names, one, strict=True)) | {"leak": bool(one[3])} for one in shown]}


def _load(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """The table `pairs` of a file's rows, a batch at a time."""
    mend = "visionmill data dedup NAME"
    try:
        with pq.ParquetFile(path) as file:
            if missing := [name for name in PAIRS.names if name not in file.schema_arrow.names]:
                raise DataError(f"a list of near-duplicates has the columns {', '.join(PAIRS.names)}; here is no "
                                f"{missing[0]}", where=path, mend=mend)
            connection.register("pairs_file", pa.RecordBatchReader.from_batches(PAIRS, _batches(file)))
            connection.execute("CREATE TEMP TABLE pairs AS SELECT * FROM pairs_file WHERE a <> b")
            connection.unregister("pairs_file")
    except FileNotFoundError:
        raise DataError("no list of near-duplicates", where=path, mend=mend) from None
    except (pa.ArrowException, duckdb.Error, OSError) as error:
        raise DataError(f"damaged list of near-duplicates: {str(error).splitlines()[0]}", where=path,
                        mend=mend) from None


def _batches(file: pq.ParquetFile) -> Iterable[pa.RecordBatch]:
    for batch in file.iter_batches(1 << 16, columns=PAIRS.names):
        yield batch.select(PAIRS.names).cast(PAIRS)


def _groups(path: Path) -> int | None:
    """Groups of two pictures or more, where it is known which pictures hang together (`near`: the first of them)."""
    if not path.is_file():
        return None
    try:
        counts = pq.read_table(path, columns=["near"], memory_map=False)["near"].value_counts()
    except (pa.ArrowException, OSError, KeyError):
        return None
    return int(pc.sum(pc.greater(counts.field("counts"), 1)).as_py() or 0)
