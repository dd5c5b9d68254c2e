"""Structured pruning: whole channels go, from backbone, pyramid and head together, until given limits are met."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

import torch
import torch_pruning as tp
from torch import nn

from tasks.base.errors import GateRefused, ParamsError, nearest
from tasks.compress.importance import Gradients, Importance, lend, measure
from tasks.models.fcos import FCOS

ROUND = 16  # convolutions of other widths run no faster in ONNX Runtime and TensorRT
LARGEST = 0.85  # share of a layer's channels that may go: an emptied layer cuts the network in two
TRIALS = 9  # halvings of the interval; steps of 16 channels are coarser than that
HARDEST = {"layer": 4.0, "global": LARGEST}  # end of the interval: every layer at LARGEST


@dataclass(frozen=True)
class How:
    """How channels are chosen.

    Attributes:
        importance: what they are ranked by.
        scope: `layer` ranks within a layer, and how many go grows with the fourth root of the layer's parameters:
            early layers hold few, and what they lose no later layer can see. `global` ranks all against all.
        round_to: every pruned width is a multiple of it, 8 or 16.
        exclude: patterns of layer names that keep their outputs.
    """

    importance: Importance = "magnitude-l2"
    scope: Literal["layer", "global"] = "layer"
    round_to: int = ROUND
    exclude: tuple[str, ...] = ()


def parameters(model: nn.Module) -> int:
    """Number of weights."""
    return sum(weight.numel() for weight in model.parameters())


def macs(model: FCOS, height: int, width: int) -> int:
    """Multiply-accumulates of convolutions and linear layers for one picture."""
    return sum(layer_macs(model, height, width).values())


def layer_macs(model: FCOS, height: int, width: int) -> dict[str, int]:
    """Multiply-accumulates by layer name; a layer that several pyramid levels share counts them all."""
    counts: dict[str, int] = {}

    def count(name: str) -> Callable[[nn.Module, Any, torch.Tensor], None]:
        def add(module: nn.Module, _: Any, output: torch.Tensor) -> None:
            size = output[0].numel() * module.weight[0].numel()  # type: ignore[operator, index]
            counts[name] = counts.get(name, 0) + size
        return add

    hooks = [m.register_forward_hook(count(name)) for name, m in model.named_modules()
             if isinstance(m, nn.Conv2d | nn.Linear)]
    with torch.inference_mode():
        model(torch.zeros(1, 3, height, width, dtype=torch.uint8))
    for hook in hooks:
        hook.remove()
    return counts


def prune_to(model: FCOS, keep: float, height: int, width: int) -> FCOS:
    """A copy of the model with at most the share `keep` (0..1) of its parameters, as near to it as rounding allows.

    Raises:
        GateRefused: rounding and the last layers do not allow so small a share.
    """
    limit = keep * parameters(model)
    return prune_until(model, lambda smaller: parameters(smaller) <= limit, (height, width))


def prune_until(model: FCOS, fits: Callable[[FCOS], bool], shape: tuple[int, int], how: How | None = None,
                known: Gradients | None = None) -> FCOS:
    """A copy of the model that is pruned no harder than `fits` wants it.

    Args:
        model: any state; it stays as it is.
        fits: True for a network that is small enough; a harder pruned one fits too.
        shape: height and width of the input in pixels.
        how: what goes first.
        known: gradients of the loss, for the importance `taylor`.

    Raises:
        GateRefused: the hardest pruning does not fit.
        ParamsError: a pattern of `how.exclude` matches no layer.
    """
    how = how or How()
    kept = protected(model, how.exclude)
    if fits(model):
        return copy.deepcopy(model)
    low, high, best, least = 0.0, HARDEST[how.scope], None, 1.0
    for _ in range(TRIALS):
        middle = (low + high) / 2
        candidate = _pruned(model, middle, shape, how, kept, known)
        least = min(least, parameters(candidate) / parameters(model))
        if fits(candidate):
            best, high = candidate, middle
        else:
            low = middle
    if best is None:
        raise GateRefused("the network cannot be pruned so far", where="params.yaml: prune.budget",
                          mend=f"the smallest share of its parameters that it can keep is {least:.3f}")
    return best


def protected(model: FCOS, patterns: tuple[str, ...]) -> set[str]:
    """Names of the layers whose outputs stay: the last ones of the head, and those that a pattern matches.

    Raises:
        ParamsError: a pattern matches no layer.
    """
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    found = {f"head.{name}" for name in ("classification.cls_logits", "regression.bbox_reg", "regression.bbox_ctrness")}
    for pattern in patterns:
        matched = {name for name in names if fnmatchcase(name, pattern)}
        if not matched:
            guess = nearest(pattern, names)
            raise ParamsError(f"no layer is called {pattern!r}", where="params.yaml: prune.exclude",
                              mend=f"did you mean {guess!r}?" if guess else f"layers: {', '.join(names[:6])} …")
        found |= matched
    return found


def _pruned(model: FCOS, strength: float, shape: tuple[int, int], how: How, kept: set[str],
            known: Gradients | None) -> FCOS:
    smaller = copy.deepcopy(model).eval().requires_grad_(True)
    if how.importance == "taylor":
        lend(smaller, known)
    ignored = [smaller.get_submodule(name) for name in sorted(kept)]
    convs = [m for m in smaller.modules() if isinstance(m, nn.Conv2d) and m not in ignored]
    round_to = math.lcm(how.round_to, *(m.num_groups for m in smaller.modules() if isinstance(m, nn.GroupNorm)))
    most = max(m.weight.numel() for m in convs)
    ratios = {m: _rounded(m.out_channels, min(LARGEST, strength * (m.weight.numel() / most) ** 0.25), round_to)
              for m in convs} if how.scope == "layer" else {}
    pruner = tp.pruner.BasePruner(
        smaller, torch.zeros(1, 3, *shape, dtype=torch.uint8), importance=measure(how.importance),
        global_pruning=how.scope == "global", pruning_ratio=0.0 if how.scope == "layer" else strength,
        pruning_ratio_dict=ratios, max_pruning_ratio=LARGEST, round_to=round_to, ignored_layers=ignored,
        unwrapped_parameters=[(smaller.head.scales, 0)],
        output_transform=lambda out: out[0].sum() + out[1].sum(),
    )
    pruner.step()
    smaller.zero_grad(set_to_none=True)
    return smaller


def _rounded(channels: int, ratio: float, round_to: int = ROUND) -> float:
    """The ratio that leaves the next larger multiple: torch-pruning rounds down, 40 channels at 0.33 to 16."""
    left = math.ceil(channels * (1 - ratio) / round_to) * round_to
    return max(0.0, 1 - left / channels)
