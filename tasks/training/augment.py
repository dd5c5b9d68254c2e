"""Augmentation as a pure function of seed, epoch and picture: a resumed training draws what an undisturbed one drew."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tasks.models.fcos import Target
from tasks.runtime.letterbox import FILL
from tasks.training.colour import adjust_colour
from tasks.training.pictures import Pictures
from tasks.training.settings import Augment

VISIBLE = 0.3  # share of a box that must stay in the picture for the box to stay
SMALLEST = 2.0  # shortest side of a box that stays, in input pixels

Window = tuple[float, float, float, float]  # x0, y0, x1, y1


def sample(pictures: Pictures, index: int, epoch: int, seed: int, settings: Augment,
           plain: bool) -> tuple[Tensor, Target]:
    """One training sample: uint8 [3, H, W] and its boxes in input pixels. `plain` leaves out mosaic and zoom."""
    rng = np.random.default_rng([seed, epoch, index])
    height, width = pictures.shape
    if not plain and rng.random() < settings.mosaic:
        image, target = _mosaic(pictures, index, rng, settings)
    else:
        zoom = 1.0 if plain or rng.random() >= settings.crop else _log_uniform(rng, *settings.zoom)
        canvas = torch.full((3, height, width), FILL, dtype=torch.uint8)
        target = _place(canvas, *pictures[index], (0, 0, width, height), zoom, rng)
        image = canvas
    return _flip(_colour(image, rng, settings), target, rng, settings.flip)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _place(canvas: Tensor, picture: Tensor, target: Target, into: tuple[int, int, int, int], zoom: float,
           rng: np.random.Generator) -> Target:
    """Draw a picture, fitted and zoomed at a random place, into a rectangle of the canvas; the boxes that stay."""
    left, top, right, bottom = into
    room_w, room_h = right - left, bottom - top
    height, width = picture.shape[1:]
    scale = min(room_w / width, room_h / height) * zoom
    # offset of the scaled picture in the rectangle: negative cuts, positive pads
    x = _offset(rng, room_w - width * scale, zoom)
    y = _offset(rng, room_h - height * scale, zoom)
    x0, y0 = max(0.0, -x / scale), max(0.0, -y / scale)
    x1, y1 = min(float(width), (room_w - x) / scale), min(float(height), (room_h - y) / scale)
    part = picture[:, int(y0): max(int(y0) + 1, round(y1)), int(x0): max(int(x0) + 1, round(x1))]
    put_x, put_y = left + max(0, round(x)), top + max(0, round(y))
    size = (min(bottom - put_y, max(1, round((y1 - y0) * scale))), min(right - put_x, max(1, round((x1 - x0) * scale))))
    canvas[:, put_y: put_y + size[0], put_x: put_x + size[1]] = _resize(part, size)
    factor = torch.tensor([size[1] / part.shape[2], size[0] / part.shape[1]] * 2)
    shift = torch.tensor([put_x, put_y] * 2) - torch.tensor([int(x0), int(y0)] * 2) * factor
    return _clip(Target(target.boxes * factor + shift, target.labels), (left, top, right, bottom))


def _offset(rng: np.random.Generator, slack: float, zoom: float) -> float:
    # the whole picture sits top left, as at prediction; only a zoomed one wanders
    return 0.0 if zoom == 1.0 and slack >= 0 else float(rng.uniform(min(slack, 0), max(slack, 0)))


def _resize(part: Tensor, size: tuple[int, int]) -> Tensor:
    if part.shape[1:] == size:
        return part
    return functional.interpolate(part[None], size=size, mode="bilinear", antialias=True)[0]


def _clip(target: Target, into: tuple[int, int, int, int]) -> Target:
    low, high = torch.tensor([into[0], into[1]] * 2), torch.tensor([into[2], into[3]] * 2)
    boxes = torch.maximum(torch.minimum(target.boxes, high), low)
    sides, before = boxes[:, 2:] - boxes[:, :2], target.boxes[:, 2:] - target.boxes[:, :2]
    stays = (sides.amin(dim=1) >= SMALLEST) & (sides.prod(1) >= VISIBLE * before.prod(1))
    return Target(boxes[stays].float(), target.labels[stays])


def _mosaic(pictures: Pictures, index: int, rng: np.random.Generator, settings: Augment) -> tuple[Tensor, Target]:
    height, width = pictures.shape
    canvas = torch.full((3, height, width), FILL, dtype=torch.uint8)
    x, y = int(width * rng.uniform(0.35, 0.65)), int(height * rng.uniform(0.35, 0.65))
    quarters = [(0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)]
    parts = []
    for which, into in zip([index, *rng.integers(len(pictures), size=3).tolist()], quarters, strict=True):
        # about the scale the picture has on its own: four shrunken ones would teach sizes that never come
        zoom = 2 * _log_uniform(rng, *settings.zoom)
        parts.append(_place(canvas, *pictures[which], into, zoom, rng))
    return canvas, Target(torch.cat([p.boxes for p in parts]), torch.cat([p.labels for p in parts]))


def _colour(image: Tensor, rng: np.random.Generator, settings: Augment) -> Tensor:
    changes = settings.brightness, settings.contrast, settings.saturation
    drawn = [float(rng.uniform(1 - change, 1 + change)) for change in changes]
    brightness, contrast, saturation = (factor if change else None
                                        for factor, change in zip(drawn, changes, strict=True))
    return adjust_colour(image, brightness, contrast, saturation)


def _flip(image: Tensor, target: Target, rng: np.random.Generator, how: str) -> tuple[Tensor, Target]:
    across, down = rng.random(2) < 0.5
    boxes, (height, width) = target.boxes, image.shape[1:]
    if across and how != "none":
        image = image.flip(2)
        boxes = torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], dim=1)
    if down and how == "both":
        image = image.flip(1)
        boxes = torch.stack([boxes[:, 0], height - boxes[:, 3], boxes[:, 2], height - boxes[:, 1]], dim=1)
    return image, Target(boxes, target.labels)
