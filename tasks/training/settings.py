"""How to train, as data; `train` and the retraining after pruning share it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from tasks.base.params import Params


class Augment(Params):
    """What is drawn anew for every picture in every epoch.

    Attributes:
        flip: mirror left-right, also top-bottom, or not at all (digits and text must not be mirrored).
        mosaic: share of samples that are put together from four pictures, 0..1.
        zoom: smallest and largest factor on a picture's size; above 1 a part is cut out, below 1 the rest is padded.
        crop: share of samples that are zoomed at all, 0..1; the others are the whole picture.
        brightness, contrast, saturation: largest relative change, 0 for none.
        close: share of the last epochs without mosaic and zoom, so that training ends on pictures as they are.
    """

    flip: Literal["none", "horizontal", "both"] = "horizontal"
    mosaic: float = Field(0.3, ge=0, le=1)
    zoom: tuple[float, float] = (0.7, 1.5)
    crop: float = Field(0.7, ge=0, le=1)
    brightness: float = Field(0.2, ge=0, lt=1)
    contrast: float = Field(0.2, ge=0, lt=1)
    saturation: float = Field(0.2, ge=0, lt=1)
    close: float = Field(0.15, ge=0, le=1)

    @field_validator("zoom")
    @classmethod
    def _zoom_is_a_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1]:
            raise ValueError("two factors above 0, the smaller one first")
        return value


class Training(Params):
    """The settings of one training.

    Attributes:
        epochs: passes over the training split.
        batch_size: pictures a step.
        lr: peak learning rate of AdamW.
        backbone_lr: factor on `lr` for the backbone.
        weight_decay: of AdamW, not applied to biases and norms.
        warmup: steps of linear warm-up; a cosine to 1 % of `lr` follows.
        clip: largest norm of the gradient.
        sparsity: weight of the L1 norm of the batch norms' scales in the loss: unneeded channels fade out, and pruning
            with `importance: batchnorm` finds them (Network Slimming, ICCV 2017: 1e-5 to 1e-4); 0 for none.
        ema: decay of the averaged weights, which are the ones judged and saved.
        freeze: first stages of the backbone that stay as they are (0 to 4); ignored when training from nothing.
        amp: arithmetic of convolutions; bf16 doubles plain ones on a CPU that has it and halves depthwise ones.
        patience: epochs without a better validation AP before training stops; 0 for never.
        validate_every: epochs between two validations.
        seed: fixes initialisation, order and augmentation.
        cache_mb: memory for decoded pictures; changes the speed, never the result.
        disk_mb: disk for decoded pictures, used where `cache_mb` does not hold them all; 0 for none. It is given back
            when the training is done.
    """

    epochs: int = Field(32, ge=1)
    batch_size: int = Field(4, ge=1)
    lr: float = Field(7e-4, gt=0)
    backbone_lr: float = Field(0.5, gt=0, le=1)
    weight_decay: float = Field(0.05, ge=0)
    warmup: int = Field(100, ge=0)
    clip: float = Field(5.0, gt=0)
    sparsity: float = Field(0.0, ge=0)
    ema: float = Field(0.998, ge=0, lt=1)
    freeze: int = Field(2, ge=0, le=4)
    amp: Literal["off", "bf16"] = "off"
    patience: int = Field(0, ge=0)
    validate_every: int = Field(2, ge=1)
    seed: int = Field(0, ge=0)
    cache_mb: int = Field(2000, ge=0)
    disk_mb: int = Field(0, ge=0)
    augment: Augment = Augment()
