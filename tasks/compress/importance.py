"""What a channel is worth: the measures that pruning ranks channels by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
import torch_pruning as tp
from torch import Tensor, nn

from tasks.base.errors import UserError
from tasks.models.fcos import FCOS, Target

Importance = Literal["magnitude-l1", "magnitude-l2", "batchnorm", "taylor", "lamp"]
Gradients = dict[str, Tensor]


def measure(importance: Importance) -> Any:
    """A function of one group of tied layers to one number a channel.

    - magnitude-l1, magnitude-l2: norm of the channel's weights over its group (Fang et al., DepGraph, CVPR 2023).
    - batchnorm: size of the scales of its batch norms (Liu et al., Network Slimming, ICCV 2017); says something after
      a training with `train.sparsity`.
    - taylor: |weight × gradient|, the first-order change of the loss (Molchanov et al., CVPR 2019).
    - lamp: magnitude over that of all larger channels of the layer (Lee et al., ICLR 2021): comparable between layers.
    """
    makers = {
        "magnitude-l1": lambda: tp.importance.GroupMagnitudeImportance(p=1),
        "magnitude-l2": lambda: tp.importance.GroupMagnitudeImportance(p=2),
        "batchnorm": tp.importance.BNScaleImportance,
        "taylor": tp.importance.GroupTaylorImportance,
        "lamp": lambda: tp.importance.LAMPImportance(p=2),
    }
    return makers[importance]()


def gradients(model: FCOS, batches: Iterable[tuple[Tensor, list[Target]]]) -> Gradients:
    """Gradients of the loss by parameter name, summed over batches; batch statistics stay as they are.

    Raises:
        UserError: there is no batch.
    """
    model.eval().requires_grad_(True)
    model.zero_grad(set_to_none=True)
    seen = 0
    for images, targets in batches:
        torch.stack(list(model.loss(images, targets).values())).sum().backward()
        seen += 1
    if not seen:
        raise UserError("no training picture to take gradients from", where="prune.importance: taylor",
                        mend="another prune.importance, or label some pictures")
    found = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def lend(model: nn.Module, known: Gradients | None) -> None:
    """Put gradients on a copy of the network they were taken from."""
    for name, weight in model.named_parameters():
        weight.grad = torch.zeros_like(weight) if known is None or name not in known else known[name]
