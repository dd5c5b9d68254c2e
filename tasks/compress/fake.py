"""Convolutions that compute in torch as if they were 8-bit, and can learn so: straight-through estimation.

Rounding has a gradient of one inside the range and none outside (Jacob et al., arXiv:1712.05877).
"""

from __future__ import annotations

import copy
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from tasks.models.fcos import FCOS

# what decodes reads them: their output is 8-bit too in ONNX Runtime's files
LAST = ("head.classification.cls_logits", "head.regression.bbox_reg", "head.regression.bbox_ctrness")


class FakeConv(nn.Conv2d):
    """A convolution whose weights (per channel, symmetric) and input (per tensor) are rounded to 8 bits.

    A plain convolution becomes one by a change of its class, so names of weights stay and what was learnt loads into
    the plain network. Batch norms behind it change nothing: a scale per channel commutes with rounding per channel.

    Attributes:
        on: rounds; off, it is the plain convolution.
        reads, writes: range of input and output, float32 [2]; no numbers: not rounded.
        symmetric: the range is around 0, as in TensorRT.
        watches: widens the ranges to what it sees instead of rounding.
    """

    on: bool
    symmetric: bool
    watches: bool
    last: bool
    reads: Tensor
    writes: Tensor

    def forward(self, input: Tensor) -> Tensor:
        if self.watches:
            output = super().forward(input)
            self.reads = _wider(self.reads, input)
            self.writes = _wider(self.writes, output) if self.last else self.writes
            return output
        if not self.on:
            return super().forward(input)
        output = self._conv_forward(_rounded(input, self.reads, self.symmetric), self._weight(), self.bias)
        return _rounded(output, self.writes, self.symmetric)

    def _weight(self) -> Tensor:
        weight = self.weight.float()
        scale = weight.detach().abs().amax(dim=(1, 2, 3)).clamp(min=1e-8) / 127
        zeros = torch.zeros(len(scale), dtype=torch.int32)
        return cast(Tensor, torch.fake_quantize_per_channel_affine(weight, scale, zeros, 0, -127, 127))


def fake_copy(model: FCOS, symmetric: bool) -> FCOS:
    """A copy of the network in which every convolution is a `FakeConv` that is switched off.

    Args:
        symmetric: as TensorRT rounds; ONNX Runtime and OpenVINO have a zero point, and round what the last layers say.
    """
    made = copy.deepcopy(model)
    for name, module in made.named_modules():
        if type(module) is nn.Conv2d:
            module.__class__ = FakeConv
            fake = cast(FakeConv, module)
            fake.on, fake.watches, fake.symmetric = False, False, symmetric
            fake.last = not symmetric and name in LAST
            for key in ("reads", "writes"):  # not saved: they are seen anew each time
                fake.register_buffer(key, torch.zeros(0), persistent=False)
    return made


def convolutions(model: nn.Module) -> dict[str, FakeConv]:
    """Every `FakeConv` by the name of its module, which is also its layer's name in the ONNX file."""
    return {name: module for name, module in model.named_modules() if isinstance(module, FakeConv)}


@torch.no_grad()
def watch(model: FCOS, images: list[np.ndarray]) -> None:
    """Find every range on network inputs uint8 [1, 3, H, W]."""
    model.eval()
    for module in convolutions(model).values():
        module.watches = True
    for image in images:
        model(torch.from_numpy(image))
    for module in convolutions(model).values():
        module.watches = False


def switch(model: FCOS, names: Any) -> None:
    """Round in the layers of these names and in no other."""
    for name, module in convolutions(model).items():
        module.on = name in names


def _wider(known: Tensor, seen: Tensor) -> Tensor:
    low, high = torch.aminmax(seen.detach().float())
    now = torch.stack([low.clamp(max=0), high.clamp(min=0)])
    return now if not len(known) else torch.stack([torch.minimum(known[0], now[0]), torch.maximum(known[1], now[1])])


def _rounded(values: Tensor, limits: Tensor, symmetric: bool) -> Tensor:
    if not len(limits):
        return values
    low, high = limits.tolist()
    if symmetric:
        scale, zero, least, most = max(-low, high, 1e-8) / 127, 0, -128, 127
    else:
        scale = max(high - low, 1e-8) / 255
        zero, least, most = min(255, max(0, round(-low / scale))), 0, 255
    return cast(Tensor, torch.fake_quantize_per_tensor_affine(values.float(), scale, zero, least, most))
