"""The channels of a pruned network as data, so that it is rebuilt without a pickle."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

Plan = dict[str, dict[str, Any]]

# what says a layer's shape, by kind; timm's BatchNormAct2d is a BatchNorm2d
SHAPES: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Conv2d: ("in_channels", "out_channels", "groups"),
    nn.BatchNorm2d: ("num_features",),
    nn.GroupNorm: ("num_channels", "num_groups"),
    nn.Linear: ("in_features", "out_features"),
}


def _attributes(module: nn.Module) -> tuple[str, ...]:
    return next((names for kind, names in SHAPES.items() if isinstance(module, kind)), ())


def read_plan(model: nn.Module) -> Plan:
    """Shape of every layer that pruning can change, by module name."""
    named = ((name, module, _attributes(module)) for name, module in model.named_modules())
    return {name: {key: getattr(module, key) for key in keys} for name, module, keys in named if keys}


def apply_plan(model: nn.Module, plan: Plan) -> None:
    """Give every layer the shape that the plan says; weights are then to be loaded.

    Raises:
        KeyError: the plan belongs to another architecture.
    """
    for name, module in model.named_modules():
        keys = _attributes(module)
        if not keys:
            continue
        for key in keys:
            setattr(module, key, plan[name][key])
        _resize(module)


def _resize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        size = (module.out_channels, module.in_channels // module.groups, *module.kernel_size)
        module.weight = nn.Parameter(torch.zeros(size))
        if module.bias is not None:
            module.bias = nn.Parameter(torch.zeros(module.out_channels))
        return
    if isinstance(module, nn.Linear):
        module.weight = nn.Parameter(torch.zeros(module.out_features, module.in_features))
        if module.bias is not None:
            module.bias = nn.Parameter(torch.zeros(module.out_features))
        return
    channels = int(module.num_features if isinstance(module, nn.BatchNorm2d) else module.num_channels)  # type: ignore
    if module.weight is not None:
        module.weight, module.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
    if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
        module.running_mean, module.running_var = torch.zeros(channels), torch.ones(channels)
