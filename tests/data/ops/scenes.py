"""Small versions for tests of operations that make pictures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pycocotools import mask as coco

from tasks.data.ops import Making, Parent
from tasks.data.pictures import measure
from tasks.data.rows import Row, rows
from tasks.data.sql import write_version
from tasks.data.table import ANNOTATIONS, IMAGES, Meta
from tests.data.folders import photograph

CLASSES = ["cat", "dog"]


def picture(path: Path, width: int = 100, height: int = 80, number: int = 0) -> Path:
    """A crop of a photograph; another one for each number."""
    return save(path, photograph()[13 * number:13 * number + height, 17 * number:17 * number + width])


def save(path: Path, pixels: np.ndarray | Image.Image, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(path, **options)
    return path


def label(x: float, y: float, w: float, h: float, **more: Any) -> dict[str, Any]:
    """A row of the annotation table, less its ids."""
    row = {field.name: None for field in ANNOTATIONS} | {
        "class_id": 0, "x": float(x), "y": float(y), "w": float(w), "h": float(h), "area": float(w * h),
        "iscrowd": False, "difficult": False, "source": "import", "row": f"a.json#{x},{y}"}
    return row | more


def parent(folder: Path, pictures: dict[str, Sequence[dict[str, Any]]], told: dict[str, dict[str, Any]] | None = None,
           **meta: Any) -> Parent:
    """The version `set@1` of pictures that lie below `folder`; `told` has more columns of them by file."""
    images, labels = [], []
    for number, (file, boxes) in enumerate(sorted(pictures.items())):
        found = measure(folder / file)
        own = {"image_id": number, "file": file, "width": found.width, "height": found.height, "digest": found.digest,
               "bytes": found.bytes, "orientation": found.orientation} | (told or {}).get(file, {})
        images.append(own)
        labels += [box | {"image_id": number, "annotation_id": len(labels) + k} for k, box in enumerate(boxes)]
    tables = folder / "tables"
    tables.mkdir(exist_ok=True)
    write_version(tables, [pa.Table.from_pylist(images, IMAGES)], [pa.Table.from_pylist(labels, ANNOTATIONS)],
                  Meta(name="set", classes=CLASSES, **meta))
    return Parent("set@1", tables, folder)


def making(folder: Path) -> Making:
    """The place of `new@1`, below the same pictures as its parent's."""
    made = Making("new", folder / "new-tables", folder / "new-1", "new-1")
    made.folder.mkdir()
    made.pictures.mkdir()
    return made


def content(made: Making) -> list[Row]:
    """The rows of a version; its ids must be in order, and every new picture there and as the table says."""
    found = list(rows(made.folder))
    assert [row.image["image_id"] for row in found] == list(range(len(found)))
    assert [row.image["file"] for row in found] == sorted(row.image["file"] for row in found)
    labels = [box for row in found for box in row.boxes]
    assert [box["annotation_id"] for box in labels] == list(range(len(labels)))
    for row in found:
        if row.image["file"].startswith(f"{made.origin}/"):
            told = measure(made.pictures.parent / row.image["file"])
            assert told.digest == row.image["digest"] and told.bytes == row.image["bytes"]
            assert (told.width, told.height) == (row.image["width"], row.image["height"])
    return found


def by_file(made: Making) -> dict[str, Row]:
    return {row.image["file"]: row for row in content(made)}


def report(made: Making, operation: str) -> dict[str, Any]:
    return json.loads((made.folder / f"{operation}.json").read_text())


def attributes(row: Row) -> dict[str, Any]:
    return json.loads(row.image["attributes"])


def box(row: dict[str, Any]) -> tuple[float, float, float, float]:
    return row["x"], row["y"], row["w"], row["h"]


def coco_tiny(mirror: Path, folder: Path, count: int) -> Parent:
    """Some pictures of COCO, with polygons and crowds as run lengths; the folder `tables` is made in `folder`."""
    source = mirror / "datasets/coco_tiny"
    content = json.loads((source / "annotations/instances_val2017.json").read_text())
    crowds = {row["image_id"] for row in content["annotations"] if row["iscrowd"]}
    some = sorted(content["images"], key=lambda image: (image["id"] not in crowds, image["id"]))[:count]
    pictures: dict[str, list[dict[str, Any]]] = {}
    for image in some:
        shutil.copy(source / "val2017" / image["file_name"], folder / image["file_name"])
        size = image["height"], image["width"]
        rows = [row for row in content["annotations"] if row["image_id"] == image["id"]]
        pictures[image["file_name"]] = [
            label(*row["bbox"], area=row["area"], iscrowd=bool(row["iscrowd"]), row=f"a.json#{row['id']}",
                  **_mask(row["segmentation"], *size)) for row in rows]
    return parent(folder, pictures)


def _mask(given: Any, height: int, width: int) -> dict[str, Any]:
    if isinstance(given, list):
        return {"polygons": given}
    counts = coco.frPyObjects(given, height, width)["counts"].decode()
    return {"rle": {"h": height, "w": width, "counts": counts}}
