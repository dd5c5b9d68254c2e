"""Validation between epochs: the same reading in and post-processing as after export."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from tasks.data.pictures import locate, read_picture
from tasks.data.table import Dataset
from tasks.metrics.coco import quick_ap
from tasks.metrics.curves import best_thresholds
from tasks.metrics.detections import detections_table
from tasks.models.fcos import FCOS
from tasks.runtime.letterbox import letterbox
from tasks.runtime.postprocess import detections_of

BATCH = 16


class Judge:
    """AP of a model on a split whose pictures are read once.

    Args:
        raw: the folder that the table's file names start from.
        dataset: rows of one split.
        shape: height and width of the network's input.
    """

    def __init__(self, raw: Path, dataset: Dataset, shape: tuple[int, int]) -> None:
        self.dataset = dataset
        self.ids = dataset.images["image_id"].to_pylist()
        self.sizes: list[tuple[int, int]] = []
        self.scales: list[float] = []
        fitted = []
        for place in locate(raw, dataset.images):
            picture = read_picture(place)  # one at a time: only what the network sees is kept
            small, scale = letterbox(picture, shape)
            self.sizes.append((picture.shape[0], picture.shape[1]))
            self.scales.append(scale)
            fitted.append(small)
        self.images = torch.from_numpy(np.stack(fitted)).permute(0, 3, 1, 2).contiguous()

    def __call__(self, model: FCOS) -> tuple[float, float]:
        """AP and AP50 in 0..1; a split without any box scores 0."""
        ap, ap50 = quick_ap(self.dataset, self.detections(model))
        return ap or 0.0, ap50 or 0.0

    def thresholds(self, model: FCOS) -> dict[str, float]:
        """Score of the best F1 of each class at IoU 0.5, rounded down; classes without a hit are left out."""
        found = best_thresholds(self.dataset, self.detections(model))
        return {name: math.floor(best["score"] * 1000) / 1000 for name, best in found.items() if best}

    @torch.inference_mode()
    def detections(self, model: FCOS) -> pa.Table:
        """The detections table of the split."""
        model.eval()
        found = {}
        for start in range(0, len(self.ids), BATCH):
            boxes, scores = (x.numpy() for x in model(self.images[start: start + BATCH]))
            for i in range(len(boxes)):
                at = start + i
                found[self.ids[at]] = detections_of(boxes[i], scores[i], size=self.sizes[at], scale=self.scales[at])
        return detections_table(found)
