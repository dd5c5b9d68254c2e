"""Which pictures and labels the card shows: a draw by digest, so that the same seed always shows the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa

from tasks.data.rows import Row
from tasks.data.table import Meta
from tasks.reporting.card.counts import SOUND, class_name, labels_of, rows

DRAWN = 150  # labels of one picture that are drawn, the largest first
CROPS = 7  # labels of a class in its strip
STRIPS = 30  # classes that have one
LEAST = 4  # pixels; what is smaller shows nothing


def draw(connection: duckdb.DuckDBPyConnection, name: str, wanted: int, seed: str) -> list[int]:
    """Ids of up to `wanted` pictures, in the order of the draw."""
    found = rows(connection, f"""SELECT image_id FROM {name}_images WHERE width > 0 AND height > 0
        ORDER BY md5(concat({_text(seed)}, ':', digest, ':', file)), image_id LIMIT {int(wanted)}""")
    return [one[0] for one in found]


def fetch(connection: duckdb.DuckDBPyConnection, name: str, ids: Sequence[int]) -> dict[int, Row]:
    """The pictures of these ids with their labels: at most `DRAWN` each, the largest first.

    `image["boxes"]` is the number of all of a picture's labels.
    """
    found = {image["image_id"]: Row(image | {"boxes": 0}, []) for image in pictures(connection, name, ids)}
    labels = _records(connection, f"""
        SELECT a.*, count(*) OVER (PARTITION BY image_id) AS boxes FROM {name}_annotations AS a
        SEMI JOIN wanted USING (image_id)
        QUALIFY row_number() OVER (PARTITION BY image_id ORDER BY w * h DESC, annotation_id) <= {DRAWN}
        ORDER BY image_id, annotation_id""")
    for label in labels:
        if label["image_id"] in found:
            found[label["image_id"]].boxes.append(label)
            found[label["image_id"]].image["boxes"] = label["boxes"]
    return found


def pictures(connection: duckdb.DuckDBPyConnection, name: str, ids: Sequence[int]) -> list[dict[str, Any]]:
    """The rows of these pictures, by id."""
    _wanted(connection, "image_id", ids)
    return _records(connection, f"""SELECT i.* FROM {name}_images AS i SEMI JOIN wanted USING (image_id)
        ORDER BY image_id""")


def strips(connection: duckdb.DuckDBPyConnection, name: str, meta: Meta, seed: str) -> list[tuple[str, list[Row]]]:
    """Of the classes with the most labels: its name, and a few of its labels, each with its picture.

    Where a picture as a whole has the class, there is no label to it.
    """
    whole = meta.problem in ("classify", "semantic")
    if meta.problem == "semantic":
        return []
    among = labels_of(name, meta) if whole else f"""(SELECT * FROM {name}_annotations
        WHERE NOT iscrowd AND {SOUND} AND w >= {LEAST} AND h >= {LEAST})"""
    key = "image_id" if whole else "annotation_id"
    found = rows(connection, f"""SELECT class_id, min_by({key}, md5(concat({_text(seed)}, ':', {key})), {CROPS})
        FROM {among} GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT {STRIPS}""")
    ids = [one for _, some in found for one in some]
    by = _by_picture(connection, name, ids) if whole else _by_label(connection, name, ids)
    return [(class_name(meta, class_id), [by[one] for one in some if one in by]) for class_id, some in found]


def _by_picture(connection: duckdb.DuckDBPyConnection, name: str, ids: Sequence[int]) -> dict[int, Row]:
    return {image["image_id"]: Row(image, []) for image in pictures(connection, name, ids)}


def _by_label(connection: duckdb.DuckDBPyConnection, name: str, ids: Sequence[int]) -> dict[int, Row]:
    _wanted(connection, "annotation_id", ids)
    labels = _records(connection, f"SELECT a.* FROM {name}_annotations AS a SEMI JOIN wanted USING (annotation_id)")
    images = _by_picture(connection, name, [label["image_id"] for label in labels])
    return {label["annotation_id"]: Row(images[label["image_id"]].image, [label]) for label in labels
            if label["image_id"] in images}


def _wanted(connection: duckdb.DuckDBPyConnection, column: str, ids: Sequence[int]) -> None:
    connection.register("wanted", pa.table({column: pa.array(sorted(set(ids)), pa.int64())}))


def _records(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    return connection.sql(query).to_arrow_table().to_pylist()


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
