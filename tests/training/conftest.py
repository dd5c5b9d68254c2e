"""A tiny real dataset: two photographs with a box each, cut into pictures of 96 × 128."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, Meta

SIZE = (96, 128)
SPLITS = ["train"] * 6 + ["val"] * 2


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dataset]:
    """The raw folder and the table of 6 training and 2 validation pictures, each with one bright square or bar."""
    raw = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for i, split in enumerate(SPLITS):
        y, x = rng.integers(0, 300), rng.integers(0, 500)
        picture = load_sample_images().images[i % 2][y: y + SIZE[0], x: x + SIZE[1]].copy()
        kind, left, top = i % 2, int(rng.integers(5, 80)), int(rng.integers(5, 50))
        w, h = ((32, 32), (40, 16))[kind]
        picture[top: top + h, left: left + w] = (255, 40, 40) if kind else (40, 255, 40)
        Image.fromarray(picture).save(raw / f"{i}.png")
        images.append({"image_id": i, "file": f"{i}.png", "width": SIZE[1], "height": SIZE[0], "digest": f"{i:064x}",
                       "bytes": 1, "orientation": 1, "split": split})
        annotations.append({"annotation_id": i, "image_id": i, "class_id": kind, "x": left, "y": top, "w": w, "h": h,
                            "area": w * h, "iscrowd": False, "difficult": False, "source": "import", "row": f"{i}"})
    tables = (pa.Table.from_pylist(images, schema=IMAGES), pa.Table.from_pylist(annotations, schema=ANNOTATIONS))
    return raw, Dataset(*tables, Meta(name="tiny", classes=["square", "bar"]))
