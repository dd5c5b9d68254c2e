"""How many of what: the numbers of one version, by queries over its Parquet tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import duckdb

from tasks.data.table import Meta
from tasks.reporting.card.bins import ASPECT, GRID, MEDIUM, NONE, RELATIVE, SIZE, SMALL, Histogram, ordered

SPLIT = f"coalesce(split, '{NONE}')"
SIZES = 60  # sizes of pictures that are listed, the most frequent first
CROWDED = 4  # pictures with the most labels that are named
# a box that can be drawn and measured; in SQL NaN is above every number
SOUND = "isfinite(x) AND isfinite(y) AND isfinite(w) AND isfinite(h) AND w > 0 AND h > 0"


def labels_of(name: str, meta: Meta) -> str:
    """SQL for one row a label: `image_id`, `class_id`."""
    if meta.problem == "classify":
        return f"""(SELECT image_id, class_id FROM (SELECT image_id, unnest(labels) AS class_id FROM {name}_images)
            WHERE class_id IS NOT NULL)"""
    return f"(SELECT image_id, class_id FROM {name}_annotations)"


def class_name(meta: Meta, class_id: int) -> str:
    known = 0 <= class_id < len(meta.classes)
    return meta.classes[class_id] if known else f"class {class_id} (not in the list)"


def rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[Any]:
    return connection.execute(query).fetchall()


def row(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    return rows(connection, query)[0]


def nested(triples: Iterable[tuple[str, int, int]]) -> Histogram:
    """(split, bin, number) -> split -> [bin, number], splits and bins in their order."""
    found: dict[str, list[list[int]]] = {}
    for split, key, number in triples:
        found.setdefault(split, []).append([key, number])
    return {split: sorted(found[split]) for split in ordered(set(found))}


def totals(connection: duckdb.DuckDBPyConnection, name: str, meta: Meta) -> dict[str, Any]:
    """Pictures, labels and splits as a whole."""
    bare = "mask IS NULL" if meta.problem == "semantic" else "n IS NULL"
    found = rows(connection, f"""
        SELECT {SPLIT} AS s, count(*), coalesce(sum(n), 0)::BIGINT, count(*) FILTER ({bare}), sum(bytes)::BIGINT
        FROM {name}_images LEFT JOIN (SELECT image_id, count(*) AS n FROM {labels_of(name, meta)} GROUP BY 1)
        USING (image_id) GROUP BY 1""")
    by = {one[0]: {"pictures": one[1], "labels": one[2], "unlabelled": one[3]} for one in found}
    digests, groups, ignored = row(connection, f"""
        SELECT count(DISTINCT digest), count(DISTINCT "group"), count(*) FILTER (len(ignored) > 0)
        FROM {name}_images""")
    whole = {key: sum(one[key] for one in by.values()) for key in ("pictures", "labels", "unlabelled")}
    return whole | {"bytes": sum(one[4] or 0 for one in found), "copies": whole["pictures"] - digests, "groups": groups,
                    "ignored": ignored, "splits": {s: by[s] for s in ordered(set(by))}}


def classes(connection: duckdb.DuckDBPyConnection, name: str, meta: Meta) -> list[dict[str, Any]]:
    """Labels and pictures of each class, of the list's order; per split as [labels, pictures]."""
    found = rows(connection, f"""
        SELECT {SPLIT}, class_id, sum(n)::BIGINT, count(*)
        FROM (SELECT image_id, class_id, count(*) AS n FROM {labels_of(name, meta)} GROUP BY ALL)
        JOIN {name}_images USING (image_id) GROUP BY ALL""")
    by: dict[int, dict[str, list[int]]] = {k: {} for k in range(len(meta.classes))}
    for split, class_id, labels, pictures in found:
        by.setdefault(class_id, {})[split] = [labels, pictures]
    return [{"class": class_name(meta, k), "class_id": k, "labels": sum(one[0] for one in by[k].values()),
             "pictures": sum(one[1] for one in by[k].values()),
             "splits": {s: by[k][s] for s in ordered(set(by[k]))}} for k in sorted(by)]


def boxes(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, Any]:
    """Size, shape and place of every box that is no crowd, in one pass; `flawed` ones have no area or no number."""
    drawn, crowds, flawed, middle, least, most = row(connection, f"""
        SELECT count(*) FILTER (NOT iscrowd AND {SOUND}), count(*) FILTER (iscrowd), count(*) FILTER (NOT ({SOUND})),
               quantile_cont(sqrt(w) * sqrt(h), 0.5) FILTER (NOT iscrowd AND {SOUND}),
               min(sqrt(w) * sqrt(h)) FILTER (NOT iscrowd AND {SOUND}),
               max(sqrt(w) * sqrt(h)) FILTER (NOT iscrowd AND {SOUND}) FROM {name}_annotations""")
    found = rows(connection, f"""
        SELECT grouping_id(size, relative, aspect, coco, across) AS kind, s,
               coalesce(size, relative, aspect, coco, across), down, count(*)
        FROM (SELECT {SPLIT} AS s, {SIZE.sql("log2(w) / 2 + log2(h) / 2")} AS size,
                     {RELATIVE.sql(f"({_log2('w / width')} + {_log2('h / height')}) / 2")} AS relative,
                     {ASPECT.sql(_log2('w / h'))} AS aspect,
                     CASE WHEN area < {SMALL} THEN 0 WHEN area < {MEDIUM} THEN 1 ELSE 2 END AS coco,
                     {_cell("x", "w", "width")} AS across, {_cell("y", "h", "height")} AS down
              FROM {name}_annotations JOIN {name}_images USING (image_id)
              WHERE NOT iscrowd AND {SOUND} AND width > 0 AND height > 0)
        GROUP BY GROUPING SETS ((s, size), (s, relative), (s, aspect), (s, coco), (across, down)) ORDER BY ALL""")
    place = [[0] * GRID for _ in range(GRID)]
    for kind, _, across, down, number in found:
        if kind == 0b11110:
            place[down][across] = number
    by = {key: nested((s, k, n) for kind, s, k, _, n in found if kind == bits)
          for key, bits in (("size", 0b01111), ("relative", 0b10111), ("aspect", 0b11011), ("coco", 0b11101))}
    return {"drawn": drawn, "crowds": crowds, "flawed": flawed, "median_side": middle, "smallest_side": least,
            "largest_side": most, "place": place if drawn else [], **by}


def _log2(ratio: str) -> str:
    # of a ratio, not a difference: a box that fills its picture must give 0, not the bin below
    return f"log2(greatest({ratio}, 1e-300))"


def _cell(start: str, length: str, whole: str) -> str:
    return f"least(greatest(floor({GRID} * ({start} + {length} / 2) / {whole}), 0), {GRID - 1})::INTEGER"


def crowding(connection: duckdb.DuckDBPyConnection, name: str, meta: Meta) -> dict[str, Any]:
    """Labels on a picture, and the pictures with the most."""
    counted = f"""{name}_images LEFT JOIN (SELECT image_id, count(*) AS n FROM {labels_of(name, meta)} GROUP BY 1)
        USING (image_id)"""
    found = rows(connection, f"SELECT {SPLIT}, coalesce(n, 0)::INTEGER, count(*) FROM {counted} GROUP BY ALL")
    most = rows(connection, f"""SELECT image_id, file, n FROM {counted} WHERE n > 0
        ORDER BY n DESC, file LIMIT {CROWDED}""")
    return {"labels": nested(found), "most": [{"image_id": i, "file": f, "labels": n} for i, f, n in most]}


def sizes(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, Any]:
    """Width and height of pictures: the most frequent sizes as [width, height, pictures], and their shape."""
    there = "width > 0 AND height > 0"
    distinct, unmeasured = row(connection, f"""SELECT count(DISTINCT (width, height)) FILTER ({there}),
        count(*) FILTER (NOT ({there})) FROM {name}_images""")
    most = rows(connection, f"""SELECT width, height, count(*) FROM {name}_images WHERE {there}
        GROUP BY ALL ORDER BY 3 DESC, 1, 2 LIMIT {SIZES}""")
    shape = rows(connection, f"""SELECT {SPLIT}, {ASPECT.sql(_log2("width / height"))}, count(*)
        FROM {name}_images WHERE {there} GROUP BY ALL""")
    return {"distinct": distinct, "unmeasured": unmeasured, "most": [list(one) for one in most],
            "aspect": nested(shape)}
