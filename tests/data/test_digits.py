from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import PIL
import pytest

from tasks.base.files import digest_tree
from tasks.data import digits
from tasks.data.catalogue import read_entry
from tasks.data.pictures import read_picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("digits")
    digits.generate(path)
    return path


@pytest.mark.skipif(PIL.__version__.split(".")[0] != "13", reason="the checksum is of JPEG files that Pillow 13 wrote")
def test_the_bytes_are_those_of_the_catalogue(folder: Path) -> None:
    assert digest_tree(folder) == read_entry("digits").digest


def test_made_again_it_is_the_same_and_takes_seconds(folder: Path, tmp_path: Path) -> None:
    start = time.process_time()
    digits.generate(tmp_path)
    assert digest_tree(tmp_path) == digest_tree(folder)
    assert time.process_time() - start < 20


def test_the_digits_of_the_splits_are_disjoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    glyphs, labels, photos = digits._load()
    given = []

    def scene(rng: object, photos: object, some: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, list[object]]:
        given.append({glyph.tobytes() for glyph in some})
        return np.zeros((8, 8, 3), np.uint8), []

    monkeypatch.setattr(digits, "_scene", scene)
    digits.generate(tmp_path)
    bounds = np.cumsum(list(digits.SCENES.values()))
    train, val, test = (set.union(*part) for part in np.split(np.array(given, dtype=object), bounds[:-1]))
    assert sum(digits.DIGITS.values()) == len(glyphs) == 1797
    assert not train & val and not train & test and not val & test


@pytest.mark.parametrize("split", list(digits.SCENES))
def test_every_class_in_every_split_and_every_box_inside(folder: Path, split: str) -> None:
    content = json.loads((folder / f"annotations/instances_{split}.json").read_text())
    assert {a["category_id"] for a in content["annotations"]} == set(range(1, 11))
    assert len(content["images"]) == digits.SCENES[split] == len(list((folder / split).iterdir()))
    for x, y, w, h in (a["bbox"] for a in content["annotations"]):
        assert x >= 0 and y >= 0 and w >= 3 and h >= 20 and x + w <= digits.SIDE and y + h <= digits.SIDE


def test_digits_stand_out_from_their_background(folder: Path) -> None:
    content = json.loads((folder / "annotations/instances_test.json").read_text())
    spans = []
    for row in content["annotations"]:
        x, y, w, h = row["bbox"]
        patch = read_picture(folder / "test" / f"{row['image_id']:04d}.jpg")[y:y + h, x:x + w].mean(axis=2)
        spans.append(np.percentile(patch, 95) - np.percentile(patch, 5))
    assert np.percentile(spans, 1) > 90
