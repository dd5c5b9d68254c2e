"""The dataset `digits`: real handwritten digits scattered over real photographs, made from what scikit-learn carries.

The 1,797 digits of `sklearn.datasets.load_digits` (8 x 8, UCI, CC BY 4.0) are laid over crops of its two bundled
photographs (CC BY 2.0). The digits of train, validation and test are disjoint; the photographs are shared.
No network is needed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from tasks.base.files import write_atomic

SIDE = 160
SCENES = {"train": 500, "val": 100, "test": 100}
DIGITS = {"train": 1200, "val": 297, "test": 300}
PER_SCENE = (3, 6)
SIZES = (34, 60)
# ink thinner than this share does not count towards the box
INK = 0.3
TRIES = 60
# pixels around a digit's box that no other box touches
RIM = 4
JPEG_QUALITY = 92


@dataclass(frozen=True)
class Placed:
    """One digit in a scene: its box in pixels (left, top, width, height) and its class."""

    box: tuple[int, int, int, int]
    digit: int


def generate(folder: Path, seed: int = 20) -> None:
    """Write the set as COCO JSON, the same bytes each time: `{train,val,test}/*.jpg`, `annotations/instances_*.json`.

    Pixels are the same wherever Pillow decodes JPEG and resizes alike; its wheels do.
    """
    rng = np.random.default_rng(seed)
    glyphs, labels, photos = _load()
    order = rng.permutation(len(labels))
    start = 0
    for split, scenes in SCENES.items():
        mine = order[start:start + DIGITS[split]]
        start += DIGITS[split]
        (folder / split).mkdir(parents=True)
        placed = []
        for number in range(scenes):
            picture, digits = _scene(rng, photos, glyphs[mine], labels[mine])
            Image.fromarray(picture).save(folder / split / f"{number:04d}.jpg", quality=JPEG_QUALITY, subsampling=0)
            placed.append(digits)
        write_atomic(folder / "annotations" / f"instances_{split}.json", json.dumps(_coco(placed)) + "\n")


def _load() -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    from sklearn.datasets import load_digits, load_sample_images

    digits = load_digits()
    return (digits.images / 16.0 * 255).astype(np.uint8), digits.target, list(load_sample_images().images)


def _scene(rng: np.random.Generator, photos: list[np.ndarray], glyphs: np.ndarray,
           labels: np.ndarray) -> tuple[np.ndarray, list[Placed]]:
    photo = photos[rng.integers(len(photos))]
    top, left = (int(rng.integers(extent - SIDE + 1)) for extent in photo.shape[:2])
    picture = photo[top:top + SIDE, left:left + SIDE].astype(np.float32)
    placed: list[Placed] = []
    wanted = int(rng.integers(PER_SCENE[0], PER_SCENE[1] + 1))
    for _ in range(TRIES):
        if len(placed) == wanted:
            break
        chosen = int(rng.integers(len(labels)))
        mask = _mask(glyphs[chosen], int(rng.integers(SIZES[0], SIZES[1] + 1)))
        height, width = mask.shape
        x, y = (int(rng.integers(RIM, SIDE - extent - RIM + 1)) for extent in (width, height))
        if all(_apart((x, y, width, height), other.box) for other in placed):
            _draw(picture[y - RIM:y + height + RIM, x - RIM:x + width + RIM], np.pad(mask, RIM))
            placed.append(Placed((x, y, width, height), int(labels[chosen])))
    return picture.round().clip(0, 255).astype(np.uint8), placed


def _mask(glyph: np.ndarray, size: int) -> np.ndarray:
    """The digit enlarged smoothly to `size` pixels, cut to its ink: float32 in 0..1."""
    large = Image.fromarray(glyph).resize((size, size), Image.Resampling.BICUBIC)
    alpha = np.asarray(large, np.float32) / 255
    alpha = np.clip((alpha - 0.3) / 0.4, 0, 1)
    rows, columns = (np.flatnonzero((alpha > INK).any(axis=axis)) for axis in (1, 0))
    return alpha[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]


def _draw(patch: np.ndarray, mask: np.ndarray) -> None:
    # white on dark, black on light, with a faint rim of the other, as subtitles have
    ink = 255.0 if patch.mean() < 128 else 0.0
    rim = Image.fromarray((mask * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(RIM / 2))
    patch += (255 - ink - patch) * np.clip(np.asarray(rim, np.float32) / 100, 0, 0.6)[..., None]
    patch += (ink - patch) * mask[..., None]


def _apart(box: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    (x, y, w, h), (u, v, s, t) = box, other
    return x + w + RIM <= u or u + s + RIM <= x or y + h + RIM <= v or v + t + RIM <= y


def _coco(scenes: list[list[Placed]]) -> dict[str, Any]:
    rows = [(image, placed) for image, scene in enumerate(scenes) for placed in scene]
    return {
        "images": [{"id": i, "file_name": f"{i:04d}.jpg", "width": SIDE, "height": SIDE} for i in range(len(scenes))],
        "annotations": [
            {"id": n + 1, "image_id": image, "category_id": placed.digit + 1, "bbox": list(placed.box),
             "area": placed.box[2] * placed.box[3], "iscrowd": 0} for n, (image, placed) in enumerate(rows)],
        "categories": [{"id": k + 1, "name": str(k)} for k in range(10)],
    }
