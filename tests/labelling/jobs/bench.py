"""A small pool with pre-labels, a workspace to send it from, and people who answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from tasks.base.files import read_json, write_json
from tasks.data.classes import ClassList
from tasks.data.store.importing import Importing, bring_in
from tasks.data.store.labelled import publish_labels
from tasks.data.store.layout import Store, Version
from tasks.data.table import Dataset, read_dataset
from tasks.labelling.jobs.desk import Answer, Status, boxes_table, status_of
from tasks.labelling.jobs.job import Job
from tasks.labelling.jobs.pictures import Pictures

WIDTH, HEIGHT = 64, 48
CLASSES = ["cell", "plate"]
# picture: its boxes as class, x, y, w, h, score
BOXES: dict[str, list[tuple[int, float, float, float, float, float]]] = {
    "one/a.png": [(0, 4.25, 4.5, 10, 12, 0.9), (1, 30, 10, 8.5, 9, 0.6)],
    "one/b.png": [(0, 2, 3, 20, 15, 0.8)],
    "two/a.png": [(1, 12.125, 8, 16, 16, 0.7), (0, 40, 20, 12, 12, 0.4)],
    "two/c.png": [],
}
DIFFICULTY = {"one/a.png": 0.5, "one/b.png": 0.1, "two/a.png": 0.9, "two/c.png": 0.3}
# hardest first
ORDER = ["two/a.png", "one/a.png", "two/c.png", "one/b.png"]


@dataclass
class Bench:
    """Where a test works."""

    workspace: Path
    store: Store
    version: Version
    raw: Path

    @property
    def data(self) -> Dataset:
        return read_dataset(self.version.folder)

    def digest(self, name: str) -> str:
        rows = self.data.images.select(["file", "digest"]).to_pylist()
        return next(row["digest"] for row in rows if row["file"].endswith(name))

    def boxes(self, name: str) -> list[dict[str, Any]]:
        """The pre-labels of a picture as the rows of an answer."""
        return [dict(zip(("class_id", "x", "y", "w", "h"), box[:5], strict=True)) for box in BOXES[name]]

    def answer(self, name: str, rows: Sequence[dict[str, Any]] | None = None, who: str = "ann", when: float = 1000.0,
               **more: Any) -> Answer:
        return Answer(self.digest(name), boxes_table(self.boxes(name) if rows is None else rows), who, when, **more)


def make_bench(folder: Path, boxes: dict[str, list[tuple[int, float, float, float, float, float]]] | None = None,
               attributes: dict[str, dict[str, Any]] | None = None) -> Bench:
    """Import the pictures and publish the pre-labels."""
    raw = folder / "raw"
    images = []
    for number, name in enumerate(sorted(BOXES)):
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT), (40 * number, 90, 9)).save(raw / name)
        images.append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT})
    categories = [{"id": number + 1, "name": name} for number, name in enumerate(CLASSES)]
    write_json(raw / "all.json", {"images": images, "annotations": [], "categories": categories})
    store = Store(folder / "store")
    pool = bring_in(store, Importing(raw, "pool", "here", ClassList([]), allow=["all"]), "me").version
    return Bench(folder / "workspace", store, prelabelled(store, pool, boxes or BOXES, attributes or {}), raw)


def prelabelled(store: Store, pool: Version, boxes: dict[str, list[tuple[int, float, float, float, float, float]]],
                attributes: dict[str, dict[str, Any]]) -> Version:
    files = read_dataset(pool.folder).images.select(["image_id", "file"]).to_pylist()
    names = {row["image_id"]: next(name for name in BOXES if row["file"].endswith(name)) for row in files}
    rows = [(image, *box) for image, name in names.items() for box in boxes.get(name, [])]
    columns: list[Sequence[Any]] = [*zip(*rows, strict=True)] or [()] * 7
    kinds = (pa.int64(), pa.int32(), *[pa.float64()] * 4, pa.float32())
    table = pa.table([pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)],
                     names=["image_id", "class_id", "x", "y", "w", "h", "score"])
    table = table.append_column("difficulty", pa.array(1 - np.array(columns[6], np.float32)))
    table = table.append_column("source", pa.array(["model:m@1"] * len(rows), pa.string()))
    pictures = {image: {"prelabel": {"difficulty": DIFFICULTY[name]}} | attributes.get(name, {})
                for image, name in names.items()}
    version, _ = publish_labels(store, pool, out="pool-auto", owner="me", said={"by": "model:m@1"}, annotations=table,
                                pictures=pictures)
    return version


@dataclass
class People:
    """A desk without a tool: what people have said is given."""

    answers: list[Answer] = field(default_factory=list)
    kind: str = "people"
    sent: list[list[str]] = field(default_factory=list)
    returned: list[tuple[list[str], str]] = field(default_factory=list)

    def send(self, job: Job, pictures: Pictures, workspace: Path) -> None:
        self.sent.append([task.digest for task in pictures])

    def status(self, job: Job) -> Status:
        return status_of(job, self.answers)

    def fetch(self, job: Job) -> list[Answer]:
        return list(self.answers)

    def give_back(self, job: Job, digests: Sequence[str], note: str) -> None:
        self.returned.append((list(digests), note))


def labels_of(version: Version) -> dict[str, list[dict[str, Any]]]:
    """Picture → its labels; `needed` is taken out of the attributes."""
    data = read_dataset(version.folder)
    files = dict(zip(data.images["image_id"].to_pylist(), data.images["file"].to_pylist(), strict=True))
    found: dict[str, list[dict[str, Any]]] = {"/".join(Path(file).parts[-2:]): [] for file in files.values()}
    for row in data.annotations.to_pylist():
        told = json.loads(row["attributes"] or "{}")
        found["/".join(Path(files[row["image_id"]]).parts[-2:])].append(row | {"needed": told["label"]["needed"]})
    return found


def coco_of(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The COCO file of a folder that was handed out."""
    path = folder / "annotations/instances.json"
    return path, read_json(path)
