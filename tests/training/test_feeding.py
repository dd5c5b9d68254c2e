"""Batches made by other processes: the same ones, and memory that stays."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from tasks.data.table import Dataset
from tasks.training.augment import sample
from tasks.training.feeding import Feeder, together
from tasks.training.loop import batches
from tasks.training.pictures import Pictures
from tasks.training.settings import Training

SHAPE = (96, 128)
SETTINGS = Training(epochs=4, batch_size=4)


def orders(count: int, epoch: int) -> list[list[int]]:
    order = np.random.default_rng([SETTINGS.seed, epoch]).permutation(count).tolist()
    return [order[at: at + SETTINGS.batch_size] for at in range(0, count, SETTINGS.batch_size)]


def anonymous(pid: int) -> int:
    """Bytes of a process that are its own: no files, no shared memory."""
    memory = psutil.Process(pid).memory_info()
    return int(memory.rss - memory.shared)


def test_a_batch_in_shared_memory(tiny: tuple[Path, Dataset]) -> None:
    pictures = Pictures(*tiny, SHAPE)
    samples = [sample(pictures, i, 0, 0, SETTINGS.augment, False) for i in range(3)]
    images, targets = together(samples)
    assert images.is_shared() and torch.equal(images, torch.stack([image for image, _ in samples]))
    assert all(np.array_equal(boxes, target.boxes) and np.array_equal(labels, target.labels)
               for (boxes, labels), (_, target) in zip(targets, samples, strict=True))


@pytest.mark.slow
def test_workers_make_the_same_batches_and_keep_their_memory(tiny: tuple[Path, Dataset], tmp_path: Path) -> None:
    raw, dataset = tiny
    feeder = Feeder(Pictures(raw, dataset, SHAPE, 0, tmp_path, 100), SETTINGS, workers=2)
    for epoch in (0, 1, 3):
        plain = epoch >= SETTINGS.epochs * (1 - SETTINGS.augment.close)
        for fed, made in zip(feeder.batches(orders(8, epoch), epoch, plain),
                             batches(Pictures(raw, dataset, SHAPE), SETTINGS, epoch), strict=True):
            assert torch.equal(fed[0], made[0])
            assert all(torch.equal(a.boxes, b.boxes) and torch.equal(a.labels, b.labels)
                       for a, b in zip(fed[1], made[1], strict=True))
    workers = [child.pid for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
    assert len(workers) >= 2

    def epochs(first: int, count: int) -> None:
        for epoch in range(first, first + count):
            assert sum(len(images) for images, _ in feeder.batches(orders(8, 0) * 10, epoch, False)) == 80

    epochs(0, 10)
    before = [anonymous(pid) for pid in workers]
    epochs(10, 60)
    after = [anonymous(pid) for pid in workers]
    assert max(b - a for a, b in zip(before, after, strict=True)) < 4 << 20


def test_memory_stays_over_many_epochs_in_this_process(tiny: tuple[Path, Dataset], tmp_path: Path) -> None:
    raw, dataset = tiny
    pictures = Pictures(raw, dataset, SHAPE, 0, tmp_path, 100)
    sizes = []
    for epoch in range(30):
        for index in range(len(pictures)):
            sample(pictures, index, epoch, 0, SETTINGS.augment, False)
        if epoch in (9, 29):
            gc.collect()
            sizes.append(anonymous(psutil.Process().pid))
    assert sizes[1] - sizes[0] < 4 << 20
