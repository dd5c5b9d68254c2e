"""A small version of a store, made of the pictures that the conformance test gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from tasks.data.ops import Making
from tasks.data.pictures import measure
from tasks.data.sql import write_version
from tasks.data.store.layout import Store, Version
from tasks.data.table import ANNOTATIONS, IMAGES, Meta
from tasks.plugins.tiny import tiny

CLASSES = ["cat", "dog"]
COUNT = 6


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Version]:
    """Six pictures of a store, the last one twice (under another name); with boxes and splits."""
    store = Store(tmp_path_factory.mktemp("store"))
    with store.locked():
        making = store.begin("pool", "me")
        _fill(making)
        return store, store.publish(making, {"import": {"from": "here"}}, "me", {})


def _fill(making: Making) -> None:
    images: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    samples = tiny(COUNT, CLASSES)
    for number, one in enumerate([*samples, samples[-1]]):
        assert isinstance(one.source, np.ndarray)
        path = making.pictures / f"{number}.png"
        Image.fromarray(one.source).save(path)
        images.append({"image_id": number, "file": f"{making.origin}/{path.name}", **measure(path)._asdict(),
                       "split": "val" if number in (0, 3) else "train"})
        for (a, b, c, d), label in zip(one.boxes.tolist(), one.labels.tolist(), strict=True):
            boxes.append({"annotation_id": len(boxes), "image_id": number, "class_id": label, "x": a, "y": b,
                          "w": c - a, "h": d - b, "area": (c - a) * (d - b), "iscrowd": False, "difficult": False,
                          "source": "import", "row": str(number)})
    write_version(making.folder, [pa.Table.from_pylist(images, IMAGES)], [pa.Table.from_pylist(boxes, ANNOTATIONS)],
                  Meta(name="pool", classes=CLASSES))
