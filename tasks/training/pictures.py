"""The pictures of a split, decoded once into memory where they fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tasks.data.pictures import read_picture
from tasks.data.table import Dataset, boxes_of
from tasks.models.fcos import Target
from tasks.runtime.letterbox import resize, scale_of

OVERSIZE = 2.0  # pictures are kept at up to this many times the input, so that zooming in finds detail


class Pictures:
    """Pictures and boxes of a dataset for a network of a given input shape.

    Args:
        raw: the folder that the table's file names start from.
        dataset: rows of one split.
        shape: height and width of the network's input.
        cache_mb: memory for decoded pictures.
    """

    def __init__(self, raw: Path, dataset: Dataset, shape: tuple[int, int], cache_mb: int = 2000) -> None:
        self.shape = shape
        self.files = [raw / name for name in dataset.images["file"].to_pylist()]
        boxes = boxes_of(dataset)
        self.truth = [boxes[i] for i in dataset.images["image_id"].to_pylist()]
        self._cache: dict[int, tuple[Tensor, float]] = {}
        self._room = cache_mb * 1_000_000

    def __len__(self) -> int:
        return len(self.files)

    def _decode(self, index: int) -> tuple[Tensor, float]:
        picture = read_picture(self.files[index])
        height, width = picture.shape[:2]
        scale = min(1.0, OVERSIZE * scale_of(height, width, self.shape))
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        return torch.from_numpy(resize(picture, size).copy()).permute(2, 0, 1).contiguous(), scale

    def __getitem__(self, index: int) -> tuple[Tensor, Target]:
        """Picture uint8 [3, H, W] at up to twice the input, and its boxes in that picture's pixels."""
        entry = self._cache.get(index)
        if entry is None:
            entry = self._decode(index)
            if self._room >= entry[0].numel():
                self._room -= entry[0].numel()
                self._cache[index] = entry
        picture, scale = entry
        boxes, labels = self.truth[index]
        return picture, Target(torch.from_numpy(boxes * np.float32(scale)), torch.from_numpy(labels))
