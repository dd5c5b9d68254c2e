"""The pictures of a split at about the size a network takes, decoded once where memory or a disk cache has room."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tasks.data.pictures import locate
from tasks.data.scaled import read_scaled
from tasks.data.table import Dataset, boxes_of
from tasks.models.fcos import Target
from tasks.runtime.letterbox import scale_of
from tasks.training.cache import PixelCache, cache_key

OVERSIZE = 2.0  # pictures are kept at up to this many times the input, so that zooming in finds detail
PLACES = ("file", "shard", "offset", "bytes")
MB = 1_000_000


class Pictures:
    """Pictures and boxes of a dataset for a network of a given input shape.

    Args:
        raw: the folder that the table's file names start from.
        dataset: rows of one split.
        shape: height and width of the network's input.
        cache_mb: memory for decoded pictures.
        disk: a folder for decoded pictures, used where all of them do not fit into `cache_mb`.
        disk_mb: what may lie there.
    """

    def __init__(self, raw: Path, dataset: Dataset, shape: tuple[int, int], cache_mb: int = 2000,
                 disk: Path | None = None, disk_mb: int = 0) -> None:
        self.shape = shape
        self._raw = raw
        self._places = dataset.images.select(PLACES).combine_chunks()
        boxes = boxes_of(dataset)
        self.truth = [boxes[i] for i in dataset.images["image_id"].to_pylist()]
        self._cache: dict[int, tuple[Tensor, float]] = {}
        self._room = cache_mb * MB
        self._scales: list[float] = []
        self._disk = self._disk_for(dataset, disk, disk_mb) if disk and disk_mb else None

    def __len__(self) -> int:
        return self._places.num_rows

    def _disk_for(self, dataset: Dataset, folder: Path, room_mb: int) -> PixelCache | None:
        stored = zip(*(dataset.images[name].to_pylist() for name in ("height", "width")), strict=True)
        known = [self._size(*size) if all(size) else ((0, 0), 0.0) for size in stored]
        sizes, self._scales = np.array([size for size, _ in known]), [scale for _, scale in known]
        if 3 * sizes.prod(1).sum() <= self._room:
            return None
        self._room = 0  # the pages of the file are the memory then, and shared
        key = cache_key(dataset.images["digest"].to_pylist(), self.shape, OVERSIZE, sizes.tolist())
        return PixelCache(folder, key, sizes, room_mb * MB)

    def _size(self, height: int, width: int) -> tuple[tuple[int, int], float]:
        """Height and width that a picture is kept at, and the factor to them."""
        scale = min(1.0, OVERSIZE * scale_of(height, width, self.shape))
        return (max(1, round(height * scale)), max(1, round(width * scale))), scale

    def _decode(self, index: int) -> tuple[Tensor, float]:
        place = locate(self._raw, self._places.slice(index, 1))[0]
        pixels, before = read_scaled(place, lambda height, width: self._size(height, width)[0])
        return _as_tensor(pixels.copy()), self._size(*before)[1]  # Pillow's array is not to be written to

    def _pixels(self, index: int) -> tuple[Tensor, float]:
        if index in self._cache:
            return self._cache[index]
        if self._disk is not None and (kept := self._disk.get(index)) is not None:
            return _as_tensor(kept), self._scales[index]
        entry = self._decode(index)
        if self._room >= entry[0].numel():
            self._room -= entry[0].numel()
            self._cache[index] = entry
        if self._disk is not None and entry[1] == self._scales[index]:  # else the table is wrong about the size
            self._disk.put(index, entry[0].permute(1, 2, 0).numpy())
        return entry

    def __getitem__(self, index: int) -> tuple[Tensor, Target]:
        """Picture uint8 [3, H, W] at up to twice the input, and its boxes in that picture's pixels."""
        picture, scale = self._pixels(index)
        boxes, labels = self.truth[index]
        return picture, Target(torch.from_numpy(boxes * np.float32(scale)), torch.from_numpy(labels))


def _as_tensor(pixels: np.ndarray) -> Tensor:
    """uint8 [H, W, 3] as [3, H, W]; the bytes stay as they are, which is the order that is resized fastest."""
    return torch.from_numpy(pixels).permute(2, 0, 1)
