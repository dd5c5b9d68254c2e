"""Writing CSV: `labels.csv` for classes of pictures, `annotations.csv` for boxes, `classes.csv` beside either."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.base.errors import DataError
from tasks.data import sql
from tasks.data.formats._csv_table import CALLED
from tasks.data.formats._lines import decimal
from tasks.data.formats._names import Names, class_ids, refuse_other_problems

if TYPE_CHECKING:
    from tasks.data.exporting import Export

CARRIES = frozenset({"split", "labels", "score", "iscrowd", "difficult", "truncation", "occlusion", "attributes"})
FIXED = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax", "split")
# written where an annotation says them
SAID = {"iscrowd": "iscrowd", "difficult": "difficult", "truncation": "truncation IS NOT NULL",
        "occlusion": "occlusion IS NOT NULL", "score": "score IS NOT NULL"}
MOST_COLUMNS = 64
RESERVED = frozenset(name for called in CALLED.values() for name in called)


def write(export: Export) -> None:
    """Pictures go to `images/`.

    Raises:
        DataError: the labels are masks, or a class that pictures are labelled with has `|` or `;` in its name.
    """
    ids = class_ids(export) or range(len(export.meta.classes))
    _save(export.out / "classes.csv", ("class", "id"), zip(export.meta.classes, ids, strict=True))
    if export.meta.problem == "classify":
        _write_labels(export)
    else:
        refuse_other_problems(export, "CSV")
        _write_boxes(export)


def _write_labels(export: Export) -> None:
    if bad := next((name for name in export.meta.classes if re.search(r"[|;]", name)), None):
        raise DataError(f"class {bad!r}: CSV has | and ; between the labels of a picture", where=export.folder,
                        mend=f"visionmill data relabel {export.meta.name} --map '{bad}=another name'")
    more = _attribute_columns(row.image for row in export.rows())
    _save(export.out / "labels.csv", ("file", "labels", "split", *more), _label_rows(export, more))


def _label_rows(export: Export, more: Sequence[str]) -> Iterator[Sequence[object]]:
    names = Names(export, "true")
    for row in export.rows():
        name, labels = f"images/{names(row.image)}", row.image["labels"]
        export.place(row.image, name)
        export.lose("annotations", len(row.boxes))
        export.lose("pictures said to show none of the classes", labels == [])
        text = "|".join(export.meta.classes[k] for k in labels or ())
        yield [name, text, row.image["split"], *_attributes(export, row.image, more, "images")]


def _write_boxes(export: Export) -> None:
    with sql.tables(it=export.folder) as connection:
        query = "SELECT " + ", ".join(f"count(*) FILTER ({said})" for said in SAID.values()) + " FROM it_annotations"
        counts = connection.execute(query).fetchone() or ()
    said = [name for name, count in zip(SAID, counts, strict=True) if count]
    more = _attribute_columns(box for row in export.rows() for box in row.boxes)
    _save(export.out / "annotations.csv", (*FIXED, *said, *more), _box_rows(export, said, more))


def _box_rows(export: Export, said: Sequence[str], more: Sequence[str]) -> Iterator[Sequence[object]]:
    names = Names(export, "true")
    for row in export.rows():
        image, name = row.image, f"images/{names(row.image)}"
        export.place(image, name)
        for column in ("labels", "attributes"):
            export.lose(f"images.{column}", image[column] is not None)
        for box in row.boxes:
            yield [name, image["width"], image["height"], export.meta.classes[box["class_id"]], *_corners(box),
                   image["split"], *(_cell(box[column]) for column in said),
                   *_attributes(export, box, more, "annotations")]
        if not row.boxes:  # a picture without objects
            yield [name, image["width"], image["height"], *[None] * 5, image["split"], *[None] * len((*said, *more))]


def _corners(box: dict[str, Any]) -> list[str]:
    x, y, w, h = (box[name] for name in "xywh")
    return [decimal(x, lambda read: read == x, 0), decimal(y, lambda read: read == y, 0),
            decimal(x + w, lambda read: read - x == w, 0), decimal(y + h, lambda read: read - y == h, 0)]


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    # the column is of 32 bits: 0.9, not 0.8999999761581421
    return str(np.float32(value)) if isinstance(value, float) and float(np.float32(value)) == value else value


def _attribute_columns(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Attributes that can be columns: plain values, and names that mean nothing else."""
    found: set[str] = set()
    for row in rows:
        said = json.loads(row["attributes"]) if row["attributes"] else {}
        found.update(name for name, value in said.items() if _is_column(name, value))
    return sorted(found)[:MOST_COLUMNS]


def _is_column(name: str, value: object) -> bool:
    plain = name.strip().lower().replace(" ", "_")
    return isinstance(value, str | int | float) and name == name.strip() != "" and plain not in RESERVED


def _attributes(export: Export, row: dict[str, Any], columns: Sequence[str], table: str) -> list[str]:
    said: dict[str, Any] = json.loads(row["attributes"]) if row["attributes"] else {}
    kept = {name: said[name] for name in columns if name in said and _is_column(name, said[name])}
    export.lose(f"{table}.attributes", len(kept) < len(said))
    cells = (kept.get(name, "") for name in columns)
    return [value if isinstance(value, str) else json.dumps(value) for value in cells]


def _save(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
