"""Validation between epochs: the same reading in and post-processing as after export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tasks.data.pictures import read_picture
from tasks.data.table import Dataset
from tasks.metrics.coco import quick_ap
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
        pictures = [read_picture(raw / name) for name in dataset.images["file"].to_pylist()]
        self.sizes = [p.shape[:2] for p in pictures]
        fitted = [letterbox(p, shape) for p in pictures]
        self.scales = [scale for _, scale in fitted]
        self.images = torch.from_numpy(np.stack([p for p, _ in fitted])).permute(0, 3, 1, 2).contiguous()

    @torch.inference_mode()
    def __call__(self, model: FCOS) -> tuple[float, float]:
        """AP and AP50 in 0..1; a split without any box scores 0."""
        model.eval()
        found = {}
        for start in range(0, len(self.ids), BATCH):
            boxes, scores = (x.numpy() for x in model(self.images[start: start + BATCH]))
            for i in range(len(boxes)):
                at = start + i
                found[self.ids[at]] = detections_of(boxes[i], scores[i], size=self.sizes[at], scale=self.scales[at])
        ap, ap50 = quick_ap(self.dataset, detections_table(found))
        return ap or 0.0, ap50 or 0.0
