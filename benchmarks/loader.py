"""What the loader costs: python -m benchmarks.loader [--epochs 4] [--part torchvision|step] [--large 60]

`torchvision`: pictures a second of two worker processes, for this loader and for torchvision's CocoDetection with v2
transforms that do the same (fitted into 320 x 320, mirrored, brightness, contrast, saturation), in turns, on BCCD
(640 x 480) and on the same pictures enlarged to 12 megapixels. Beside it, the processor time that the workers took for
a picture, which says more than the pace where others use the machine too.

`step`: the same training steps on BCCD once fed by the loader (decoding in the first epoch, augmentation in every one)
and once by the same batches that lie in memory, ready made; in turns.

VISIONMILL_MIRROR is needed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterable
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.datasets import CocoDetection, wrap_dataset_for_transforms_v2
from torchvision.transforms import v2

from tasks import ingest, split, validate
from tasks.data.table import Dataset, read_dataset, to_coco
from tasks.models.fcos import FCOS, Target
from tasks.models.preset import DetectorPreset
from tasks.training.feeding import Feeder
from tasks.training.loop import batches, freeze, make_optimizer
from tasks.training.pictures import Pictures
from tasks.training.session import use_threads
from tasks.training.settings import Augment, Training

SHAPE = (240, 320)
SIDE = 320
BATCH = 8
WORKERS = 2
LARGE = (4000, 3000)  # 12 megapixels
PLAIN = Augment(mosaic=0, crop=0)  # what torchvision's transforms do too


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


def step_part(raw: Path, dataset: Dataset, epochs: int) -> None:
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


class Fit(v2.Transform):
    """Letterbox as `tasks.runtime.letterbox`: scaled with its aspect kept, grey at the right and at the bottom."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        height, width = v2.functional.get_size(inpt)
        scale = SIDE / max(height, width)
        size = round(height * scale), round(width * scale)
        return v2.functional.pad(v2.functional.resize(inpt, list(size)), [0, 0, SIDE - size[1], SIDE - size[0]], 114)


def torchvision_loader(raw: Path, dataset: Dataset, work: Path) -> DataLoader[Any]:
    file = work / "coco.json"
    file.write_text(json.dumps(to_coco(dataset)))
    change = v2.Compose([v2.ToImage(), Fit(), v2.RandomHorizontalFlip(), v2.ColorJitter(0.2, 0.2, 0.2),
                         v2.ClampBoundingBoxes(), v2.SanitizeBoundingBoxes()])
    pictures = wrap_dataset_for_transforms_v2(CocoDetection(str(raw), str(file), transforms=change),
                                              target_keys=("boxes", "labels"))
    return DataLoader(pictures, BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True,
                      collate_fn=stacked)


def stacked(samples: list[tuple[tv_tensors.Image, dict[str, Tensor]]]) -> tuple[Tensor, list[dict[str, Tensor]]]:
    return torch.stack([image for image, _ in samples]), [target for _, target in samples]


def orders(count: int, epoch: int) -> list[list[int]]:
    order = np.random.default_rng([0, epoch]).permutation(count).tolist()
    return [order[at: at + BATCH] for at in range(0, count, BATCH)]


def pace(fed: Iterable[tuple[Tensor, Any]]) -> tuple[float, float]:
    """Pictures a second, from the first batch that is asked for, and seconds of the workers' processors a picture."""
    start, before, count = time.perf_counter(), processors(), 0
    for images, _ in fed:
        assert images.shape[1:] == (3, SIDE, SIDE) and images.dtype == torch.uint8
        count += len(images)
    return count / (time.perf_counter() - start), (processors() - before) / count


def processors() -> float:
    """Seconds of processor time that all workers have taken so far."""
    ticks = 0
    for worker in active_children():
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def torchvision_part(name: str, raw: Path, dataset: Dataset, work: Path, epochs: int) -> None:
    """In turns, workers started before; ours once decoding in every epoch, once with the cache on disk."""
    count = dataset.images.num_rows
    settings = Training(augment=PLAIN, batch_size=BATCH)
    other = torchvision_loader(raw, dataset, work)
    decoding, cached = (Feeder(Pictures(raw, dataset, (SIDE, SIDE), 0, work / "cache", room), settings, WORKERS)
                        for room in (0, 1 << 20))
    pace(other)
    for ours in (decoding, cached):
        pace(ours.batches(orders(count, 0)[:WORKERS], 0, False))
    found: dict[str, list[tuple[float, float]]] = {"torchvision": [], "ours": [], "ours, cached": []}
    for epoch in range(epochs):
        found["torchvision"].append(pace(other))
        for key, ours in (("ours", decoding), ("ours, cached", cached)):
            found[key].append(pace(ours.batches(orders(count, epoch), epoch, False)))
        print(f"{name}, epoch {epoch + 1}: " + ", ".join(
            f"{key} {each[-1][0]:.0f} ({each[-1][1] * 1e3:.1f} ms)" for key, each in found.items()), flush=True)
    rate = {key: len(each) / sum(1 / one for one, _ in each) for key, each in found.items()}
    cost = {key: sum(one for _, one in each) / len(each) for key, each in found.items()}
    print(f"{name}, pictures/s over {epochs} epochs: " + ", ".join(
        f"{key} {rate[key]:.0f} ({rate[key] / rate['torchvision']:.2f}x; {cost[key] * 1e3:.1f} ms of processor each, "
        f"{cost['torchvision'] / cost[key]:.2f}x)" for key in found) + "; asked: at least 2x")


def enlarged(raw: Path, dataset: Dataset, work: Path, count: int) -> Dataset:
    """The first pictures at 12 megapixels, as JPEG of quality 90, in `work/large`; boxes scaled with them."""
    few = dataset.images.slice(0, count)
    factor = LARGE[0] / few["width"][0].as_py()
    for file in few["file"].to_pylist():
        target = work / "large" / file
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(raw / file) as picture:
            picture.resize(LARGE, Image.Resampling.BICUBIC).save(target, quality=90)
    images = few
    for name, side in zip(("width", "height"), LARGE, strict=True):
        column = np.full(few.num_rows, side, np.int32)
        images = images.set_column(images.column_names.index(name), images.schema.field(name), [column])
    labels = dataset.annotations.filter(np.isin(dataset.annotations["image_id"].to_numpy(), few["image_id"].to_numpy()))
    for name in ("x", "y", "w", "h"):
        scaled = labels[name].to_numpy() * factor
        labels = labels.set_column(labels.column_names.index(name), labels.schema.field(name), [scaled])
    return Dataset(images, labels, dataset.meta)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--epochs", type=int, default=4)
    arguments.add_argument("--part", choices=["torchvision", "step"], default="torchvision")
    arguments.add_argument("--large", type=int, default=60, help="number of large pictures")
    given = arguments.parse_args()
    use_threads()
    raw = Path(os.environ["VISIONMILL_MIRROR"]).resolve() / "datasets" / "bccd"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        dataset = read_dataset(table(raw, work)).subset("train")
        if given.part == "step":
            return step_part(raw, dataset, given.epochs)
        torchvision_part("640 x 480", raw, dataset, work, given.epochs)
        large = enlarged(raw, dataset, work, given.large)
        torchvision_part("4000 x 3000", work / "large", large, work, given.epochs)
    return None


if __name__ == "__main__":
    main()
