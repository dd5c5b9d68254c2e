"""How much of a training step the loader costs: python -m benchmarks.loader [--epochs 6]

The same steps on BCCD, once fed by the loader (decoding in the first epoch, augmentation in every one) and once by the
same batches that lie in memory, ready made; in turns, so that both see the same machine. VISIONMILL_MIRROR is needed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from tasks import ingest, split, validate
from tasks.data.table import read_dataset
from tasks.models.fcos import FCOS, Target
from tasks.models.preset import DetectorPreset
from tasks.training.loop import batches, freeze, make_optimizer
from tasks.training.pictures import Pictures
from tasks.training.session import use_threads
from tasks.training.settings import Training

SHAPE = (240, 320)


def table(raw: Path, work: Path) -> Path:
    """The split dataset of `raw`, by the line's own stages."""
    ingest.run(ingest.Params(), raw=raw, out=work / "ingested")
    validate.run(validate.Params(), raw=raw, data=work / "ingested", out=work / "valid")
    split.run(split.Params(), data=work / "valid", out=work / "split")
    return work / "split"


def steps(model: FCOS, optimizer: torch.optim.Optimizer, fed: Iterable[tuple[Tensor, list[Target]]]) -> float:
    """Pictures a second over all batches, the time to make them included."""
    start, count = time.perf_counter(), 0
    for images, targets in fed:
        loss = torch.stack(list(model.loss(images, targets).values())).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        count += len(images)
    return count / (time.perf_counter() - start)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--epochs", type=int, default=6)
    epochs = arguments.parse_args().epochs
    use_threads()
    raw = Path(os.environ["VISIONMILL_MIRROR"]).resolve() / "datasets" / "bccd"
    with tempfile.TemporaryDirectory() as folder:
        dataset = read_dataset(table(raw, Path(folder))).subset("train")
    settings = Training()
    model = FCOS(DetectorPreset(), len(dataset.meta.classes), *SHAPE).to(memory_format=torch.channels_last).train()
    freeze(model, settings.freeze)
    optimizer = make_optimizer(model, settings)
    ready = list(batches(Pictures(raw, dataset, SHAPE), settings, 0))
    steps(model, optimizer, ready[:4])
    pictures = Pictures(raw, dataset, SHAPE)
    loaded, memory = [], []
    for epoch in range(epochs):
        loaded.append(steps(model, optimizer, batches(pictures, settings, epoch)))
        memory.append(steps(model, optimizer, ready))
        print(f"epoch {epoch + 1}: loader {loaded[-1]:.1f} pictures/s, in memory {memory[-1]:.1f}", flush=True)
    total = epochs / sum(1 / x for x in loaded) / (epochs / sum(1 / x for x in memory))
    print(f"loader / memory over {epochs} epochs, decoding included: {total:.3f} (asked: at least 0.9)")


if __name__ == "__main__":
    main()
