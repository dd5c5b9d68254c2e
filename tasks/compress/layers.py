"""Pruning as seen layer by layer, and how fast its points are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tasks.compress.frontier import Point
from tasks.compress.pruning import layer_macs
from tasks.metrics.latency import in_turns, summary, timed
from tasks.models.fcos import FCOS
from tasks.models.store import load_model

ROUNDS = 8


def layer_table(before: Path, after: Path) -> list[dict[str, Any]]:
    """Channels, parameters and MACs of every convolution in two model folders, in the network's order."""
    (old, told), (new, _) = load_model(before), load_model(after)
    costs = [layer_macs(model, told.height, told.width) for model in (old, new)]
    small = dict(new.named_modules())
    found = []
    for name, layer in old.named_modules():
        other = small.get(name)
        if isinstance(layer, nn.Conv2d) and isinstance(other, nn.Conv2d):
            found.append({"layer": name, "channels": [layer.out_channels, other.out_channels],
                          "parameters": [layer.weight.numel(), other.weight.numel()],
                          "macs": [cost.get(name, 0) for cost in costs]})
    return found


def timed_points(points: list[Point]) -> list[float]:
    """Median latency of each point in torch at batch 1 in milliseconds, taken in turns."""
    calls = {str(at): timed(_call(point)) for at, point in enumerate(points)}
    times = in_turns(calls, ROUNDS)
    return [summary(times[str(at)])["median_ms"] for at in range(len(points))]


def _call(point: Point) -> Callable[[], Any]:
    model, told = load_model(point.folder)
    model.to(memory_format=torch.channels_last)
    picture = torch.zeros(1, 3, told.height, told.width, dtype=torch.uint8)

    @torch.inference_mode()
    def ask(network: FCOS = model) -> Any:
        return network(picture)

    return ask
