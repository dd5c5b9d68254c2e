"""Labels and detections at COCO's size, drawn at random: what benchmarks of the metrics and of the gate share."""

from __future__ import annotations

import argparse
import os
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, Meta
from tasks.metrics.detections import SCHEMA

SIDE = 640
SIZES = {"images": 5000, "detections": 500_000, "classes": 80, "draws": 1000, "seed": 0}


def arguments(doc: str | None, *names: str) -> argparse.Namespace:
    """The sizes that such a benchmark is asked for at; all of `SIZES` where none are named."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in names or SIZES:
        parser.add_argument(f"--{name}", type=int, default=SIZES[name])
    return parser.parse_args()


def sides(chosen: argparse.Namespace) -> tuple[Dataset, pa.Table, pa.Table]:
    """Ground truth and two sides' detections; says how many there are of each."""
    dataset, one = scene(chosen.images, chosen.detections, chosen.classes, chosen.seed)
    print(f"{chosen.images} pictures, {dataset.annotations.num_rows} objects, {one.num_rows} detections a side, "
          f"{chosen.classes} classes, {chosen.draws} draws, {len(os.sched_getaffinity(0))} cores")
    return dataset, one, worse(one, chosen.seed + 1)


def scene(images: int, detections: int, classes: int, seed: int) -> tuple[Dataset, pa.Table]:
    """About seven objects a picture, as in COCO, one in fifty a crowd; half of the detections lie near an object."""
    random = np.random.default_rng(seed)
    image = np.repeat(np.arange(images), random.poisson(7.3, images))
    label, boxes = random.integers(0, classes, len(image)), _boxes(random, len(image))
    near = random.integers(0, len(image), detections // 2)
    moved = boxes[near] + random.normal(0, 0.1, (len(near), 4)) * np.tile(boxes[near, 2:], 2)
    found = np.concatenate([moved, _boxes(random, detections - len(near))])
    found[:, 2:] = found[:, 2:].clip(1)
    guess = random.integers(0, classes, detections)
    right = random.random(len(near)) < 0.8
    guess[: len(near)][right] = label[near][right]
    where = np.concatenate([image[near], random.integers(0, images, detections - len(near))])
    crowd = random.random(len(image)) < 0.02
    said = _table({"image_id": where, "class_id": guess, **_corners(found), "score": random.random(detections)},
                  SCHEMA, detections)
    # as evaluations write them
    return (_dataset(images, classes, image, label, boxes, crowd),
            said.sort_by([("image_id", "ascending"), ("score", "descending")]))


def _boxes(random: np.random.Generator, count: int) -> np.ndarray:
    size = np.exp(random.normal(3.9, 0.9, (count, 2))).clip(4, 400)
    return np.concatenate([random.random((count, 2)) * (SIDE - size), size], axis=1)


def _corners(boxes: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip("xywh", np.ascontiguousarray(boxes.T), strict=True))


def _dataset(images: int, classes: int, image: np.ndarray, label: np.ndarray, boxes: np.ndarray, crowd: np.ndarray
             ) -> Dataset:
    ids = np.arange(images)
    pictures = {"image_id": ids, "file": [f"{i}.jpg" for i in ids], "digest": [f"{i:064x}" for i in ids],
                **dict.fromkeys(("width", "height"), np.full(images, SIDE)), "orientation": np.ones(images, int)}
    rows = {"annotation_id": np.arange(len(image)), "image_id": image, "class_id": label, **_corners(boxes),
            "area": boxes[:, 2] * boxes[:, 3], "iscrowd": crowd, "difficult": np.zeros(len(image), bool)}
    meta = Meta(name="synthetic", classes=[f"class {k}" for k in range(classes)])
    return Dataset(_table(pictures, IMAGES, images), _table(rows, ANNOTATIONS, len(image)), meta)


def _table(columns: dict[str, Any], schema: pa.Schema, count: int) -> pa.Table:
    """Columns that are not needed here are empty."""
    arrays = [pa.array(columns[field.name]).cast(field.type) if field.name in columns else pa.nulls(count, field.type)
              for field in schema]
    return pa.table(arrays, names=schema.names)


def worse(detections: pa.Table, seed: int) -> pa.Table:
    """The other side: the same boxes with shaken scores, as a compressed model would give."""
    random = np.random.default_rng(seed)
    score = detections["score"].to_numpy() + random.normal(0, 0.05, detections.num_rows).astype(np.float32)
    place = detections.schema.get_field_index("score")
    return detections.set_column(place, detections.schema.field(place), pa.array(score.clip(0, 1)))
