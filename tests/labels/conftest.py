"""Small tables of boxes from plain rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tasks.data.table import Dataset, write_dataset
from tests.metrics.conftest import dataset_of, from_coco

NAMES = ("image_id", "class_id", "x", "y", "w", "h", "score")
KINDS = (pa.int64(), pa.int32(), *(pa.float64(),) * 5)
Row = Sequence[Any]


def boxes_table(rows: Sequence[Row], **more: Sequence[Any]) -> pa.Table:
    """Rows of image, class, x, y, w, h and, where given, score."""
    width = len(rows[0]) if rows else len(NAMES)
    columns = list(zip(*rows, strict=True)) if rows else [[]] * width
    table = pa.table({name: pa.array(column, kind) for name, kind, column in
                      zip(NAMES[:width], KINDS, columns, strict=False)})
    for name, values in more.items():
        table = table.append_column(name, pa.array(values))
    return table


def made_detector(seed: int, images: int = 300, *, sharp: float = 1.0) -> tuple[pa.Table, pa.Table]:
    """Objects of two classes and what a detector says of them: right with probability score**sharp; detections, truth.

    Six detections a picture, far apart; a right one lies on an object.
    """
    rng = np.random.default_rng(seed)
    count = images * 6
    image, label = np.repeat(np.arange(images), 6), rng.integers(0, 2, count)
    score = rng.beta(1.2, 0.8, count).clip(0.02, 0.999)
    right = rng.random(count) < score ** sharp
    x = np.tile(np.arange(6) * 50.0, images)
    found = pa.table({"image_id": image, "class_id": label.astype(np.int32), "x": x, "y": np.zeros(count),
                      "w": np.full(count, 20.0), "h": np.full(count, 20.0), "score": score.astype(np.float32)})
    truth = found.filter(pa.array(right)).drop_columns(["score"])
    return found, truth


@pytest.fixture(scope="session")
def make_folder() -> Callable[[Path, int], Path]:
    """A dataset folder with so many pictures, one box each."""
    def make(folder: Path, images: int) -> Path:
        write_dataset(folder / "set", dataset_of(["a", "b"], images, [(i, i % 2, 0, 0, 5, 5) for i in range(images)]))
        return folder / "set"

    return make


@pytest.fixture(scope="session")
def coco_real(mirror: Path) -> tuple[Dataset, pa.Table]:
    """100 pictures of COCO 2014 with a real detector's boxes."""
    folder = mirror / "datasets/voc100_formats/tests/test_coco_eval"
    return from_coco(folder / "gts/sampled_gts_bbox_area.json", folder / "dets/sampled_bbox_results.json")


@pytest.fixture(scope="session")
def table() -> Callable[..., pa.Table]:
    return boxes_table


@pytest.fixture(scope="session")
def detector() -> Callable[..., tuple[pa.Table, pa.Table]]:
    return made_detector
