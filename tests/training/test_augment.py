"""Augmentation: boxes follow the picture, and the same seed, epoch and picture give the same sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.data.table import Dataset
from tasks.models.fcos import Target
from tasks.training.augment import sample
from tasks.training.pictures import Pictures
from tasks.training.settings import Augment

STRONG = Augment(flip="both", mosaic=0.5, zoom=(0.6, 1.6), crop=1.0, brightness=0, contrast=0, saturation=0)


@pytest.fixture(scope="module")
def pictures(tiny: tuple[Path, Dataset]) -> Pictures:
    return Pictures(tiny[0], tiny[1].subset("train"), (96, 128))


def coloured(image: torch.Tensor, target: Target) -> list[float]:
    """Share of each box that has its object's colour: 1 where the box sits on the object."""
    shares = []
    for box, label in zip(target.boxes.round().int().tolist(), target.labels.tolist(), strict=True):
        part = image[:, box[1]: box[3], box[0]: box[2]].int()
        other = 1 if label == 1 else 0
        shares.append(float((part[1 - other] - part[other]).gt(100).float().mean()))
    return shares


@pytest.mark.parametrize("epoch", range(12))
def test_boxes_stay_on_their_objects(pictures: Pictures, epoch: int) -> None:
    seen = [share for i in range(len(pictures))
            for share in coloured(*sample(pictures, i, epoch, 0, STRONG, plain=False))]
    assert seen
    # an object under another's box is possible in these pictures, an object away from its box is not
    assert min(seen) > 0.75


def test_a_sample_depends_on_seed_epoch_and_picture_alone(pictures: Pictures) -> None:
    first = sample(pictures, 2, 5, 7, STRONG, plain=False)
    sample(pictures, 0, 1, 7, STRONG, plain=False)
    again = sample(pictures, 2, 5, 7, STRONG, plain=False)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1].boxes, again[1].boxes)
    other = sample(pictures, 2, 6, 7, STRONG, plain=False)
    assert not torch.equal(first[0], other[0])


def test_plain_samples_are_the_pictures_as_they_are(pictures: Pictures) -> None:
    off = Augment(flip="none", brightness=0, contrast=0, saturation=0)
    image, target = sample(pictures, 0, 0, 0, off, plain=True)
    picture, truth = pictures[0]
    assert torch.equal(image, picture)
    assert torch.equal(target.boxes, truth.boxes)


def test_no_flip_never_mirrors(pictures: Pictures) -> None:
    off = Augment(flip="none", brightness=0, contrast=0, saturation=0)
    assert all(torch.equal(sample(pictures, 1, e, 0, off, plain=True)[0], pictures[1][0]) for e in range(8))


def test_boxes_stay_inside(pictures: Pictures) -> None:
    for epoch in range(20):
        _, target = sample(pictures, 3, epoch, 1, STRONG, plain=False)
        assert (target.boxes >= 0).all()
        assert (target.boxes[:, 2:] <= torch.tensor([128, 96])).all()
        assert (target.boxes[:, 2:] > target.boxes[:, :2]).all()


@pytest.mark.parametrize("cache_mb", [0, 100])
def test_the_cache_changes_no_pixel(tiny: tuple[Path, Dataset], cache_mb: int) -> None:
    part = Pictures(tiny[0], tiny[1].subset("train"), (48, 64), cache_mb)
    assert np.array_equal(part[0][0].numpy(), part[0][0].numpy())
    assert part[0][0].shape == (3, 96, 128)
    assert bool(part._cache) == bool(cache_mb)
