"""TensorRT-RTX engines of the default preset, built ahead of time on this machine: seconds beside what is asked.

    python -m benchmarks.rtx
    python -m benchmarks.rtx --rounds 5 --model path/of/a/model/folder

No GPU is needed. Without --model the preset's weights are random, which changes neither its size nor its layers.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

from tasks.base import presets
from tasks.base.params import check
from tasks.compress.target import Target, write_for
from tasks.models.preset import DetectorPreset
from tasks.models.store import Structure, load_structure, save_model
from tasks.runtime.engines import build_rtx

PRESET = "fcos-efficientnet-lite0"
CLASSES, HEIGHT, WIDTH = ["a", "b", "c"], 240, 320
GENERATIONS = ["SM80", "SM86", "SM89", "SM120"]
ASKED_SECONDS = 30
CALIBRATION = 16


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="builds of each engine; the median counts")
    parser.add_argument("--model", type=Path, help="a model folder in place of random weights")
    options = parser.parse_args()
    slow = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = options.model or random_model(folder / "model")
        print(f"{'engine':12} {'GPU':18} {'seconds':>8}  {'asked':>6}  {'MB':>6}")
        for precision in ("fp16", "int8"):
            target = Target(runtime="tensorrt-rtx", precision=precision, device="cuda", capabilities=GENERATIONS)
            file = folder / f"{precision}.onnx"
            write_for(target, model, file, pictures(model), "minmax")
            slow += sum(show(precision, file, folder, generations, options.rounds) > ASKED_SECONDS
                        for generations in [*([one] for one in GENERATIONS), GENERATIONS])
    return 1 if slow else 0


def random_model(folder: Path) -> Path:
    """The preset with random weights, in evaluation mode."""
    import torch

    preset = check(DetectorPreset, presets.load("model", PRESET)["train"]["model"], PRESET)
    structure = Structure(preset, CLASSES, HEIGHT, WIDTH, line="benchmark", thresholds={})
    torch.manual_seed(0)
    save_model(folder, structure, structure.build().state_dict())
    return folder


def pictures(model: Path) -> list[np.ndarray]:
    """Noise uint8 [1, 3, H, W] to calibrate with: its ranges are of no use, its Q/DQ nodes are where they belong."""
    told, generator = load_structure(model), np.random.default_rng(0)
    shape = (1, 3, told.height, told.width)
    return [generator.integers(0, 256, shape, dtype=np.uint8) for _ in range(CALIBRATION)]


def show(precision: str, file: Path, folder: Path, generations: list[str], rounds: int) -> float:
    facts = [build_rtx(file, folder / "x.engine", generations) for _ in range(rounds)]
    seconds = median(one["seconds"] for one in facts)
    verdict = "" if seconds <= ASKED_SECONDS else "  MISSED"
    print(f"{precision:12} {'+'.join(x.removeprefix('SM') for x in generations):18} {seconds:8.2f}  "
          f"≤ {ASKED_SECONDS:4}  {facts[-1]['bytes'] / 1e6:6.2f}{verdict}", flush=True)
    return seconds


if __name__ == "__main__":
    raise SystemExit(main())
