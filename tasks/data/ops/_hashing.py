"""Labels of pictures as numbers: equal labels, in any order and under any class ids, give equal numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from tasks.data.ops._taking import ids_below

BITS_64 = 1 << 64
# to a millionth; `round(value, 6)` takes as long as all the rest
ROUND = "floor({0} * 1e6 + 0.5)"
ROUNDED = f"list_transform({{0}}, lambda part: list_transform(part, lambda value: {ROUND.format('value')}))"
# what makes two labels conflict: class and place to a millionth of a pixel, and the mask
PLACE = ("name.name", *(ROUND.format(f"label.{side}") for side in "xywh"), ROUNDED.format("label.polygons"),
         "label.rle")
# what a person would call a change of a label: all but where it comes from and what a model thinks of it
CONTENT = (*PLACE, *(f"label.{name}" for name in ("area", "iscrowd", "difficult", "difficulty", "truncation",
                                                  "occlusion", "keypoints", "attributes", "track")))
HUMAN = "label.source = 'human' OR label.reviewed_by IS NOT NULL"


def name_classes(connection: duckdb.DuckDBPyConnection, view: str, classes: Sequence[str]) -> None:
    """The table `<view>_names` (class_id, name) beside the views of a dataset folder."""
    connection.register(f"{view}_names", pa.table({"class_id": np.arange(len(classes), dtype=np.int32),
                                                   "name": pa.array(classes, pa.string())}))


def label_hashes(connection: duckdb.DuckDBPyConnection, view: str, wanted: np.ndarray, columns: Sequence[str] = PLACE
                 ) -> dict[str, np.ndarray]:
    """What the annotations of some pictures say, order aside. `name_classes` goes before.

    Args:
        wanted: bool [pictures]; of the others nothing is promised.
        columns: SQL over `label` (an annotation) and `name` (its class).

    Returns:
        `sum`: uint64 [pictures], of the hashes of its annotations; `count`: int64; `human`: bool, a person made or
        saw one of them.
    """
    connection.register("wanted", pa.table({"image_id": np.flatnonzero(wanted)}))
    # hashing a row costs little more than looking it up
    some = "" if 2 * wanted.sum() > len(wanted) else " WHERE label.image_id IN (SELECT image_id FROM wanted)"
    rows = connection.sql(
        f"SELECT label.image_id, (sum(hash({', '.join(columns)})) % {BITS_64})::UBIGINT AS total, count(*) AS rows,"
        f" bool_or({HUMAN}) AS human FROM {view}_annotations label JOIN {view}_names name USING (class_id)"
        f"{some} GROUP BY 1").to_arrow_table()
    connection.unregister("wanted")
    place = ids_below(rows["image_id"].to_numpy(), len(wanted), Path(view))
    found = {"sum": np.zeros(len(wanted), np.uint64), "count": np.zeros(len(wanted), np.int64),
             "human": np.zeros(len(wanted), bool)}
    for name, column in zip(found, ("total", "rows", "human"), strict=True):
        found[name][place] = rows[column].to_numpy()
    return found


def picture_hashes(connection: duckdb.DuckDBPyConnection, view: str) -> tuple[np.ndarray, np.ndarray]:
    """What is said of whole pictures: uint64 [pictures], a hash of class names and mask; bool, whether it is said."""
    rows = connection.sql(
        f"SELECT image_id, hash(said.names, mask) AS total, (labels IS NOT NULL OR mask IS NOT NULL) AS told"
        f" FROM {view}_images LEFT JOIN (SELECT image_id, list_sort(list_distinct(list(name.name))) AS names"
        f" FROM (SELECT image_id, unnest(labels) AS class_id FROM {view}_images) JOIN {view}_names name"
        " USING (class_id) GROUP BY 1) said USING (image_id)").to_arrow_table()
    # joining loses the order; ids that do not count from 0 are found out when the rows are taken
    order = np.argsort(rows["image_id"].to_numpy())
    return rows["total"].to_numpy()[order], rows["told"].to_numpy()[order]
