"""What a training has reached, on disk: a killed one goes on from there and ends as if nothing had happened."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class State:
    """Everything the next epoch depends on.

    Attributes:
        epoch: epochs done.
        model, averaged, best: weights as they are, their running mean, and the mean of the best epoch so far.
        optimizer: its state.
        best_ap: validation AP of `best`, -1 before the first validation.
        history: one entry an epoch.
    """

    epoch: int = 0
    model: dict[str, Tensor] = field(default_factory=dict)
    averaged: dict[str, Tensor] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    random: Tensor | None = None
    best_ap: float = -1.0
    best_epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


def save_state(path: Path, state: State) -> None:
    """Write a checkpoint beside `path` and rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        torch.save(vars(state), beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def load_state(path: Path) -> State | None:
    """The checkpoint at `path`, or None when there is none."""
    if not path.is_file():
        return None
    return State(**torch.load(path, map_location="cpu", weights_only=True))


class Average:
    """Exponential moving average of a model's weights, warmed up as (1 + n) / (10 + n) over its first updates."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self._model = model.state_dict()  # shares the model's memory

    @torch.no_grad()
    def update(self, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        for key, value in self._model.items():
            mean = self.weights[key]
            if mean.dtype.is_floating_point:
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)

    def restore(self, weights: dict[str, Tensor]) -> None:
        """Go on from the weights of a checkpoint."""
        for key, value in weights.items():
            self.weights[key].copy_(value)
