"""What differs between two versions: pictures by the digest of their bytes, labels by class, place and picture."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa

from tasks.data.table import Meta
from tasks.reporting.card.counts import SPLIT, rows

SHOWN = 6  # pictures of each kind that are shown
# the whole of a label as one number: equal labels give equal numbers, in whatever order they stand
PRINT = "hash(name, round(x, 3), round(y, 3), round(w, 3), round(h, 3), round(area, 3))"


def changes(connection: duckdb.DuckDBPyConnection, now: Meta, was: Meta) -> dict[str, Any]:
    """Of the views `it_…` and `was_…`: pictures added, removed, kept, moved, and kept with other labels.

    Pictures are told apart by digest: two copies of one picture count once.
    """
    connection.execute(f"""CREATE TEMP TABLE kept AS
        SELECT digest, bool_or(k) AS here, bool_or(NOT k) AS there, min(s) FILTER (k) AS now,
               min(s) FILTER (NOT k) AS was FROM (SELECT digest, {SPLIT} AS s, true AS k FROM it_images
        UNION ALL SELECT digest, {SPLIT}, false FROM was_images) GROUP BY digest""")
    added, removed, kept = rows(connection, """SELECT count(*) FILTER (here AND NOT there),
        count(*) FILTER (there AND NOT here), count(*) FILTER (here AND there) FROM kept""")[0]
    moved = rows(connection, """SELECT was, now, count(*) FROM kept WHERE here AND there AND now <> was
        GROUP BY ALL ORDER BY 3 DESC, 1, 2""")
    return {"added": added, "removed": removed, "kept": kept, "moved": [list(one) for one in moved],
            "relabelled": _relabelled(connection, now, was),
            "shown": {"added": _some(connection, "it", "here AND NOT there"),
                      "removed": _some(connection, "was", "there AND NOT here")}}


def class_changes(now: list[dict[str, Any]], was: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Labels and pictures of each class before and after; the largest change first."""
    before, after = ({one["class"]: one for one in side} for side in (was, now))
    names = [*after, *(name for name in before if name not in after)]
    found = [{"class": name, "is_new": name not in before, "is_gone": name not in after,
              **{key: [side.get(name, {}).get(key, 0) for side in (before, after)] for key in ("labels", "pictures")}}
             for name in names]
    return sorted(found, key=lambda one: (-abs(one["labels"][1] - one["labels"][0]), names.index(one["class"])))


def _relabelled(connection: duckdb.DuckDBPyConnection, now: Meta, was: Meta) -> int | None:
    if "semantic" in (now.problem, was.problem):
        return None  # the labels are in pictures of their own, which only their names are known of
    sides = []
    for name, meta in (("it", now), ("was", was)):
        connection.register(f"{name}_names", _names(meta))
        sides.append(f"""SELECT digest, sum({PRINT}) AS print
            FROM (SELECT digest, min(image_id) AS image_id FROM {name}_images GROUP BY digest)
            JOIN {_whole(name, meta)} USING (image_id) JOIN {name}_names USING (class_id) GROUP BY digest""")
    found = rows(connection, f"""SELECT count(*) FROM ({sides[0]}) AS a FULL JOIN ({sides[1]}) AS b USING (digest)
        JOIN kept USING (digest) WHERE here AND there AND a.print IS DISTINCT FROM b.print""")
    return int(found[0][0])


def _names(meta: Meta) -> Any:
    return pa.table({"class_id": pa.array(range(len(meta.classes)), pa.int32()),
                     "name": pa.array(meta.classes, pa.string())})


def _whole(name: str, meta: Meta) -> str:
    if meta.problem == "classify":
        return f"""(SELECT image_id, unnest(labels) AS class_id, 0 AS x, 0 AS y, 0 AS w, 0 AS h, 0 AS area
            FROM {name}_images)"""
    return f"{name}_annotations"


def _some(connection: duckdb.DuckDBPyConnection, name: str, condition: str) -> list[int]:
    found = rows(connection, f"""SELECT min(image_id) FROM {name}_images JOIN kept USING (digest) WHERE {condition}
        GROUP BY digest ORDER BY md5(digest) LIMIT {SHOWN}""")
    return [one[0] for one in found]
