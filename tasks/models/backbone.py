"""A timm backbone as a feature extractor whose first stages can be held still."""

from __future__ import annotations

from typing import Any

import timm
from torch import Tensor, nn

# what stands before the first downsampled stage, then stage by stage; named as in timm
STAGES = {
    "efficientnet_lite0": (("conv_stem", "bn1"), ("blocks.0",), ("blocks.1",), ("blocks.2",)),
    "resnet18": (("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",)),
}


class Backbone(nn.Module):
    """Features at strides 8, 16 and 32.

    Args:
        name: a key of `STAGES`.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        body: Any = timm.create_model(name, features_only=True, out_indices=(2, 3, 4))
        self.body = body
        self.channels: list[int] = body.feature_info.channels()

    def forward(self, pixels: Tensor) -> list[Tensor]:
        return self.body(pixels)

    def first_stages(self, count: int) -> list[nn.Module]:
        """The modules of the first `count` stages, the stem being the first."""
        return [self.body.get_submodule(part) for stage in STAGES[self.name][:count] for part in stage]

    def keep_frozen(self) -> None:
        """Put what does not learn back into evaluation, so that its batch statistics stay as they are."""
        for module in self.modules():
            weights = list(module.parameters())
            if weights and not any(w.requires_grad for w in weights):
                module.eval()

