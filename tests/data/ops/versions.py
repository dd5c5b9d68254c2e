"""Small versions for tests of operations that read and write tables alone: no picture is there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa

from tasks.data.ops import Making, Parent
from tasks.data.rows import rows
from tasks.data.sql import write_version
from tasks.data.table import ANNOTATIONS, IMAGES, Meta, read_meta

CLASSES = ("cat", "dog")
Labels = Sequence[tuple[Any, ...]]


def content(word: object) -> str:
    return hashlib.sha256(str(word).encode()).hexdigest()


def version(folder: Path, pictures: Mapping[str, Labels | Mapping[str, Any]], classes: Sequence[str] = CLASSES,
            **meta: Any) -> Parent:
    """The version `<folder's name>@1` of pictures by file; the content of one is its file's name unless it says.

    A picture is its boxes, or its columns with `boxes` among them; `labels` are names. A box is (class, x, y, w, h), a
    dictionary of more columns may follow.
    """
    images, labels = [], []
    for number, (file, told) in enumerate(sorted(pictures.items())):
        columns = dict(told) if isinstance(told, Mapping) else {"boxes": told}
        for box in columns.pop("boxes", ()):
            labels.append(_box(box, len(labels), number, classes))
        if columns.get("labels") is not None:
            columns["labels"] = [classes.index(name) for name in columns["labels"]]
        columns["digest"] = content(columns.get("digest", file))
        known = {"width": 100, "height": 50, "bytes": 9, "orientation": 1, "image_id": number, "file": file}
        images.append({field.name: None for field in IMAGES} | known | columns)
    folder.mkdir(parents=True)
    write_version(folder, [pa.Table.from_pylist(images, IMAGES)], [pa.Table.from_pylist(labels, ANNOTATIONS)],
                  Meta(**{"name": folder.name, "classes": list(classes), **meta}))
    return Parent(f"{folder.name}@1", folder, folder.parent)


def _box(box: tuple[Any, ...], number: int, picture: int, classes: Sequence[str]) -> dict[str, Any]:
    name, x, y, w, h, *more = box
    return {field.name: None for field in ANNOTATIONS} | {
        "annotation_id": number, "image_id": picture, "class_id": classes.index(name), "x": x, "y": y, "w": w, "h": h,
        "area": w * h, "iscrowd": False, "difficult": False, "source": "import", "row": f"row {number}"} | dict(*more)


def apply(module: ModuleType, parents: Sequence[Parent], out: Path, **params: Any) -> Parent:
    """The version that an operation makes, below `out`; its ids are checked."""
    out.mkdir(parents=True)
    made = Parent(f"{out.name}@1", out, parents[0].pictures if parents else out)
    module.apply(module.Params(**params), parents, Making(out.name, out, out, out.name))
    found = list(rows(out))
    assert [row.image["image_id"] for row in found] == list(range(len(found)))
    assert [row.image["file"] for row in found] == sorted(row.image["file"] for row in found)
    boxes = [box for row in found for box in row.boxes]
    assert [box["annotation_id"] for box in boxes] == list(range(len(boxes)))
    return made


def said(made: Parent) -> dict[str, list[tuple[Any, ...]]]:
    """Class and x of each box, and the names of picture labels, by file."""
    classes = read_meta(made.folder).classes
    return {row.image["file"]: [(classes[box["class_id"]], box["x"]) for box in row.boxes]
            + [(classes[label],) for label in row.image["labels"] or ()] for row in rows(made.folder)}


def column(made: Parent, name: str) -> dict[str, Any]:
    """A column of the pictures, by file."""
    return {row.image["file"]: row.image[name] for row in rows(made.folder)}
