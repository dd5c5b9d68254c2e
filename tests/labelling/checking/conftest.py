"""A store with small real pictures of squares, and what a made model says of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from tasks.data.classes import ClassList
from tasks.data.store.importing import Importing, bring_in
from tasks.data.store.labelled import publish_labels
from tasks.data.store.layout import Store, Version
from tasks.data.table import Dataset, read_dataset

WIDTH, HEIGHT, SIDE = 96, 64, 18
COLOURS = ((40, 90, 220), (220, 60, 40))
CLASSES = ["blue", "red"]  # an import sorts them
MODEL = "model:cells@3"


def make_raw(folder: Path, pictures: int, seed: int = 0) -> Path:
    """Pictures of three squares each, as COCO."""
    rng = np.random.default_rng(seed)
    images, boxes = [], []
    folder.mkdir(parents=True)
    for number in range(pictures):
        pixels = rng.integers(90, 140, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        for slot in range(3):
            x, y = 4 + slot * 30 + int(rng.integers(0, 8)), int(rng.integers(4, HEIGHT - SIDE - 4))
            label = int(rng.integers(0, 2))
            pixels[y:y + SIDE, x:x + SIDE] = COLOURS[label]
            boxes.append({"id": len(boxes) + 1, "image_id": number, "category_id": label + 1, "iscrowd": 0,
                          "bbox": [x, y, SIDE, SIDE], "area": SIDE * SIDE})
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
        images.append({"id": number, "file_name": f"{number:03d}.png", "width": WIDTH, "height": HEIGHT})
    told = {"images": images, "annotations": boxes,
            "categories": [{"id": at + 1, "name": name} for at, name in enumerate(CLASSES)]}
    (folder / "instances.json").write_text(json.dumps(told))
    return folder


@dataclass(frozen=True)
class Place:
    """A store with `squares@1`, whose labels are right."""

    store: Store
    truth: Version

    @property
    def dataset(self) -> Dataset:
        return read_dataset(self.truth.folder)

    def publish(self, name: str, annotations: pa.Table, **more: Any) -> Version:
        return publish_labels(self.store, more.pop("parent", self.truth), out=name, owner="me",
                              said=more.pop("said", {"by": "test"}), annotations=annotations, **more)[0]


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A folder of so many pictures; made once."""
    made: dict[int, Path] = {}

    def make(pictures: int) -> Path:
        if pictures not in made:
            made[pictures] = make_raw(tmp_path_factory.mktemp("squares") / "raw", pictures)
        return made[pictures]

    return make


@pytest.fixture
def place(tmp_path: Path, squares: Callable[[int], Path]) -> Callable[[int], Place]:
    """A fresh store with so many pictures."""
    def make(pictures: int) -> Place:
        store = Store(tmp_path / "store")
        return Place(store, bring_in(store, Importing(squares(pictures), "squares", "here", ClassList([])),
                                     "me").version)

    return make


def predictions_of(dataset: Dataset, seed: int = 0, low: float = 0.9) -> pa.Table:
    """What a good model says: every object, a little beside, sure."""
    rng = np.random.default_rng(seed)
    truth = dataset.annotations
    count = truth.num_rows
    sides = {name: pa.array((truth[name].to_numpy() + rng.normal(0, 0.4, count)).astype(np.float32)) for name in "xywh"}
    return pa.table({"image_id": truth["image_id"], "class_id": truth["class_id"], **sides,
                     "score": pa.array(rng.uniform(low, 1, count).astype(np.float32))})


def changed(annotations: pa.Table, *, drop: Sequence[int] = (), move: Sequence[int] = (),
            swap: Sequence[int] = ()) -> pa.Table:
    """Labels with planted errors, by row."""
    x, label = annotations["x"].to_numpy().copy(), annotations["class_id"].to_numpy().copy()
    x[list(move)] += SIDE / 2
    label[list(swap)] = 1 - label[list(swap)]
    table = annotations
    for name, values in (("x", x), ("class_id", label)):
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(name), pa.array(values, table.schema.field(name).type))
    return table.take(pa.array(np.setdiff1d(np.arange(table.num_rows), list(drop))))


def labelled(dataset: Dataset, annotations: pa.Table) -> Dataset:
    return replace(dataset, annotations=annotations)


def by_model(annotations: pa.Table, score: np.ndarray, model: str = MODEL) -> pa.Table:
    """The same boxes as a model's pre-labels."""
    count = annotations.num_rows
    given = {"source": pa.array([model] * count), "score": pa.array(score.astype(np.float32))}
    table = annotations.drop_columns(["source", "score", "reviewed_by"])
    for name, column in given.items():
        table = table.append_column(name, column)
    return table
