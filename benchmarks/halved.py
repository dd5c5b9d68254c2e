"""Is a network with half the multiply-accumulates twice as fast? python -m benchmarks.halved [--rounds 40]

ResNet-18 under FCOS at 320 × 240, pruned to half its MACs with widths in multiples of 16 and of 8 and with any width,
untrained: time does not depend on what the weights are. ONNX Runtime, FP32, batch 1, in turns, medians.
Asked: latency falls by at least 0.8 of the factor by which the MACs fall.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tasks.compress.onnx_file import write_onnx
from tasks.compress.pruning import How, macs, prune_until
from tasks.metrics.latency import in_turns, summary, timed
from tasks.models.fcos import FCOS
from tasks.models.plan import read_plan
from tasks.models.preset import DetectorPreset
from tasks.models.store import Structure
from tasks.runtime.detector import open_detector

SHAPE = (240, 320)
ASKED = 0.8


def networks() -> tuple[Structure, dict[str, FCOS]]:
    """The whole network, and what is left of it at half its MACs."""
    torch.manual_seed(0)
    structure = Structure(DetectorPreset(backbone="resnet18"), ["a", "b", "c"], *SHAPE, line="0")
    whole = structure.build().eval()
    half = 0.5 * macs(whole, *SHAPE)
    found = {"whole": whole}
    for unit in (16, 8, 1):
        how = How(round_to=unit)
        found[f"multiples of {unit}"] = prune_until(whole, lambda one: macs(one, *SHAPE) <= half, SHAPE, how)
    return structure, found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=40)
    options = arguments.parse_args()
    structure, found = networks()
    picture = np.random.default_rng(0).integers(0, 256, (1, 3, *SHAPE), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        calls = {}
        for at, (name, model) in enumerate(found.items()):
            file = Path(folder) / f"{at}.onnx"
            write_onnx(model, replace(structure, plan=read_plan(model)), file)
            detector = open_detector(file)
            calls[name] = timed(lambda detector=detector: detector.raw(picture))
        times = {name: summary(seconds)["median_ms"] for name, seconds in in_turns(calls, options.rounds).items()}
    work = {name: macs(model, *SHAPE) for name, model in found.items()}
    for name, ms in times.items():
        fewer, faster = work["whole"] / work[name], times["whole"] / ms
        share = "" if name == "whole" else f"  {faster / fewer:.2f} of the factor (asked: {ASKED} with multiples of 16)"
        print(f"{name:16} {work[name] / 1e6:7.0f} M MACs ({fewer:.2f} ×)  {ms:6.2f} ms ({faster:.2f} ×){share}")


if __name__ == "__main__":
    main()
