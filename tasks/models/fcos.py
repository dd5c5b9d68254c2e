"""FCOS (arXiv:1904.01355) on a timm backbone with torchvision's feature pyramid."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import FeaturePyramidNetwork, generalized_box_iou_loss, sigmoid_focal_loss

from tasks.models.assign import assign, centreness, grid
from tasks.models.backbone import Backbone
from tasks.models.head import FCOSHead
from tasks.models.preset import DetectorPreset

# One mean and scale for all channels, an integer and a power of two: a quantised file then reads the picture's bytes as
# they are, as numbers with this zero point and scale. Backbones trained with others are adapted when they are loaded.
ZERO_POINT, SCALE = 127, 128
SEEN = 0.1  # score from which a teacher's box is imitated


class Target(NamedTuple):
    """What a picture shows: boxes float32 [G, 4] xyxy in input pixels, labels int64 [G]."""

    boxes: Tensor
    labels: Tensor


class FCOS(nn.Module):
    """A detector of fixed input shape; normalisation and decoding are part of it.

    Args:
        preset: the parts and their sizes.
        classes: number of classes K, at least 1.
        height, width: input shape in pixels, multiples of 16.
    """

    centres: Tensor
    steps: Tensor

    def __init__(self, preset: DetectorPreset, classes: int, height: int, width: int) -> None:
        super().__init__()
        self.backbone = Backbone(preset.backbone)
        self.fpn = FeaturePyramidNetwork(self.backbone.channels, preset.fpn_channels)
        extra = preset.levels - 3
        self.extra = nn.ModuleList(
            nn.Conv2d(preset.fpn_channels, preset.fpn_channels, 3, stride=2, padding=1) for _ in range(extra))
        self.head = FCOSHead(preset.fpn_channels, classes, preset.head_convs, preset.head_norm, preset.levels)
        centres, steps = grid(height, width, [8 * 2**i for i in range(preset.levels)])
        self.register_buffer("centres", centres, persistent=False)
        self.register_buffer("steps", steps, persistent=False)

    def _levels(self, images: Tensor) -> list[Tensor]:
        pixels = (images.float() - ZERO_POINT) / SCALE
        if not torch.onnx.is_in_onnx_export():
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        features = self.backbone(pixels)
        levels = list(self.fpn(OrderedDict((str(i), x) for i, x in enumerate(features))).values())
        for conv in self.extra:
            levels.append(conv(functional.relu(levels[-1])))
        return levels

    def _boxes(self, distances: Tensor) -> Tensor:
        pixels = distances * self.steps[:, None]
        return torch.cat([self.centres - pixels[..., :2], self.centres + pixels[..., 2:]], dim=-1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Raw candidates of pictures uint8 [N, 3, H, W] (RGB).

        Returns:
            boxes float32 [N, A, 4] xyxy in input pixels, and scores float32 [N, A, K] in 0..1: the geometric mean of
            class probability and predicted overlap.
        """
        logits, distances, quality = self.head(self._levels(images))
        scores = (logits.float().sigmoid() * quality.float().sigmoid().unsqueeze(-1)).sqrt()
        return self._boxes(distances), scores

    def loss(self, images: Tensor, targets: list[Target], teacher: FCOS | None = None) -> dict[str, Tensor]:
        """The three losses of the paper, each divided by what answers for a box.

        The third output learns the overlap (IoU) of its box instead of the paper's centre-ness, as in IoU-aware
        detectors (arXiv:1912.05992): on blood cells one point of AP more. Centre-ness weighs the box loss.

        Args:
            images: uint8 [N, 3, H, W], RGB.
            targets: N of them.
            teacher: a network of the same input shape and classes, whose answers are a fourth loss.
        """
        logits, distances, quality = self.head(self._levels(images))
        logits, quality = logits.float(), quality.float()
        matched = [assign(self.centres, self.steps, t.boxes) for t in targets]
        found = torch.stack(matched) >= 0
        wanted = torch.zeros_like(logits)
        pictures, cells = found.nonzero(as_tuple=True)
        pairs = [(t.boxes[m[m >= 0]], t.labels[m[m >= 0]]) for t, m in zip(targets, matched, strict=True)]
        boxes, labels = torch.cat([b for b, _ in pairs]), torch.cat([k for _, k in pairs])
        wanted[pictures, cells, labels] = 1.0
        sides = torch.cat([self.centres[cells] - boxes[:, :2], boxes[:, 2:] - self.centres[cells]], dim=1)
        central = centreness(sides)
        guessed = self._boxes(distances)[found]
        misfit = generalized_box_iou_loss(guessed, boxes)
        hit = iou_of(guessed.detach(), boxes)
        taught = {} if teacher is None else {"imitation": self._imitation(teacher, images, logits, distances, quality)}
        return {
            **taught,
            "classification": sigmoid_focal_loss(logits, wanted, reduction="sum") / max(1, len(cells)),
            "box": (misfit * central).sum() / central.sum().clamp(min=1e-6),
            "overlap": functional.binary_cross_entropy_with_logits(quality[found], hit, reduction="sum")
            / max(1, len(cells)),
        }

    def _imitation(self, teacher: FCOS, images: Tensor, logits: Tensor, distances: Tensor, quality: Tensor) -> Tensor:
        """How far the answers are from the teacher's, over what the teacher sees.

        Classes and quality by quality focal loss (arXiv:2006.04388) towards the teacher's probabilities, boxes by GIoU
        weighed with its scores, as in localisation distillation (arXiv:2102.12252).
        """
        with torch.no_grad():
            their_logits, their_distances, their_quality = teacher.head(teacher._levels(images))
            wanted, fits = their_logits.float().sigmoid(), their_quality.float().sigmoid()
            weight = (wanted.amax(dim=2) * fits).sqrt()
            seen = weight > SEEN
        total = weight[seen].sum().clamp(min=1.0)
        gap = (logits.sigmoid() - wanted).abs().detach()
        classes = functional.binary_cross_entropy_with_logits(logits, wanted, gap**2, reduction="sum")
        boxes = generalized_box_iou_loss(self._boxes(distances)[seen], self._boxes(their_distances)[seen])
        good = functional.binary_cross_entropy_with_logits(quality[seen], fits[seen], weight[seen], reduction="sum")
        return (classes + (boxes * weight[seen]).sum() + good) / total


def iou_of(a: Tensor, b: Tensor) -> Tensor:
    """Overlap of paired boxes [n, 4] xyxy, in 0..1."""
    inner = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    return inner / ((a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - inner).clamp(min=1e-6)
