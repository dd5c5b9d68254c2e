"""FCOS's two towers (arXiv:1904.01355) on torchvision's heads, with batch statistics over all levels at once."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.detection.fcos import FCOSClassificationHead, FCOSRegressionHead


def _norm(kind: str, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.GroupNorm(32, channels)


def tower(conv: nn.Sequential, levels: list[Tensor]) -> list[Tensor]:
    """Run a shared tower over the levels.

    A batch norm that saw one level at a time would train on each level's own statistics and predict with a mixture
    of them; it sees all levels as one long row instead.
    """
    for layer in conv:
        if isinstance(layer, nn.BatchNorm2d) and layer.training:
            flat = torch.cat([x.flatten(2) for x in levels], dim=2).unsqueeze(3)
            parts = layer(flat).squeeze(3).split([x.shape[2] * x.shape[3] for x in levels], dim=2)
            levels = [part.reshape(x.shape) for part, x in zip(parts, levels, strict=True)]
        else:
            levels = [layer(x) for x in levels]
    return levels


def _rows(levels: list[Tensor]) -> Tensor:
    return torch.cat([x.flatten(2).permute(0, 2, 1) for x in levels], dim=1)


class FCOSHead(nn.Module):
    """Class logits, distances to the four sides, and the quality of the box, for every cell of every level."""

    def __init__(self, channels: int, classes: int, convs: int, norm: str, levels: int) -> None:
        super().__init__()
        self.classification = FCOSClassificationHead(
            channels, 1, classes, convs, norm_layer=lambda c: _norm(norm, c))
        self.regression = FCOSRegressionHead(channels, 1, convs, norm_layer=lambda c: _norm(norm, c))
        self.scales = nn.Parameter(torch.ones(levels))

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Pyramid maps [N, C, Hi, Wi] to logits [N, A, K], distances [N, A, 4] (strides) and quality logits [N, A]."""
        classes = tower(self.classification.conv, levels)
        boxes = tower(self.regression.conv, levels)
        logits = _rows([self.classification.cls_logits(x) for x in classes])
        raw = [self.regression.bbox_reg(x) * scale for x, scale in zip(boxes, self.scales, strict=True)]
        # exp as in the paper: torchvision's ReLU leaves a dead side without a gradient
        distances = _rows(raw).float().clamp(max=6.0).exp()
        return logits, distances, _rows([self.regression.bbox_ctrness(x) for x in boxes]).squeeze(2)
