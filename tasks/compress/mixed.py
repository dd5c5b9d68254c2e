"""Which layers of an INT8 file stay in float: ordered by what each one costs alone, verified by AP on validation."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from tasks.base.errors import ParamsError, nearest
from tasks.compress.fake import convolutions, fake_copy, switch, watch
from tasks.models.fcos import FCOS

PICTURES = 8  # of the calibration, that order the layers
MOST = 0.5  # share of the layers that may stay in float: with more it is no INT8 file


@dataclass
class Search:
    """What a search for float layers found.

    Attributes:
        layers: those that stay in float in the best file, worst first.
        loss: validation AP that this file loses against torch, 0..1.
        hurt: what each layer costs alone, worst first; empty when nothing had to be searched.
        tried: every file that was measured: how many layers were in float, and its loss.
    """

    layers: list[str]
    loss: float
    hurt: dict[str, float] = field(default_factory=dict)
    tried: list[tuple[int, float]] = field(default_factory=list)


def hurt_of(model: FCOS, images: Sequence[np.ndarray], symmetric: bool) -> dict[str, float]:
    """Noise that rounding one layer alone to 8 bits puts into the answers, worst layer first.

    Noise is the mean difference of scores plus that of box sides in shares of the box, both weighed by score, so that
    only what is seen counts. It orders layers; how much AP one costs is for a measurement to say.

    Args:
        images: network inputs uint8 [1, 3, H, W].
        symmetric: as TensorRT rounds.
    """
    fake = fake_copy(model, symmetric)
    some = list(images)[:PICTURES]
    watch(fake, some)
    batch = torch.from_numpy(np.concatenate(some))
    with torch.no_grad():
        whole = fake(batch)
        found = {}
        for name in convolutions(fake):
            switch(fake, {name})
            found[name] = _noise(whole, fake(batch))
    return dict(sorted(found.items(), key=lambda entry: (-entry[1], entry[0])))


def _noise(want: tuple[Tensor, Tensor], got: tuple[Tensor, Tensor]) -> float:
    (boxes, scores), (own_boxes, own_scores) = want, got
    weight = scores.amax(dim=2) ** 2
    total = weight.sum().clamp(min=1e-6)
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1).mean(dim=2)
    moved = (own_boxes - boxes).abs().mean(dim=2) / sides
    changed = (own_scores - scores).abs().amax(dim=2) / scores.amax(dim=2).clamp(min=1e-6)
    noise = float((weight * (moved + changed)).sum() / total)
    return noise if np.isfinite(noise) else float("inf")


def search(loss_of: Callable[[list[str]], float], order: Callable[[], dict[str, float]], allowed: float) -> Search:
    """The fewest layers, worst first, that have to stay in float for a loss of at most `allowed`.

    One, two, four … layers are tried until the loss is small enough, then the numbers between. Where even half of them
    does not suffice, the best that was seen is the answer.

    Args:
        loss_of: writes the file with these layers in float, and measures the validation AP it loses.
        order: gives the layers, worst first; asked only when all in INT8 lose too much.
    """
    found = Search([], loss_of([]))
    found.tried.append((0, found.loss))
    if found.loss <= allowed:
        return found
    found.hurt = order()
    names = list(found.hurt)
    most = int(len(names) * MOST)
    losses = {0: found.loss}

    def enough(count: int) -> bool:
        if count not in losses:
            losses[count] = loss_of(names[:count])
            found.tried.append((count, losses[count]))
        return losses[count] <= allowed

    low, high = 0, 1
    while high < most and not enough(high):
        low, high = high, min(2 * high, most)
    if enough(high):
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if enough(middle) else (middle, high)
        best = high
    else:
        best = min(losses, key=lambda count: (losses[count], count))
    found.layers, found.loss = names[:best], losses[best]
    return found


def matching(patterns: Sequence[str], layers: Sequence[str]) -> list[str]:
    """The layers that patterns such as `head.*` name, in the graph's order.

    Raises:
        ParamsError: a pattern names no layer.
    """
    for pattern in patterns:
        if not fnmatch.filter(layers, pattern):
            guess = nearest(pattern, layers)
            raise ParamsError(f"no layer is called {pattern!r}", where="params.yaml: export.int8.float_layers",
                              mend=f"did you mean {guess!r}?" if guess else f"for instance {', '.join(layers[:3])}")
    return [name for name in layers if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
