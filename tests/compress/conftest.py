"""A small untrained detector on disk, and real pictures for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images

from tasks.models.preset import DetectorPreset
from tasks.models.store import Structure, save_model


@pytest.fixture(scope="session", params=["efficientnet_lite0", "resnet18"])
def model_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    preset = DetectorPreset(backbone=request.param, image_size=128, levels=3)
    torch.manual_seed(0)
    structure = Structure(preset, ["a", "b"], 96, 128, line="0123", thresholds={"a": 0.3, "b": 0.4})
    model = structure.build().train()
    for _ in range(3):  # gives the batch norms statistics of real pictures
        model(torch.from_numpy(np.concatenate(inputs(4))))
    save_model(folder, structure, model.state_dict())
    return folder


def inputs(count: int) -> list[np.ndarray]:
    """Network inputs uint8 [1, 3, 96, 128] cut from two photographs."""
    photos = load_sample_images().images
    return [np.ascontiguousarray(photos[i % 2][10 * i: 10 * i + 96, 12 * i: 12 * i + 128].transpose(2, 0, 1)[None])
            for i in range(count)]
