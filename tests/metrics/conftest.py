"""Small datasets and detections from plain rows, and the real ones of the mirror."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, Meta
from tasks.metrics.detections import SCHEMA

Row = Sequence[Any]


def dataset_of(classes: Sequence[str], images: int, rows: Sequence[Row]) -> Dataset:
    """A dataset from rows of image, class, x, y, w, h and, where needed, flags `"crowd"` and `"difficult"`."""
    pictures = [
        {"image_id": i, "file": f"{i}.jpg", "width": 640, "height": 640, "digest": f"{i:064x}", "bytes": 1,
         "orientation": 1, "split": "test"} for i in range(images)]
    boxes = [
        {"annotation_id": n, "image_id": row[0], "class_id": row[1], "x": row[2], "y": row[3], "w": row[4], "h": row[5],
         "area": row[4] * row[5], "iscrowd": "crowd" in row[6:], "difficult": "difficult" in row[6:],
         "source": "import", "row": str(n)} for n, row in enumerate(rows)]
    tables = pa.Table.from_pylist(pictures, schema=IMAGES), pa.Table.from_pylist(boxes, schema=ANNOTATIONS)
    return Dataset(*tables, Meta(name="small", classes=list(classes)))


def table_of(rows: Sequence[Row], schema: pa.Schema = SCHEMA) -> pa.Table:
    """A detections table from rows of image, class, x, y, w, h, score."""
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], schema=schema)


def from_coco(truth: Path, found: Path) -> tuple[Dataset, pa.Table]:
    """The two sides of a COCO evaluation from JSON files whose category ids agree."""
    sides = [json.loads(path.read_text()) for path in (truth, found)]
    classes = {c["id"]: place for place, c in enumerate(sides[0]["categories"])}
    # sorted, since equal scores of different pictures go by image id
    images = {image: place for place, image in enumerate(sorted(image["id"] for image in sides[0]["images"]))}
    rows = [[(images[a["image_id"]], classes[a["category_id"]], *a["bbox"], a.get("score"))
             for a in side["annotations"]] for side in sides]
    names = [c["name"] for c in sides[0]["categories"]]
    # in float64: rounded to float32, one IoU of this file falls below its threshold
    exact = pa.schema([(name, pa.float64() if n > 1 else pa.int64()) for n, name in enumerate(SCHEMA.names)])
    return dataset_of(names, len(images), [row[:6] for row in rows[0]]), table_of(rows[1], exact)


def random_case(seed: int, *, images: int = 12, classes: int = 4, crowd: float = 0.1) -> tuple[Dataset, pa.Table]:
    """Boxes at random and detections near them; the last class has no ground truth, some pictures have no box."""
    random = np.random.default_rng(seed)
    count = int(random.integers(0, 60))
    image, label = random.integers(0, images - 2, count), random.integers(0, max(classes - 1, 1), count)
    size = np.exp(random.normal(4, 0.8, (count, 2)))
    boxes = np.concatenate([random.random((count, 2)) * 400, size], axis=1)
    flags = random.random(count) < crowd
    rows = [(int(i), int(k), *b, *(["crowd"] if flag else []))
            for i, k, b, flag in zip(image, label, boxes.tolist(), flags, strict=True)]
    chosen = random.integers(0, count, 2 * count) if count else np.zeros(0, int)
    moved = boxes[chosen] + random.normal(0, 0.08, (len(chosen), 4)) * np.tile(size[chosen], 2)
    stray = random.random((20, 4)) * 200
    found = np.concatenate([moved, stray])
    found[:, 2:] = found[:, 2:].clip(1)
    found_image = np.concatenate([image[chosen], random.integers(0, images, 20)])
    found_label = np.concatenate([label[chosen], random.integers(0, classes, 20)])
    score = random.random(len(found)).round(1)  # many equal scores
    detections = [(int(i), int(k), *b, s) for i, k, b, s in
                  zip(found_image, found_label, found.tolist(), score.tolist(), strict=True)]
    return dataset_of([f"class {k}" for k in range(classes)], images, rows), table_of(detections)


@pytest.fixture(scope="session")
def make_dataset() -> Callable[..., Dataset]:
    return dataset_of


@pytest.fixture(scope="session")
def make_table() -> Callable[..., pa.Table]:
    return table_of


@pytest.fixture(scope="session")
def make_random() -> Callable[..., tuple[Dataset, pa.Table]]:
    return random_case


@pytest.fixture(scope="session")
def coco_golden(mirror: Path) -> tuple[Dataset, pa.Table]:
    """100 pictures of COCO 2014 with a real detector's boxes."""
    folder = mirror / "datasets/voc100_formats/tests/test_coco_eval"
    return from_coco(folder / "gts/sampled_gts_bbox_area.json", folder / "dets/sampled_bbox_results.json")


@pytest.fixture(scope="session")
def voc100(mirror: Path) -> tuple[Dataset, pa.Table]:
    """100 pictures of Pascal VOC in COCO form and a real detector's boxes on 98 of them, matched by name of file."""
    folder = mirror / "datasets/voc100_formats/database"
    truth = json.loads((folder / "gts/coco_format_v1/instances_default.json").read_text())
    names = [category["name"] for category in truth["categories"]]
    classes = {category["id"]: place for place, category in enumerate(truth["categories"])}
    images = {image["id"]: place for place, image in enumerate(truth["images"])}
    places = {Path(image["file_name"]).stem: place for place, image in enumerate(truth["images"])}
    rows = [(images[a["image_id"]], classes[a["category_id"]], *a["bbox"]) for a in truth["annotations"]]
    order = (folder / "voc.names").read_text().split()
    found = []
    for path in sorted((folder / "dets/abs_xyx2y2").glob("*.txt")):
        for line in path.read_text().splitlines():
            label, score, x, y, right, bottom = map(float, line.split())
            place = names.index(order[int(label)])
            found.append((places[path.stem], place, x, y, right - x, bottom - y, score))
    return dataset_of(names, len(images), rows), table_of(found)
