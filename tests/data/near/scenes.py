"""Pictures for tests of near-duplicates: crops of photographs that do not overlap, and copies of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from tasks.data.near.planting import plant
from tasks.data.near.thumbs import thumbnail
from tasks.data.pictures import measure
from tasks.data.sql import write_version
from tasks.data.table import ANNOTATIONS, IMAGES, Meta
from tests.data.folders import put

SIDE = 213


@cache
def scene(number: int) -> Image.Image:
    """Twelve crops of two photographs."""
    from sklearn.datasets import load_sample_images

    photo = load_sample_images().images[number // 6]
    top, left = SIDE * (number % 6 // 3), SIDE * (number % 3)
    return Image.fromarray(photo[top:top + SIDE, left:left + SIDE])


def save(path: Path, number: int, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    scene(number).save(path, **options)
    return path


def copy(path: Path, number: int, kind: str, seed: int = 0) -> Path:
    return put(path, plant(scene(number), kind, seed, str(number)))


def thumb(path: Path) -> np.ndarray:
    found = thumbnail(path)
    assert found is not None
    return found


def table(folder: Path, files: Sequence[str], tables: Path, splits: Mapping[str, str] | None = None) -> Path:
    """A dataset folder `tables` of files below `folder`."""
    rows = []
    for number, file in enumerate(sorted(files)):
        found = measure(folder / file)
        rows.append({"image_id": number, "file": file, "width": found.width, "height": found.height,
                     "digest": found.digest, "bytes": found.bytes, "orientation": found.orientation,
                     "split": (splits or {}).get(file)})
    tables.mkdir(exist_ok=True)
    none = pa.Table.from_pylist([], ANNOTATIONS)
    write_version(tables, [pa.Table.from_pylist(rows, IMAGES)], [none], Meta(name="set", classes=["cat"]))
    return tables
