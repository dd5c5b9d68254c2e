"""What a network is made of, as data: the part of `params.yaml` that a preset of `conf/model/` fills."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tasks.base.params import Params


class DetectorPreset(Params):
    """A one-stage detector: backbone, feature pyramid, head.

    Attributes:
        backbone: a timm name whose features come at strides 8, 16 and 32.
        levels: pyramid levels from P3 (stride 8) up: 3 is P3 to P5, each one more adds a strided convolution.
        fpn_channels: channels of the pyramid and of the head.
        head_convs: 3×3 convolutions in each of the two towers.
        head_norm: `batch` folds into the convolution at export; its statistics are taken over all levels at once.
        image_size: longer side of the network's input, in pixels.
        aspect: height / width of the input; `auto` takes the median of the training pictures.
    """

    architecture: Literal["fcos"] = "fcos"
    backbone: Literal["efficientnet_lite0", "resnet18"] = "efficientnet_lite0"
    levels: int = Field(4, ge=3, le=5)
    fpn_channels: int = Field(64, ge=32, multiple_of=32)
    head_convs: int = Field(2, ge=1, le=8)
    head_norm: Literal["group", "batch"] = "batch"
    image_size: int = Field(320, ge=64, le=2048)
    aspect: Literal["auto"] | Annotated[float, Field(gt=0.05, lt=20)] = "auto"


def input_shape(preset: DetectorPreset, aspects: list[float]) -> tuple[int, int]:
    """Height and width of the network's input, multiples of 16, for pictures of the given height / width."""
    ratio = float(preset.aspect) if preset.aspect != "auto" else sorted(aspects)[len(aspects) // 2] if aspects else 1.0
    height, width = (preset.image_size * ratio, preset.image_size) if ratio <= 1 else (
        preset.image_size, preset.image_size / ratio)
    return _round16(height), _round16(width)


def _round16(side: float) -> int:
    return max(32, round(side / 16) * 16)
