"""Small pools for the tests of mining: pictures that do not resemble each other, and a teacher that reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tasks.data.classes import ClassList
from tasks.data.store.importing import Importing, bring_in
from tasks.data.store.layout import Store, Version
from tasks.labelling.prelabelling import Prelabels, Settings, prelabel
from tasks.labelling.teachers.found import Found

SIDE = 48
CLASSES = ["cell", "platelet"]


def picture(number: int) -> np.ndarray:
    """Blotches, others for each number; uint8 [48, 48, 3]."""
    rng = np.random.default_rng([number, 7])
    small = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    return np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def save(path: Path, number: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(number)).save(path)
    return path


def folder_of(root: Path, numbers: range | list[int]) -> Path:
    """Pictures in two folders, one of them deep."""
    for number in numbers:
        save(root / ("deep/er" if number % 2 else "flat") / f"{number:03d}.png", number)
    return root


def pond(store: Store, root: Path, numbers: range | list[int], name: str = "pool", **more: int) -> Version:
    """A version of these pictures without labels."""
    wanted = Importing(folder_of(root, numbers), name, str(root), ClassList([]), format="pictures", **more)  # type: ignore[arg-type]
    return bring_in(store, wanted, "ann").version


class Reader:
    """A teacher whose answers follow from the pixels: one to four boxes; the redder, the surer."""

    name, classes, notes = "reader@1", CLASSES, ["made by hand"]
    digest = "5" * 64

    def ask(self, pictures: list[np.ndarray]) -> list[Found]:
        return [self._found(one) for one in pictures]

    def _found(self, pixels: np.ndarray) -> Found:
        count = 1 + int(pixels[0, 0, 0]) % 4
        scores = np.sort(pixels[:count, 5, 0].astype(np.float32) / 260 + 0.01)[::-1].copy()
        left = np.arange(count, dtype=np.float32) * 10
        boxes = np.stack([left, left, left + 9, left + 9], axis=1)
        labels = (pixels[:count, 9, 1] < 50).astype(np.int64)
        margin, spread, support = (np.full(count, value, np.float32) for value in (0.4, 0.1, 3))
        return Found(boxes, scores, labels, margin, spread, support)


def looked_at(pool: Version, store: Store, workspace: Path, **settings: bool) -> Prelabels:
    """The reader's pre-labels of a pool."""
    return prelabel(pool, store, Reader(), Settings(**settings), workspace)
