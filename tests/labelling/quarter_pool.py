"""A pool of pictures for the detector of tests/quarters.py, whose answers are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.data.classes import ClassList
from tasks.data.pictures import locate
from tasks.data.store.importing import Importing, bring_in
from tasks.data.store.layout import Store, Version
from tasks.data.table import read_dataset
from tasks.labelling.prelabelling import Prelabels, Settings, prelabel
from tasks.labelling.teachers import open_teacher
from tests.quarters import HEIGHT, WIDTH, coloured, write_picture

COUNT = 40
QUICK = Settings(flip=False)
CELLS = [(0, 0), (48, 0), (0, 32), (48, 32)]


def quarters_of(seed: int) -> list[int | None]:
    """Which channel each quarter of picture `seed` is full of: red, green, blue, or None; no two pictures are equal."""
    chance = np.random.default_rng(seed)
    return [[0, 1, 2, None][int(chance.integers(4))] for _ in range(4)]


def picture_of(seed: int) -> np.ndarray:
    picture = coloured(*quarters_of(seed))
    picture[0, 0, 2] = seed % 256  # blue, which the detector does not see
    return picture


def write_coco(folder: Path, count: int, labelled: bool = True, classes: tuple[str, ...] = ("red", "green")) -> Path:
    """Pictures with the labels that the detector gives them, as COCO."""
    boxes = []
    for seed in range(count):
        write_picture(folder / "images" / f"{seed:04}.png", picture_of(seed))
        for (x, y), channel in zip(CELLS, quarters_of(seed), strict=True):
            if labelled and channel in (0, 1):
                name = ("red", "green")[channel]
                boxes.append({"id": len(boxes) + 1, "image_id": seed, "category_id": classes.index(name) + 1,
                              "bbox": [x, y, 48, 32], "area": 48 * 32, "iscrowd": 0})
    told = {"images": [{"id": seed, "file_name": f"{seed:04}.png", "width": WIDTH, "height": HEIGHT}
                       for seed in range(count)],
            "categories": [{"id": at, "name": name} for at, name in enumerate(classes, 1)], "annotations": boxes}
    (folder / "annotations.json").write_text(json.dumps(told))
    return folder


def make_pool(folder: Path, store: Store, count: int, name: str = "pool", **options: bool) -> Version:
    """An imported version of such pictures."""
    raw = write_coco(folder / name, count, **options)  # type: ignore[arg-type]
    return bring_in(store, Importing(raw, name, "here", ClassList([])), "me").version


class Made:
    """A workspace with a store, a pool and a teacher."""

    def __init__(self, folder: Path, quarters: Path, count: int = COUNT, **options: bool) -> None:
        self.path, self.quarters = folder, quarters
        self.store = Store(folder / "store")
        self.pool = make_pool(folder, self.store, count, **options)

    def look(self, settings: Settings | None = None, processes: int = 1, classes: list[str] | None = None,
             teacher: Any = None) -> Prelabels:
        teacher = teacher or open_teacher(str(self.quarters), classes or ["red", "green"], workspace=self.path)
        return prelabel(self.pool, self.store, teacher, settings, self.path, processes)

    def places(self) -> list[Path]:
        return locate(self.store.pictures, read_dataset(self.pool.folder).images)  # type: ignore[return-value]

    def seeds(self, ids: np.ndarray) -> list[int]:
        names = read_dataset(self.pool.folder).images["file"].to_pylist()
        return [int(Path(names[image]).stem) for image in ids.tolist()]


def whole(prelabels: Prelabels) -> pa.Table:
    return pa.concat_tables(list(prelabels.boxes())).combine_chunks()


def stamps(prelabels: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in prelabels.glob("shards/*.parquet")}
