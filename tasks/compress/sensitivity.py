"""What each layer costs: a share of its channels is switched off, nothing is trained, and AP is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pyarrow.compute as pc
import torch
import torch_pruning as tp
from pydantic import Field
from torch import nn

from tasks.base.params import Params
from tasks.compress.importance import measure
from tasks.compress.pruning import How, protected
from tasks.data.table import Dataset
from tasks.models.fcos import FCOS


class Sensitivity(Params):
    """The scan before pruning.

    Attributes:
        pictures: validation pictures that AP is measured on; 0: no scan.
        cut: share of a layer's channels that are switched off, the least important ones, 0..1.
        protect: a layer that costs more AP than this keeps all its channels, 0..1; null: the scan only tells.
    """

    pictures: int = Field(0, ge=0)
    cut: float = Field(0.5, gt=0, lt=1)
    protect: float | None = Field(None, ge=0, le=1)


def first(dataset: Dataset, count: int) -> Dataset:
    """The first `count` pictures of a dataset and their labels."""
    images = dataset.images.slice(0, count)
    inside = pc.is_in(dataset.annotations["image_id"], value_set=images["image_id"].combine_chunks())
    return replace(dataset, images=images, annotations=dataset.annotations.filter(inside))


def scan(model: FCOS, judge: Callable[[FCOS], tuple[float, float]], cut: float, shape: tuple[int, int],
         how: How) -> list[dict[str, Any]]:
    """AP that is lost when `cut` of the channels of one group of tied layers are off, worst first.

    A channel is off when its weights, and those of the norm behind it, are 0: what reads it reads nothing, as after
    pruning.

    Returns:
        For each group: layer (name of its first convolution), tied (other layers that lose the same channels),
        channels, off, val_AP, loss (0..1).
    """
    names = {module: name for name, module in model.named_modules()}
    model.eval().requires_grad_(True)
    whole = judge(model)[0]
    graph = tp.DependencyGraph().build_dependency(
        model, torch.zeros(1, 3, *shape, dtype=torch.uint8), unwrapped_parameters=[(model.head.scales, 0)],
        output_transform=lambda out: out[0].sum() + out[1].sum())
    kept = {model.get_submodule(name) for name in protected(model, how.exclude)}
    worth = measure("magnitude-l2" if how.importance == "taylor" else how.importance)
    found = []
    for group in graph.get_all_groups(ignored_layers=list(kept), root_module_types=[nn.Conv2d]):
        makers = _makers(group)
        if kept & {module for module, _ in makers}:
            continue
        scores = worth(group)
        off = torch.argsort(scores, stable=True)[: int(len(scores) * cut)].tolist()
        with _off(makers, set(off)):
            ap = judge(model)[0]
        layers = [names[m] for m, _ in makers if isinstance(m, nn.Conv2d)]
        found.append({"layer": layers[0], "tied": layers[1:], "channels": len(scores), "off": len(off), "val_AP": ap,
                      "loss": whole - ap})
    return sorted(found, key=lambda one: (-one["loss"], one["layer"]))


def _makers(group: Any) -> list[tuple[nn.Module, dict[int, int]]]:
    """Modules of a group that make its channels, with the place of each of the group's channels in them."""
    handlers = (tp.prune_conv_out_channels, tp.prune_depthwise_conv_out_channels, tp.prune_batchnorm_out_channels,
                tp.prune_groupnorm_out_channels)
    return [(item.dep.target.module, dict(zip(item.root_idxs, item.idxs, strict=True))) for item in group
            if item.dep.handler in handlers]


@contextmanager
def _off(makers: list[tuple[nn.Module, dict[int, int]]], channels: set[int]) -> Iterator[None]:
    kept = []
    with torch.no_grad():
        for module, places in makers:
            rows = [place for root, place in places.items() if root in channels]
            for weight in (module.weight, module.bias):
                if isinstance(weight, torch.Tensor):
                    kept.append((weight, weight.clone()))
                    weight[rows] = 0
        try:
            yield
        finally:
            for weight, before in reversed(kept):
                weight.copy_(before)
