"""A tiny labelled set in a store: bright squares and dark bars on photographs, given splits; the lightest settings."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from tasks.base.files import write_json
from tasks.data.classes import ClassList
from tasks.data.store.importing import Importing, bring_in
from tasks.data.store.layout import Store, Version
from tasks.data.table import Dataset, read_dataset
from tasks.improving import training
from tasks.improving.light import FOUND, Judged, Light, measure, train_and_judge
from tasks.improving.rounds import Loop
from tasks.metrics.detections import SCHEMA, write_detections
from tasks.models.preset import DetectorPreset

SIZE = (64, 80)
SPLITS = {"train": 24, "test": 6}
QUICK = Light(model=DetectorPreset(image_size=64, levels=3, fpn_channels=32, head_convs=1), init="scratch", steps=2,
              batch_size=2, laps=1, draws=100, warmup=0)


def draw_set(folder: Path, splits: dict[str, int], seed: int = 0) -> Path:
    """COCO files and pictures: one bright square and one dark bar in each."""
    rng = np.random.default_rng(seed)
    photos = load_sample_images().images
    names = [{"id": 1, "name": "square"}, {"id": 2, "name": "bar"}]
    for split, count in splits.items():
        images: list[dict[str, object]] = []
        labels: list[dict[str, object]] = []
        (folder / split).mkdir(parents=True)
        for number in range(count):
            y, x = rng.integers(0, 300), rng.integers(0, 500)
            pixels = photos[number % 2][y: y + SIZE[0], x: x + SIZE[1]].copy()
            for label, (height, width, value) in enumerate([(16, 16, 255), (8, 24, 0)]):
                top, left = rng.integers(0, SIZE[0] - height), rng.integers(0, SIZE[1] - width)
                pixels[top: top + height, left: left + width] = value
                labels.append({"id": len(labels) + 1, "image_id": number + 1, "category_id": label + 1, "iscrowd": 0,
                               "bbox": [int(left), int(top), width, height], "area": height * width})
            Image.fromarray(pixels).save(folder / split / f"{split}{number:03}.png")
            images.append({"id": number + 1, "file_name": f"{split}/{split}{number:03}.png", "height": SIZE[0],
                           "width": SIZE[1]})
        (folder / "annotations").mkdir(exist_ok=True)
        write_json(folder / f"annotations/instances_{split}.json",
                   {"images": images, "annotations": labels, "categories": names})
    return folder


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Version]:
    """A store with the set; copy it before writing to it."""
    root = tmp_path_factory.mktemp("drawn")
    store = Store(root / "store")
    draw_set(root / "raw", SPLITS)
    found = bring_in(store, Importing(root / "raw", "shapes", "drawn", ClassList([])), "me")
    return store, found.version


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where nothing is tracked."""
    monkeypatch.setenv("VISIONMILL_TRACKING", "off")
    monkeypatch.setenv("VISIONMILL_THREADS", "1")
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def shapes(drawn: tuple[Store, Version], workspace: Path) -> tuple[Store, Version]:
    """The set in a store of the workspace."""
    shutil.copytree(drawn[0].root, workspace / "data/store")
    store = Store(workspace / "data/store")
    return store, store.find("shapes")


@pytest.fixture(scope="session")
def trained(drawn: tuple[Store, Version], tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """A model of the set, trained once."""
    store, version = drawn
    judge = read_dataset(version.folder).subset("test")
    return train_and_judge(version.folder, store.pictures, QUICK, judge=judge,
                           out=tmp_path_factory.mktemp("trained") / "model")


@pytest.fixture
def trained_once(trained: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each training of the rounds gives that model, and finds on what is judged on what is there."""

    def train(version_folder: Path, raw: Path, settings: Light, *, judge: Dataset, out: Path, **more: Any) -> Judged:
        shutil.copytree(trained.model, out, dirs_exist_ok=True)
        found = judge.annotations.select(["image_id", "class_id", *"xywh"])
        found = found.append_column("score", pa.array(np.linspace(0.9, 0.1, found.num_rows))).cast(SCHEMA)
        write_detections(out / FOUND, found)
        return Judged(out, found, measure(judge, found, 100))

    monkeypatch.setattr(training, "train_and_judge", train)
    monkeypatch.setattr(training, "learn_from_twin", lambda work: "no twin")


@pytest.fixture
def light() -> Callable[..., Light]:
    """The quickest settings, changed."""
    return lambda **changes: QUICK.model_copy(update=changes)


@pytest.fixture(scope="session")
def done(drawn: tuple[Store, Version], tmp_path_factory: pytest.TempPathFactory) -> Loop:
    """Two whole rounds with a control arm, really trained. Read them only."""
    from .loops import run, with_oracle

    folder = tmp_path_factory.mktemp("done")
    shutil.copytree(drawn[0].root, folder / "store")
    store = Store(folder / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISIONMILL_TRACKING", "off")
        patch.setenv("VISIONMILL_THREADS", "1")
        loop = with_oracle((store, store.find("shapes")), folder, control=True, rounds=2, strategy="entropy")
        assert run(loop) is None
    return loop
