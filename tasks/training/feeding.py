"""Batches made by processes of their own while the network computes: the same batches, to the bit.

Worth it where something else than these cores computes (a GPU), or where pictures are decoded in every epoch; on a CPU
that trains, the cores are better left to the network.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tasks.models.fcos import Target
from tasks.training.augment import sample
from tasks.training.pictures import Pictures
from tasks.training.settings import Training

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
KEPT = 32 << 20  # bytes, the most that glibc takes
AHEAD = 2  # batches that each worker makes in advance
Batch = tuple[Tensor, list[Target]]
Drawn = tuple[int, int, bool]  # picture, epoch, plain


class Samples(Dataset[tuple[Tensor, Target]]):
    """Training samples by what they are a function of, beside seed and settings."""

    def __init__(self, pictures: Pictures, settings: Training) -> None:
        self.pictures, self.settings = pictures, settings

    def __getitem__(self, drawn: Drawn) -> tuple[Tensor, Target]:
        index, epoch, plain = drawn
        return sample(self.pictures, index, epoch, self.settings.seed, self.settings.augment, plain)


class Epoch(Sequence[list[Drawn]]):
    """The order of one epoch's samples, in batches; set before each."""

    def __init__(self) -> None:
        self.batches: list[list[Drawn]] = []

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> list[Drawn]:  # type: ignore[override]
        return self.batches[index]


class Feeder:
    """Makes the batches of `tasks.training.loop.batches` in `workers` processes, which end when this object does.

    Every worker has its own copy of the table, and of what `cache_mb` keeps: give `Pictures` a disk cache where that is
    too much. A worker imports the caller's main module again, as all of `multiprocessing` does but by forking, which
    a process with threads does not survive.
    """

    def __init__(self, pictures: Pictures, settings: Training, workers: int) -> None:
        self._epoch = Epoch()
        self._loader: DataLoader[Any] = DataLoader(
            Samples(pictures, settings), batch_sampler=self._epoch, num_workers=workers, prefetch_factor=AHEAD,
            collate_fn=together, persistent_workers=True, multiprocessing_context="spawn", worker_init_fn=keep_memory)

    def batches(self, order: Sequence[Sequence[int]], epoch: int, plain: bool) -> Iterator[Batch]:
        """The batches of one epoch, given the pictures of each."""
        self._epoch.batches = [[(index, epoch, plain) for index in one] for one in order]
        for images, targets in self._loader:
            yield images, [Target(torch.from_numpy(boxes), torch.from_numpy(labels)) for boxes, labels in targets]


def keep_memory(worker: int = 0) -> None:
    """Lets glibc keep freed memory: given back and asked for again for every picture, it costs a third of the time."""
    with contextlib.suppress(OSError, AttributeError):
        for option in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            ctypes.CDLL(None).mallopt(option, KEPT)


def together(samples: list[tuple[Tensor, Target]]) -> tuple[Tensor, list[tuple[np.ndarray, np.ndarray]]]:
    """Samples as a batch: uint8 [n, 3, H, W] in shared memory, and boxes and labels.

    As arrays these go through the pipe; every tensor would have a file in shared memory, which costs more than to
    make the sample.
    """
    first = samples[0][0]
    shared = first.untyped_storage()._new_shared(first.numel() * len(samples), device="cpu")
    images = first.new(shared).resize_(len(samples), *first.shape)
    torch.stack([image for image, _ in samples], out=images)
    return images, [(target.boxes.numpy(), target.labels.numpy()) for _, target in samples]
