"""What labels say beside class and place, and where they come from."""

from __future__ import annotations

from typing import Any

import duckdb

from tasks.reporting.card.counts import row, rows

# of labels: name -> condition
SAID = {
    "crowd": "iscrowd", "difficult": "difficult", "polygons": "polygons IS NOT NULL", "run lengths": "rle IS NOT NULL",
    "keypoints": "keypoints IS NOT NULL", "truncation": "truncation IS NOT NULL", "cut off": "truncation > 0",
    "occlusion": "occlusion IS NOT NULL", "hidden": "occlusion BETWEEN 1 AND 2", "score": "score IS NOT NULL",
    "uncertainty": "uncertainty IS NOT NULL", "difficulty": "difficulty IS NOT NULL",
    "reviewed": "reviewed_by IS NOT NULL", "attributes": "attributes IS NOT NULL",
}
SHARES = ("truncation", "score", "uncertainty", "difficulty")  # numbers from 0 to 1
TENTHS = 10
LISTED = 20  # sources and reviewers that are named


def properties(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, Any]:
    """Labels that say something in each column; tenths of those that are shares; the levels of occlusion."""
    columns = ", ".join(f"count(*) FILTER ({condition})" for condition in SAID.values())
    counts = dict(zip(SAID, row(connection, f"SELECT {columns} FROM {name}_annotations"), strict=True))
    shares = {column: _tenths(connection, name, column) for column in SHARES if counts[column]}
    levels = rows(connection, f"""SELECT occlusion, count(*) FROM {name}_annotations
        WHERE occlusion IS NOT NULL GROUP BY 1 ORDER BY 1""")
    tags = rows(connection, f"""SELECT tag, count(*) FROM (SELECT unnest(tags) AS tag FROM {name}_images)
        WHERE tag IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {LISTED}""")
    return {"labels": {key: count for key, count in counts.items() if count}, "shares": shares,
            "occlusion": {str(level): count for level, count in levels}, "tags": [list(tag) for tag in tags]}


def sources(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, Any]:
    """Who made the labels, and who looked at them: (name, labels, pictures), the most labels first."""
    def by(column: str) -> list[list[Any]]:
        return [list(one) for one in rows(connection, f"""
            SELECT {column}, sum(n)::BIGINT, count(*) FROM (SELECT {column}, image_id, count(*) AS n
            FROM {name}_annotations WHERE {column} IS NOT NULL GROUP BY ALL)
            GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {LISTED}""")]

    return {"made": by("source"), "reviewed": by("reviewed_by")}


def _tenths(connection: duckdb.DuckDBPyConnection, name: str, column: str) -> list[int]:
    found = rows(connection, f"""
        SELECT least(greatest(floor({TENTHS} * {column}::DOUBLE), 0), {TENTHS - 1})::INTEGER, count(*)
        FROM {name}_annotations WHERE isfinite({column}) GROUP BY 1""")
    return [dict(found).get(k, 0) for k in range(TENTHS)]
