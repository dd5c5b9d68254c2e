"""Which cell of which level answers for which box: FCOS's rules (arXiv:1904.01355, 3.2, and centre sampling)."""

from __future__ import annotations

import torch
from torch import Tensor

RADIUS = 1.5  # strides around a box's centre whose cells may answer for it
INFINITE = 1e8


def grid(height: int, width: int, strides: list[int]) -> tuple[Tensor, Tensor]:
    """Cell centres [A, 2] (x, y in input pixels) and strides [A] of all levels, level by level, row by row."""
    centres, steps = [], []
    for stride in strides:
        rows, columns = -(-height // stride), -(-width // stride)
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        centres.append((torch.stack([x, y], dim=-1).reshape(-1, 2) + 0.5) * stride)
        steps.append(torch.full((rows * columns,), float(stride)))
    return torch.cat(centres), torch.cat(steps)


def level_ranges(steps: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest distance to a side that a cell may answer for, pixels: 4 to 8 strides, open at both ends."""
    low = torch.where(steps == steps.min(), torch.zeros_like(steps), steps * 4)
    high = torch.where(steps == steps.max(), torch.full_like(steps, INFINITE), steps * 8)
    return low, high


def assign(centres: Tensor, steps: Tensor, boxes: Tensor) -> Tensor:
    """The index of the box each cell answers for, or -1: int64 [A].

    Args:
        centres: [A, 2] in pixels.
        steps: [A] strides.
        boxes: [G, 4] xyxy in pixels.
    """
    if not len(boxes):
        return torch.full((len(centres),), -1, dtype=torch.int64)
    sides = torch.cat([centres[:, None] - boxes[None, :, :2], boxes[None, :, 2:] - centres[:, None]], dim=2)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    near = (centres[:, None] - middle[None]).abs().amax(dim=2) < RADIUS * steps[:, None]
    low, high = level_ranges(steps)
    longest = sides.amax(dim=2)
    fits = (sides.amin(dim=2) > 0) & near & (longest >= low[:, None]) & (longest < high[:, None])
    area = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    smallest, index = torch.where(fits, area[None], INFINITE).min(dim=1)
    return torch.where(smallest < INFINITE, index, -1)


def centreness(distances: Tensor) -> Tensor:
    """How central a cell is in its box, 0 to 1: equation 3 of the paper.

    Args:
        distances: [..., 4] to the left, top, right and bottom side.
    """
    x, y = distances[..., 0::2], distances[..., 1::2]
    ratio = (x.amin(-1) / x.amax(-1).clamp(min=1e-6)) * (y.amin(-1) / y.amax(-1).clamp(min=1e-6))
    return ratio.clamp(min=0).sqrt()
