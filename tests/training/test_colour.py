"""The same colours as torchvision's, to the bit."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from tasks.training.colour import adjust_colour
from tests.data.folders import photograph

ADJUST = (functional.adjust_brightness, functional.adjust_contrast, functional.adjust_saturation)


def expected(image: torch.Tensor, factors: tuple[float | None, ...]) -> torch.Tensor:
    for adjust, factor in zip(ADJUST, factors, strict=True):
        if factor is not None:
            image = adjust(image, factor)
    return image


@pytest.mark.parametrize("factors", [*product((None, 0.7, 1.0, 1.3), repeat=3), (0.0, 0.0, 0.0), (2.5, 2.5, 2.5)])
def test_each_with_each(factors: tuple[float | None, ...]) -> None:
    image = torch.from_numpy(photograph().copy()).permute(2, 0, 1)
    before = image.clone()
    assert torch.equal(adjust_colour(image, *factors), expected(image, factors))
    assert torch.equal(image, before)


def test_any_picture() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        image = torch.from_numpy(rng.integers(0, 256, (3, *rng.integers(1, 200, 2)), dtype=np.uint8))
        factors = tuple(rng.uniform(0.5, 1.5, 3))
        assert torch.equal(adjust_colour(image, *factors), expected(image, factors))
