"""Pruning by threshold, held against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tasks.base.errors import UserError
from tasks.compress.tlt import Settings, kept, normalised, tlt_prune

PICTURE = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def conv(norms: list[float], inputs: int = 3, groups: int = 1) -> nn.Conv2d:
    """A convolution whose filters have these L2 norms."""
    layer = nn.Conv2d(inputs, len(norms), 3, padding=1, groups=groups)
    with torch.no_grad():
        layer.weight /= layer.weight.flatten(1).norm(dim=1)[:, None, None, None]
        layer.weight *= torch.tensor(norms)[:, None, None, None]
    return layer


class Chain(nn.Module):
    def __init__(self, norms: list[float]) -> None:
        super().__init__()
        self.a, self.bn, self.b = conv(norms), nn.BatchNorm2d(len(norms)), conv([1.0] * 4, len(norms))

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(self.bn(self.a(x))))


class Added(nn.Module):
    """Two branches that are added to each other."""

    def __init__(self, one: list[float], other: list[float]) -> None:
        super().__init__()
        self.a, self.b, self.last = conv(one), conv(other), conv([1.0] * 2, len(one))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.a(x) + self.b(x)))


class Depthwise(nn.Module):
    def __init__(self, one: list[float], other: list[float]) -> None:
        super().__init__()
        self.a, self.deep, self.last = conv(one), conv(other, len(one), len(one)), conv([1.0] * 2, len(one))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.deep(self.a(x)))


class Joined(nn.Module):
    """Two branches side by side, then a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = conv([1.0, 0.1, 0.8]), conv([0.1, 0.9]), conv([1.0, 0.2], 5)
        self.last = nn.Linear(2 * 64, 2)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.a(x), self.b(x)], dim=1)
        return self.last(self.c(torch.relu(both)).flatten(1))


def settings(**more: object) -> Settings:
    return Settings.model_validate({"granularity": 1, "min_filters": 0, "threshold": 0.5, **more})


def test_max_and_l2_as_written() -> None:
    norms = torch.tensor([3.0, 4.0, 0.0, 0.0])
    assert normalised(norms, "max").tolist() == [0.75, 1.0, 0.0, 0.0]
    assert torch.allclose(normalised(norms, "L2"), torch.tensor([2.4, 3.2, 0.0, 0.0]))


@pytest.mark.parametrize(("norm", "threshold", "left"), [
    ("max", 0.5, [0, 2]), ("max", 0.1, [0, 1, 2]), ("max", 0.8, [0]),
    ("L2", 0.5, [0, 1, 2]), ("L2", 1.0, [0, 2]), ("L2", 2.5, [0])])
def test_a_layer_of_its_own(norm: str, threshold: float, left: list[int]) -> None:
    """Norms 4, 1, 3, 0.1 are 1, .25, .75, .025 by max and 3.14, .78, 2.35, .08 by L2."""
    model = Chain([4.0, 1.0, 3.0, 0.1])
    smaller, found = tlt_prune(model, PICTURE, settings(norm=norm, threshold=threshold), heads=("b",))
    assert found[0].keep == left
    assert smaller.a.out_channels == smaller.bn.num_features == smaller.b.in_channels == len(left)
    assert torch.equal(smaller.a.weight, model.a.weight[left]) and model.a.out_channels == 4


@pytest.mark.parametrize(("how", "left"), [("union", [0, 1, 2]), ("intersection", [0]), ("arithmetic_mean", [0, 1]),
                                           ("geometric_mean", [0])])
@pytest.mark.parametrize("kind", [Added, Depthwise])
def test_tied_layers_are_equalised(kind: type, how: str, left: list[int]) -> None:
    """By max: 1, 1, .6, .1 and 1, .2, .3, .1: mean 1, .6, .45, .1; geometric 1, .447, .424, .1."""
    model = kind([2.0, 2.0, 1.2, 0.2], [5.0, 1.0, 1.5, 0.5])
    smaller, found = tlt_prune(model, PICTURE, settings(equalization=how), heads=("last",))
    assert [one.keep for one in found] == [left]
    assert smaller(PICTURE).shape == (1, 2, 8, 8) and smaller.last.in_channels == len(left)


def test_what_is_left_answers_as_the_whole_with_those_channels_off() -> None:
    model = Added([2.0, 2.0, 0.2, 0.1], [5.0, 1.0, 0.5, 0.5])
    smaller, found = tlt_prune(model, PICTURE, settings(), heads=("last",))
    with torch.no_grad():
        for layer in (model.a, model.b):
            layer.weight[2:] = 0
            layer.bias[2:] = 0
    assert found[0].keep == [0, 1]
    assert torch.allclose(smaller(PICTURE), model(PICTURE), atol=1e-6)


def test_joined_branches_and_what_is_flattened() -> None:
    model = Joined()
    smaller, found = tlt_prune(model, PICTURE, settings(), heads=("last",))
    assert {one.layers[0]: one.keep for one in found} == {"a": [0, 2], "b": [1], "c": [0]}
    assert torch.equal(smaller.c.weight, model.c.weight[:1, [0, 2, 4]])
    assert torch.equal(smaller.last.weight, model.last.weight[:, :64])


@pytest.mark.parametrize(("granularity", "least", "number"), [
    (1, 0, 3), (8, 0, 8), (8, 16, 16), (8, 17, 20), (1, 100, 20)])
def test_granularity_rounds_up_and_few_filters_stay(granularity: int, least: int, number: int) -> None:
    scores = torch.tensor([0.9, 0.8, 0.7] + [0.01] * 17)
    assert len(kept(scores, settings(granularity=granularity, min_filters=least), "a")) == number


def test_equal_to_the_threshold_is_not_above_it() -> None:
    assert kept(torch.tensor([0.5, 0.6]), settings(), "a") == [1]


def test_a_threshold_that_removes_a_layer_names_it() -> None:
    with pytest.raises(UserError, match=r"removes the whole layer a\n.*--pth\n.*best filter has 3\.1"):
        tlt_prune(Chain([4.0, 1.0, 3.0, 0.1]), PICTURE, settings(norm="L2", threshold=9.0), heads=("b",))


def test_excluded_layers_stay_and_unknown_ones_are_told() -> None:
    smaller, found = tlt_prune(Chain([4.0, 0.1]), PICTURE, settings(exclude=["a"]), heads=("b",))
    assert not found and smaller.a.out_channels == 2
    with pytest.raises(UserError, match="no layer is called 'aa'"):
        tlt_prune(Chain([4.0, 0.1]), PICTURE, settings(exclude=["aa"]), heads=("b",))


def test_the_defaults_are_tlts() -> None:
    told = Settings()
    assert (told.norm, told.equalization, told.granularity, told.threshold, told.min_filters) == (
        "max", "union", 8, 0.1, 16)
