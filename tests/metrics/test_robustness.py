"""Corruptions by value, deterministic; AP under them from a detector that sees brightness."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, Meta
from tasks.metrics.robustness import STRENGTHS, Kind, Robustness, corrupt, few, under_corruption
from tasks.runtime.detector import Detector

KINDS = get_args(Kind)
PHOTO = load_sample_images().images[0][:120, :160]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", range(3))
def test_a_corrupted_picture_is_a_picture_and_the_original_stays(kind, level) -> None:
    before = PHOTO.copy()
    worse = corrupt(PHOTO, kind, level, "key")
    assert (worse.dtype, worse.shape) == (np.uint8, PHOTO.shape)
    assert (before == PHOTO).all() and (worse != PHOTO).any()
    assert (worse == corrupt(PHOTO, kind, level, "key")).all()


@pytest.mark.parametrize("kind", KINDS)
def test_each_strength_is_worse_than_the_one_before(kind) -> None:
    errors = [np.abs(corrupt(PHOTO, kind, level, "key").astype(float) - PHOTO).mean() for level in range(3)]
    assert errors == sorted(errors) and errors[0] > 1


def test_only_noise_depends_on_the_key() -> None:
    differs = {kind: bool((corrupt(PHOTO, kind, 1, "a") != corrupt(PHOTO, kind, 1, "b")).any()) for kind in KINDS}
    assert differs == {kind: kind == "noise" for kind in KINDS}


def test_strengths_mean_what_the_paper_says() -> None:
    grey = np.full((64, 64, 3), 128, np.uint8)
    noise = (corrupt(grey, "noise", 0, "k").astype(float) - 128) / 255
    assert noise.std() == pytest.approx(STRENGTHS["noise"][0], rel=0.05)
    assert corrupt(grey, "brightness", 0, "")[0, 0].tolist() == [154] * 3  # (128 / 255 + 0.1) × 255
    two = np.zeros((2, 2, 3), np.uint8)
    two[0] = 200
    assert sorted(set(corrupt(two, "contrast", 0, "").ravel().tolist())) == [60, 140]  # 100 ± 0.4 × 100
    assert corrupt(np.zeros((2, 2, 3), np.uint8), "brightness", 1, "").max() == round(0.3 * 255)


def test_brightness_keeps_hue_and_saturation() -> None:
    colour = corrupt(np.full((1, 1, 3), (100, 50, 0), np.uint8), "brightness", 1, "")[0, 0]
    assert colour.tolist() == [177, 88, 0]


def test_blur_grows_with_the_picture() -> None:
    line = np.zeros((224, 224, 3), np.uint8)
    line[:, 112] = 255
    small = corrupt(line, "blur", 1, "")[112, :, 0].astype(float)
    assert np.sqrt((small * (np.arange(224) - 112.0) ** 2).sum() / small.sum()) == pytest.approx(3, rel=0.15)
    wide = np.repeat(np.repeat(line, 2, axis=0), 2, axis=1)
    large = corrupt(wide, "blur", 1, "")[224, ::2, 0].astype(float)
    assert np.abs(large - small).max() < 6


def _world(folder: Path, digests: str = "dacb") -> Dataset:
    """Four pictures of 64 px with one white square on grey, which is found by its brightness."""
    rows, boxes = [], []
    for image, digest in enumerate(digests):
        picture = np.full((64, 64, 3), 40, np.uint8)
        x = 16 * image
        picture[16:32, x : x + 16] = 250
        Image.fromarray(picture).resize((128, 128), Image.Resampling.NEAREST).save(folder / f"{image}.png")
        rows.append({"image_id": image, "file": f"{image}.png", "width": 128, "height": 128, "digest": digest,
                     "bytes": 1, "orientation": 1, "split": "test"})
        boxes.append({"annotation_id": image, "image_id": image, "class_id": 0, "x": 2 * x, "y": 32, "w": 32, "h": 32,
                      "area": 1024, "iscrowd": False, "difficult": False, "source": "import", "row": ""})
    return Dataset(pa.Table.from_pylist(rows, schema=IMAGES), pa.Table.from_pylist(boxes, schema=ANNOTATIONS),
                   Meta(name="squares", classes=["square"]))


def _by_light(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A cell of 16 px is a square when it is much lighter than the picture."""
    cells = images[0].reshape(3, 4, 16, 4, 16).mean(axis=(0, 2, 4)) / 255
    y, x = np.mgrid[:4, :4] * 16.0
    boxes = np.stack([x, y, x + 16, y + 16], axis=-1).reshape(1, 16, 4).astype(np.float32)
    return boxes, ((cells - cells.mean()) > 0.25).astype(np.float32).reshape(1, 16, 1) * 0.9


def _detector() -> Detector:
    return Detector(_by_light, ["square"], (64, 64), "", "by hand", {})


def test_ap_under_each_corruption_in_pixels_of_the_original(tmp_path) -> None:
    found = under_corruption(Robustness(pictures=4), _world(tmp_path), tmp_path, {"a": _detector(), "b": _detector()})
    assert set(found) == {"a", "b"} and found["a"] == found["b"]
    one = found["a"]
    assert one["clean"] == pytest.approx(1) and one["jpeg"] == pytest.approx([1, 1, 1])
    assert one["contrast"] == pytest.approx([1, 0, 0])  # at 0.2 a square is 0.16 lighter
    assert one["mean"] == pytest.approx(np.mean([one[kind] for kind in KINDS]))


def test_pictures_are_chosen_by_their_digest_with_their_boxes(tmp_path) -> None:
    some = few(_world(tmp_path), 2)
    assert some.images["digest"].to_pylist() == ["a", "b"]
    assert some.annotations["image_id"].to_pylist() == [1, 3]
    assert few(_world(tmp_path), 9).images.num_rows == 4


def test_none_asked_for_is_none_measured(tmp_path) -> None:
    world = _world(tmp_path)
    assert under_corruption(Robustness(pictures=0), world, tmp_path, {"a": _detector()}) == {}
    assert under_corruption(Robustness(artefacts=[]), world, tmp_path, {"a": _detector()}) == {}
    named = under_corruption(Robustness(pictures=1, kinds=["blur"], artefacts=["b"]), world, tmp_path,
                             {"a": _detector(), "b": _detector()})
    assert list(named) == ["b"] and set(named["b"]) == {"blur", "clean", "mean"}


def test_nothing_to_find_is_none(tmp_path) -> None:
    from dataclasses import replace

    world = _world(tmp_path)
    found = under_corruption(Robustness(pictures=2, kinds=["blur"]),
                             replace(world, annotations=world.annotations.slice(0, 0)), tmp_path, {"a": _detector()})
    assert found["a"] == {"blur": [None] * 3, "clean": None, "mean": None}
