"""A model folder in torch: FP32, inference mode, channels last."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tasks.runtime.backends.description import Description
from tasks.runtime.backends.opened import Opened


def open_folder(folder: Path, told: Description, threads: int, device: str) -> Opened:
    """Open a model folder; `threads` cores on a CPU."""
    import torch

    from tasks.models.store import load_model

    torch.set_num_threads(threads)
    model, _ = load_model(folder)
    model.to(memory_format=torch.channels_last).to(device)

    @torch.inference_mode()
    def ask(images: np.ndarray) -> tuple[np.ndarray, ...]:
        boxes, scores = model(torch.from_numpy(images).to(device))
        return boxes.cpu().numpy(), scores.cpu().numpy()

    return Opened(ask, told, "torch", f"torch {device}")
