"""Pruning by a threshold with the meaning that TLT's `prune` had: for those who bring a habit and a number along."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

import torch
import torch_pruning as tp
from pydantic import Field
from torch import Tensor, nn

from tasks.base.errors import UserError, nearest
from tasks.base.params import Params

Merge = Literal["union", "intersection", "arithmetic_mean", "geometric_mean"]
OUT = (tp.prune_conv_out_channels, tp.prune_depthwise_conv_out_channels, tp.prune_linear_out_channels)
PRUNABLE = (nn.Conv2d, nn.Linear)


class Settings(Params):
    """TLT's options, by its own meaning and defaults.

    Attributes:
        norm: how the L2 norms of a layer's filters are made comparable: `max` divides by the largest, `L2` by the norm
            of them all over their number.
        equalization: how the numbers of tied layers (added to each other, or depthwise behind their producer) become
            one: largest, smallest, arithmetic or geometric mean.
        granularity: the number of filters left is rounded up to a multiple of it.
        threshold: filters above it stay; it is no share, and means another thing in each network.
        min_filters: at least so many stay.
        exclude: patterns of names of layers that stay whole.
    """

    norm: Literal["max", "L2"] = "max"
    equalization: Merge = "union"
    granularity: int = Field(8, ge=1)
    threshold: float = Field(0.1, ge=0)
    min_filters: int = Field(16, ge=0)
    exclude: list[str] = []


@dataclass(frozen=True)
class Decision:
    """What stays of a group of tied layers: `keep` are channels of its first layer."""

    layers: list[str]
    root: nn.Module
    handler: Any
    channels: int
    keep: list[int]


def tlt_prune(model: nn.Module, example: Tensor, settings: Settings, heads: tuple[str, ...] = (),
              **graph: Any) -> tuple[nn.Module, list[Decision]]:
    """A copy of the model without the filters that the threshold does not keep, and what was decided.

    All numbers are taken from the weights as they were, before anything goes; biases do not count.

    Args:
        model: any network of convolutions and linear layers that torch-pruning can trace.
        example: an input.
        heads: names of the layers that make the answers: they stay whole.
        graph: more for torch-pruning's graph (`unwrapped_parameters`: pairs of name and dimension; `output_transform`).

    Raises:
        UserError: the threshold would remove a whole layer, or a pattern matches no layer.
    """
    smaller = copy.deepcopy(model).eval().requires_grad_(True)
    named = [(dict(smaller.named_parameters())[name], dim) for name, dim in graph.pop("unwrapped_parameters", [])]
    traced = tp.DependencyGraph().build_dependency(smaller, example, unwrapped_parameters=named, **graph)
    names = {module: name for name, module in smaller.named_modules()}
    whole = _whole(names, settings.exclude) | set(heads)
    found = []
    for group in traced.get_all_groups(ignored_layers=[], root_module_types=list(PRUNABLE)):
        makers = [(item.dep.target.module, dict(zip(item.root_idxs, item.idxs, strict=True))) for item in group
                  if item.dep.handler in OUT]
        layers = [names[module] for module, _ in makers]
        if whole & set(layers) or not all(_prunable(module, places) for module, places in makers):
            continue
        merged = _merge([_norms(module, places, settings.norm) for module, places in makers], settings.equalization)
        found.append(Decision(layers, group[0].dep.target.module, group[0].dep.handler, len(merged),
                              kept(merged, settings, layers[0])))
    for one in found:
        gone = sorted(set(range(one.channels)) - set(one.keep))
        if gone:
            traced.get_pruning_group(one.root, one.handler, gone).prune()
    return smaller, found


def kept(scores: Tensor, settings: Settings, layer: str) -> list[int]:
    """Channels that stay, by score [n]: those above the threshold, at least `min_filters`, rounded up, the best first.

    Raises:
        UserError: none would stay.
    """
    count = len(scores)
    number = max(int((scores > settings.threshold).sum()), min(settings.min_filters, count))
    number = min(math.ceil(number / settings.granularity) * settings.granularity, count)
    if not number:
        raise UserError(f"the threshold {settings.threshold} removes the whole layer {layer}", where="--pth",
                        mend=f"its best filter has {float(scores.max()):.4g}: --pth below that, or --nf 1 or more")
    order = torch.argsort(scores, descending=True, stable=True)
    return sorted(order[:number].tolist())


def normalised(norms: Tensor, norm: str) -> Tensor:
    """Norms [n] of one layer's filters, divided by the largest, or by their own L2 norm over n."""
    scale = norms.max() if norm == "max" else norms.norm() / len(norms)
    return norms / scale.clamp(min=torch.finfo(norms.dtype).tiny)


def _norms(module: nn.Module, places: dict[int, int], norm: str) -> Tensor:
    weight = module.weight.detach().double()  # type: ignore[operator]
    rows = normalised(weight.flatten(1).norm(dim=1), norm)
    return rows[[places[root] for root in sorted(places)]]


def _merge(norms: list[Tensor], how: Merge) -> Tensor:
    rows = torch.stack(norms)
    merges: dict[str, Callable[[], Tensor]] = {
        "union": lambda: rows.amax(dim=0), "intersection": lambda: rows.amin(dim=0),
        "arithmetic_mean": lambda: rows.mean(dim=0),
        "geometric_mean": lambda: rows.prod(dim=0) ** (1 / len(rows))}
    return merges[how]()


def _prunable(module: nn.Module, places: dict[int, int]) -> bool:
    """Convolutions of several groups stay, other than depthwise ones; so does what torch-pruning cannot follow.

    It loses the places of channels that are concatenated and flattened at once.
    """
    count = module.weight.shape[0]  # type: ignore[union-attr, index]
    grouped = isinstance(module, nn.Conv2d) and module.groups not in (1, module.in_channels)
    return not grouped and sorted(places.values()) == list(range(count))


def _whole(names: dict[nn.Module, str], patterns: list[str]) -> set[str]:
    layers = [name for module, name in names.items() if isinstance(module, PRUNABLE)]
    found: set[str] = set()
    for pattern in patterns:
        matched = {name for name in layers if fnmatchcase(name, pattern)}
        if not matched:
            guess = nearest(pattern, layers)
            raise UserError(f"no layer is called {pattern!r}", where=f"--el {pattern}",
                            mend=f"did you mean {guess!r}?" if guess else f"layers: {', '.join(layers[:6])} …")
        found |= matched
    return found
