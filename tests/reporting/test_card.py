"""The card's numbers against numbers worked out by hand, and the small tables that its other tests use."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tasks.base.errors import DataError
from tasks.base.files import digest_file
from tasks.data.sql import write_version
from tasks.data.table import ANNOTATIONS, IMAGES, Meta
from tasks.reporting.card import facts
from tests.data.folders import photograph

Rows = Sequence[dict[str, Any]]


def picture(image_id: int, file: str, split: str | None = None, size: tuple[int, int] = (64, 48),
            **more: Any) -> dict[str, Any]:
    return {"image_id": image_id, "file": file, "split": split, "width": size[0], "height": size[1],
            "digest": f"digest of {file}", "bytes": 100, "orientation": 1} | more


def label(annotation_id: int, image_id: int, class_id: int, box: Sequence[float], **more: Any) -> dict[str, Any]:
    x, y, w, h = box
    return {"annotation_id": annotation_id, "image_id": image_id, "class_id": class_id, "x": x, "y": y, "w": w, "h": h,
            "area": w * h, "iscrowd": False, "difficult": False, "source": "import", "row": f"#{annotation_id}"} | more


def write(folder: Path, images: Rows, labels: Rows, classes: Sequence[str], **meta: Any) -> Path:
    """A dataset folder of these rows."""
    folder.mkdir(parents=True)
    tables = [pa.table({f.name: pa.array([row.get(f.name) for row in rows], f.type) for f in schema}, schema=schema)
              for rows, schema in ((images, IMAGES), (labels, ANNOTATIONS))]
    described = {"name": "tiny", "classes": list(classes), "licence": "CC0-1.0"} | meta
    write_version(folder, tables[:1], tables[1:], Meta.model_validate(described))
    return folder


def crop(path: Path, number: int, size: tuple[int, int] = (64, 48)) -> Path:
    """Another part of a photograph for each number."""
    top, left = 37 * number % 300, 53 * number % 400
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photograph()[top : top + size[1], left : left + size[0]]).save(path, quality=80)
    return path


def grey(path: Path, value: int, size: tuple[int, int] = (64, 48)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)


def detection(root: Path, count: int = 6, classes: Sequence[str] = ("cat", "dog"), **meta: Any) -> tuple[Path, Path]:
    """Crops of a photograph, each with two boxes: the dataset folder and its pictures."""
    images, labels = [], []
    for i in range(count):
        path = crop(root / f"pictures/p{i:03}.jpg", i)
        images.append(picture(i, path.name, ("train", "val", "test")[i % 3], digest=digest_file(path)))
        labels += [label(2 * i, i, i % len(classes), (4 + i % 9, 5, 20, 24)),
                   label(2 * i + 1, i, (i + 1) % len(classes), (30, 10 + i % 7, 22, 18))]
    return write(root / "table", images, labels, classes, **meta), root / "pictures"


@pytest.fixture
def tiny(tmp_path: Path) -> dict[str, Any]:
    """The numbers of four pictures and seven labels, of which one is a crowd and two are no boxes."""
    images = [
        picture(0, "a.png", "train", digest="same", tags=["night", "rain"]),
        picture(1, "b.png", "train", bytes=200, group="film", ignored=[[0.0, 0.0, 5.0, 5.0]], tags=["night"]),
        picture(2, "c.png", "test", (48, 64), bytes=300),
        picture(3, "d.png", None, (48, 64), digest="same"),
    ]
    labels = [
        label(0, 0, 0, (0, 0, 16, 16)),
        label(1, 0, 0, (16, 12, 32, 20), difficult=True, score=0.95, occlusion=3),
        label(2, 1, 1, (32, 0, 32, 32), truncation=0.5, occlusion=1, source="human", reviewed_by="ann"),
        label(3, 1, 0, (0, 0, 64, 48), iscrowd=True),
        label(4, 1, 1, (5, 5, 0, 10)),
        label(5, 2, 0, (0, 0, 48, 64), area=9216.0),
        label(6, 2, 1, (math.nan, 0, 4, 4)),
    ]
    folder = write(tmp_path / "table", images, labels, ["cat", "dog", "bird"])
    for name, value, size in (("a", 16, (64, 48)), ("b", 100, (64, 48)), ("c", 250, (48, 64)), ("d", 16, (48, 64))):
        grey(tmp_path / f"pictures/{name}.png", value, size)
    return facts(folder, tmp_path / "pictures")


def test_totals(tiny: dict[str, Any]) -> None:
    found = {key: tiny[key] for key in ("pictures", "labels", "unlabelled", "bytes", "copies", "groups", "ignored")}
    assert found == {"pictures": 4, "labels": 7, "unlabelled": 1, "bytes": 700, "copies": 1, "groups": 1, "ignored": 1}
    assert tiny["splits"] == {
        "train": {"pictures": 2, "labels": 5, "unlabelled": 0},
        "test": {"pictures": 1, "labels": 2, "unlabelled": 0},
        "none": {"pictures": 1, "labels": 0, "unlabelled": 1},
    }
    assert list(tiny["splits"]) == ["train", "test", "none"]


def test_classes_and_imbalance(tiny: dict[str, Any]) -> None:
    assert tiny["classes"] == [
        {"class": "cat", "class_id": 0, "labels": 4, "pictures": 3, "splits": {"train": [3, 2], "test": [1, 1]}},
        {"class": "dog", "class_id": 1, "labels": 3, "pictures": 2, "splits": {"train": [2, 1], "test": [1, 1]}},
        {"class": "bird", "class_id": 2, "labels": 0, "pictures": 0, "splits": {}},
    ]
    assert tiny["imbalance"] == {"ratio": 4 / 3, "largest": "cat", "smallest": "dog"}


def test_boxes(tiny: dict[str, Any]) -> None:
    boxes = tiny["boxes"]
    assert (boxes["drawn"], boxes["crowds"], boxes["flawed"]) == (4, 1, 2)
    # sides: 16, √640 = 25.30, 32, √3072 = 55.43
    sides = [boxes[key] for key in ("smallest_side", "median_side", "largest_side")]
    assert sides == pytest.approx([16, (640**0.5 + 32) / 2, 3072**0.5])
    # four bins to a factor of two: 4 log2(16) = 16, 18.64, 20, 23.17
    assert boxes["size"] == {"train": [[16, 1], [18, 1], [20, 1]], "test": [[23, 1]]}
    # of the picture's side: √(256 / 3072) = 0.289, 0.456, 0.577, and the whole picture
    assert boxes["relative"] == {"train": [[-8, 1], [-5, 1], [-4, 1]], "test": [[0, 1]]}
    # six bins to a factor of two: 1, 1.6 (4.07), 1, 0.75 (-2.49)
    assert boxes["aspect"] == {"train": [[0, 2], [4, 1]], "test": [[-3, 1]]}
    # 256 and 640 are small, 1024 is just medium, 9216 just large
    assert boxes["coco"] == {"train": [[0, 2], [1, 1]], "test": [[2, 1]]}


def test_places_are_centres_on_a_grid_of_24(tiny: dict[str, Any]) -> None:
    filled = {(row, column): n for row, line in enumerate(tiny["boxes"]["place"]) for column, n in enumerate(line) if n}
    # centres (8, 8), (32, 22) and (48, 16) of 64 × 48, (24, 32) of 48 × 64
    assert filled == {(4, 3): 1, (11, 12): 1, (8, 18): 1, (12, 12): 1}


def test_crowding(tiny: dict[str, Any]) -> None:
    assert tiny["crowding"] == {
        "labels": {"train": [[2, 1], [3, 1]], "test": [[2, 1]], "none": [[0, 1]]},
        "most": [{"image_id": 1, "file": "b.png", "labels": 3}, {"image_id": 0, "file": "a.png", "labels": 2},
                 {"image_id": 2, "file": "c.png", "labels": 2}],
    }


def test_sizes_of_pictures(tiny: dict[str, Any]) -> None:
    assert tiny["sizes"] == {"distinct": 2, "unmeasured": 0, "most": [[48, 64, 2], [64, 48, 2]],
                             "aspect": {"train": [[2, 2]], "test": [[-3, 1]], "none": [[-3, 1]]}}


def test_properties_and_sources(tiny: dict[str, Any]) -> None:
    assert tiny["properties"] == {
        "labels": {"crowd": 1, "difficult": 1, "truncation": 1, "cut off": 1, "occlusion": 2, "hidden": 1, "score": 1,
                   "reviewed": 1},
        "shares": {"truncation": [0, 0, 0, 0, 0, 1, 0, 0, 0, 0], "score": [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]},
        "occlusion": {"1": 1, "3": 1}, "tags": [["night", 2], ["rain", 1]],
    }
    assert tiny["sources"] == {"made": [["import", 6, 3], ["human", 1, 1]], "reviewed": [["ann", 1, 1]]}


def test_brightness(tiny: dict[str, Any]) -> None:
    bright = tiny["brightness"]
    assert (bright["sampled"], bright["unreadable"]) == (4, 0)
    # eight values a bin: 16 is in bin 2, 100 in bin 12, 250 in bin 31
    filled = {split: {k: n for k, n in enumerate(counts) if n} for split, counts in bright["counts"].items()}
    assert filled == {"train": {2: 1, 12: 1}, "test": {31: 1}, "none": {2: 1}}
    assert [(one["file"], one["value"]) for one in bright["darkest"]] == [
        ("a.png", 16.0), ("d.png", 16.0), ("b.png", 100.0), ("c.png", 250.0)]


def test_facts_are_json(tiny: dict[str, Any]) -> None:
    assert json.loads(json.dumps(tiny, allow_nan=False)) == tiny


def test_classification_counts_labels_of_pictures(tmp_path: Path) -> None:
    images = [picture(0, "a.png", "train", labels=[0]), picture(1, "b.png", "train", labels=[0, 1]),
              picture(2, "c.png", "val", labels=[]), picture(3, "d.png", "val")]
    found = facts(write(tmp_path / "table", images, [], ["cat", "dog"], problem="classify"))
    assert (found["labels"], found["unlabelled"], found["brightness"]) == (3, 2, None)
    assert [(one["labels"], one["pictures"]) for one in found["classes"]] == [(2, 2), (1, 1)]
    assert found["crowding"]["labels"] == {"train": [[1, 1], [2, 1]], "val": [[0, 2]]}


def test_semantic_masks_are_counted_by_pixel(tmp_path: Path) -> None:
    ids = np.zeros((48, 64), np.uint8)
    ids[:, 32:] = 1
    ids[:12, :16] = 255
    ids[0, 40] = 7
    crop(tmp_path / "pictures/a.jpg", 0)
    Image.fromarray(ids).save(tmp_path / "pictures/a.png")
    images = [picture(0, "a.jpg", "train", mask="a.png"), picture(1, "b.jpg", "train", mask="gone.png"),
              picture(2, "c.jpg", "val")]
    folder = write(tmp_path / "table", images, [], ["background", "cat", "dog"], problem="semantic")
    found = facts(folder, tmp_path / "pictures")
    assert found["unlabelled"] == 1
    assert found["masks"] == {"sampled": 2, "unreadable": 1, "unknown": 1, "void": 12 * 16,
                              "pixels": [48 * 32 - 12 * 16, 48 * 32 - 1, 0], "pictures": [1, 1, 0]}


def test_nothing_at_all(tmp_path: Path) -> None:
    found = facts(write(tmp_path / "table", [], [], []))
    assert (found["pictures"], found["labels"], found["splits"], found["classes"]) == (0, 0, {}, [])
    assert found["boxes"]["median_side"] is None


def test_boxes_without_sense_break_nothing(tmp_path: Path) -> None:
    boxes = [(0, 0, 1e300, 1e300), (1e308, 1e308, 1e308, 1e308), (0, 0, 5e-324, 1), (-1e9, 3, 4, 4), (0, 0, -5, 5),
             (0, 0, math.inf, 2), (0, math.nan, 2, 2)]
    labels = [label(i, 0, i, box) for i, box in enumerate(boxes)]
    images = [picture(0, "a.png"), picture(1, "b.png", size=(0, 0))]
    found = facts(write(tmp_path / "table", images, labels, ["cat"]))
    assert (found["boxes"]["drawn"], found["boxes"]["flawed"], found["sizes"]["unmeasured"]) == (4, 3, 1)
    assert sum(n for _, n in found["boxes"]["size"]["none"]) == 4
    assert found["classes"][3]["class"] == "class 3 (not in the list)"


def test_a_version_is_called_by_its_number(tmp_path: Path) -> None:
    assert facts(write(tmp_path / "cells/7", [], [], [], name="cells"))["ref"] == "cells@7"
    assert facts(write(tmp_path / "cells/split", [], [], [], name="cells"))["ref"] == "cells"


@pytest.mark.parametrize("gone", ["dataset.json", "images.parquet"])
def test_what_is_no_dataset_is_refused(tmp_path: Path, gone: str) -> None:
    folder = write(tmp_path / "table", [], [], [])
    (folder / gone).unlink()
    with pytest.raises(DataError, match="dataset folder"):
        facts(folder)


def test_the_sample_of_pixels_is_the_same_for_the_same_pictures(tmp_path: Path) -> None:
    folder, pictures = detection(tmp_path)
    assert facts(folder, pictures) == facts(folder, pictures)
    assert pq.read_table(folder / "images.parquet").num_rows == facts(folder, pictures)["brightness"]["sampled"]
