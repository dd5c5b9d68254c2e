"""Pictures with a little variety, and a dataset folder of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image, ImageFilter

from tasks.data.pictures import measure
from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, Meta
from tasks.data.table import write_dataset as write_folder


def write_pictures(folder: Path, count: int, rng: np.random.Generator, light: float = 0, blur: float = 0,
                   side: int = 48) -> list[Path]:
    """Pictures of a few blots on grey, each of its own; `light` makes them brighter by so many grey levels."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_write(folder / f"{number:04d}.png", rng, light, blur, side) for number in range(count)]


def _write(path: Path, rng: np.random.Generator, light: float, blur: float, side: int) -> Path:
    ground = np.full((side, side, 3), rng.uniform(60, 110) + light, np.float32)
    for _ in range(4):
        y, x = rng.integers(0, side - 12, 2)
        high, wide = rng.integers(6, 12, 2)
        ground[y:y + high, x:x + wide] += rng.normal(0, 40, 3)
    picture = Image.fromarray((ground + rng.normal(0, 4, ground.shape)).clip(0, 255).astype(np.uint8))
    (picture.filter(ImageFilter.GaussianBlur(blur)) if blur else picture).save(path)
    return path


def write_dataset(folder: Path, raw: Path, count: int, rng: np.random.Generator, held: float = 0.4) -> None:
    """A dataset folder of new pictures in `raw`, without labels; the last share `held` is val and test."""
    files = write_pictures(raw, count, rng)
    rows = []
    for number, path in enumerate(files):
        told = measure(path)
        split = "train" if number < (1 - held) * count else ("val", "test")[number % 2]
        rows.append({"image_id": number, "file": path.name, "width": told.width, "height": told.height,
                     "digest": told.digest, "bytes": told.bytes, "orientation": told.orientation, "split": split})
    images = pa.Table.from_pylist(rows, schema=IMAGES)
    write_folder(folder, Dataset(images, ANNOTATIONS.empty_table(), Meta(name="blots", classes=["red", "green"])))
