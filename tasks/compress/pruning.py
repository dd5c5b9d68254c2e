"""Structured pruning: whole channels go, from backbone, pyramid and head together, down to a share of parameters."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
import torch_pruning as tp
from torch import nn

from tasks.base.errors import UserError
from tasks.models.fcos import FCOS

ROUND = 16  # convolutions of other widths run no faster in ONNX Runtime and TensorRT
LARGEST = 0.85  # share of a layer's channels that may go: an emptied layer cuts the network in two
TRIALS = 9  # halvings of the interval; steps of 16 channels are coarser than that


def parameters(model: nn.Module) -> int:
    """Number of weights."""
    return sum(weight.numel() for weight in model.parameters())


def macs(model: FCOS, height: int, width: int) -> int:
    """Multiply-accumulates of convolutions and linear layers for one picture."""
    count = 0

    def add(module: nn.Module, _: Any, output: torch.Tensor) -> None:
        nonlocal count
        count += output[0].numel() * module.weight[0].numel()  # type: ignore[operator, index]

    hooks = [m.register_forward_hook(add) for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with torch.inference_mode():
        model(torch.zeros(1, 3, height, width, dtype=torch.uint8))
    for hook in hooks:
        hook.remove()
    return count


def prune_to(model: FCOS, keep: float, height: int, width: int) -> FCOS:
    """A copy of the model with at most the share `keep` of its parameters, as near to it as rounding allows.

    Within a layer, channels go by the L2 norm of their group (Fang et al., DepGraph, CVPR 2023). How many go grows with
    the fourth root of the layer's parameters: early layers hold few, and what they lose no later layer can see. Every
    pruned width is a multiple of 16.

    Args:
        keep: share of the parameters to keep, 0..1.

    Raises:
        UserError: rounding and the last layers do not allow so small a share.
    """
    limit = keep * parameters(model)
    low, high, best, least = 0.0, 4.0, None, 1.0
    for _ in range(TRIALS):
        middle = (low + high) / 2
        candidate = _pruned(model, middle, height, width)
        least = min(least, parameters(candidate) / parameters(model))
        if parameters(candidate) <= limit:
            best, high = candidate, middle
        else:
            low = middle
    if best is None:
        raise UserError(f"cannot keep as little as {keep:.3f} of the parameters", where="params.yaml: prune.keep",
                        mend=f"the smallest share of this network is {least:.3f}")
    return best


def _pruned(model: FCOS, ratio: float, height: int, width: int) -> FCOS:
    smaller = copy.deepcopy(model).eval().requires_grad_(True)
    example = torch.zeros(1, 3, height, width, dtype=torch.uint8)
    head = smaller.head
    last = [head.classification.cls_logits, head.regression.bbox_reg, head.regression.bbox_ctrness]
    convs = [m for m in smaller.modules() if isinstance(m, nn.Conv2d) and m not in last]
    most = max(m.weight.numel() for m in convs)
    ratios = {m: _rounded(m.out_channels, min(LARGEST, ratio * (m.weight.numel() / most) ** 0.25)) for m in convs}
    pruner = tp.pruner.BasePruner(
        smaller, example, importance=tp.importance.GroupMagnitudeImportance(p=2),
        global_pruning=False, pruning_ratio=0.0, pruning_ratio_dict=ratios, max_pruning_ratio=LARGEST, round_to=ROUND,
        ignored_layers=last,
        unwrapped_parameters=[(head.scales, 0)],
        output_transform=lambda out: out[0].sum() + out[1].sum(),
    )
    pruner.step()
    return smaller


def _rounded(channels: int, ratio: float) -> float:
    """The ratio that leaves the next larger multiple of 16: torch-pruning rounds down, 40 channels at 0.33 to 16."""
    left = math.ceil(channels * (1 - ratio) / ROUND) * ROUND
    return max(0.0, 1 - left / channels)
