"""What a dataset holds, in numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.data import sql
from tasks.data.table import read_meta


def counts(folder: Path) -> tuple[int, int]:
    """Numbers of pictures and of labels: annotations, and what whole pictures are labelled as."""
    images, labels = (pq.ParquetFile(folder / f"{name}.parquet").metadata.num_rows for name in sql.TABLES)
    if read_meta(folder).problem == "classify":
        whole = pq.read_table(folder / "images.parquet", columns=["labels"])["labels"]
        labels += pc.sum(pc.list_value_length(whole)).as_py() or 0
    return images, labels


def describe(folder: Path) -> dict[str, Any]:
    """Problem, licence, parents, pictures, bytes, splits, and of each class the labels and the pictures with it."""
    meta = read_meta(folder)
    images, labels = counts(folder)
    with sql.tables(it=folder) as connection:
        size, groups = _one(connection, 'SELECT coalesce(sum(bytes), 0)::BIGINT, count(DISTINCT "group") '
                                        'FROM it_images')
        splits = dict(connection.execute(
            "SELECT coalesce(split, 'none') AS name, count(*) FROM it_images GROUP BY 1 ORDER BY 1").fetchall())
        boxes = connection.execute("SELECT class_id, count(*), count(DISTINCT image_id) FROM it_annotations "
                                   "GROUP BY 1").fetchall()
        whole = connection.execute("SELECT label, count(*), count(*) FROM "
                                   "(SELECT unnest(labels) AS label FROM it_images) GROUP BY 1").fetchall()
        sources = dict(connection.execute("SELECT source, count(*) FROM it_annotations GROUP BY 1 "
                                          "ORDER BY 1").fetchall())
    found = {number: {"labels": some, "pictures": pictures} for number, some, pictures in [*boxes, *whole]}
    nothing = {"labels": 0, "pictures": 0}
    return {"name": meta.name, "problem": meta.problem, "licence": meta.licence, "parents": meta.parents,
            "pictures": images, "labels": labels, "bytes": size, "groups": groups or None, "splits": splits,
            "classes": {name: found.get(number, nothing) for number, name in enumerate(meta.classes)},
            "sources": sources if set(sources) - {"import"} else {}}


def _one(connection: Any, query: str) -> tuple[Any, ...]:
    found: list[tuple[Any, ...]] = connection.execute(query).fetchall()
    return found[0]
