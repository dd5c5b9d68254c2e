"""Quantisation-aware fine-tuning: a short training with rounded convolutions, for one INT8 file alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
from torch import nn

from tasks.base.files import folder_atomic
from tasks.compress.fake import convolutions, fake_copy, switch, watch
from tasks.compress.int8 import Int8
from tasks.compress.mixed import matching
from tasks.data.table import Dataset
from tasks.models.fcos import FCOS
from tasks.models.store import load_model, save_model
from tasks.training.session import Reporter, learn
from tasks.training.settings import Augment, Training

# safe for every dataset: digits and text must not be mirrored
AUGMENT = Augment(flip="none", mosaic=0.0, brightness=0.1, contrast=0.1, saturation=0.1)


class Still(FCOS):
    """A network whose batch norms keep their statistics: those of a few rounded pictures would pull it away."""

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


def tune(model: Path, out: Path, dataset: Dataset, raw: Path, images: list[np.ndarray], settings: Int8, *,
         symmetric: bool, work: Path, reporter: Reporter) -> None:
    """Train the model of folder `model` to live with 8 bits; a model folder of the same structure is written to `out`.

    It imitates the answers that it gave before, beside learning from the labels. Ranges are those that the calibration
    pictures have at the start; the file is calibrated anew.

    Args:
        images: network inputs uint8 [1, 3, H, W].
        symmetric: as TensorRT rounds.
        work: folder that a killed training goes on from.

    Raises:
        UserError: the loss is not finite.
    """
    before, structure = load_model(model)
    fake = fake_copy(before, symmetric)
    fake.__class__ = Still
    watch(fake, images)
    layers, asked = list(convolutions(fake)), settings.float_layers
    floats = matching(asked, layers) if isinstance(asked, list) else []
    switch(fake, set(layers) - set(floats))
    training = Training(epochs=settings.qat_epochs, lr=settings.qat_lr, batch_size=settings.qat_batch_size,
                        backbone_lr=1.0, freeze=0, validate_every=1, augment=AUGMENT)
    state, best = learn(fake, dataset, raw, (structure.height, structure.width), training, work, reporter,
                        before.requires_grad_(False))
    with folder_atomic(out) as folder:
        save_model(folder, replace(structure, thresholds=best), state.best)
