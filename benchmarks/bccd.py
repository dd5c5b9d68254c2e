"""Accuracy, size and speed on blood cells: python -m benchmarks.bccd [--seeds 0 1 2] [--work FOLDER] [--preset NAME]

Runs the line's own stages from pictures to INT8 files once a seed, in folders that are kept: an interrupted run goes
on; then measures all artefacts of the first seed in turns within one process. Accuracy is on the given test split of
72 pictures, where half a point of AP50 is one platelet. VISIONMILL_MIRROR names the folder with the pictures.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow.parquet import read_table

from tasks.base.files import read_json
from tasks.data.table import read_dataset
from tasks.metrics.bootstrap import Interval, Sample, resample
from tasks.metrics.bootstrap import spread as spread_of
from tasks.runtime.artefacts import in_order

STAGES = ("code", "fetch", "ingest", "validate", "neighbours", "split", "train", "prune", "export@cpu-fp32",
          "export@cpu-int8", "evaluate")
ASKED = {"trained/torch": "AP50 ≥ 0.880, AP ≥ 0.550", "pruned/torch": "AP50 within 0.010 of trained/torch",
         "trained/cpu-int8": "AP50 within 0.010 of trained/torch, ≥ 3.5 ×",
         "pruned/cpu-int8": "AP50 within 0.010 of pruned/torch, ≥ 7 ×"}


def call(*command: str, folder: Path) -> None:
    """Run one of our own commands in a workspace, its output passed on."""
    subprocess.run([sys.executable, "-P", "-m", *command], cwd=folder, check=True)


def prepare(work: Path, seed: int, preset: str | None, more: list[str]) -> Path:
    """A workspace for one seed; an existing one is used as it is."""
    folder = work / f"seed{seed}"
    if not (folder / "params.yaml").exists():
        call("flows.cli", "new", str(folder), "--data", "bccd", folder=work)
        changes = [f"train.seed={seed}", f"prune.retrain.seed={seed}", "benchmark.rounds=20"]
        call("flows.cli", "configure", *([f"model={preset}"] if preset else []), *changes, *more, folder=folder)
    return folder


def make(folder: Path) -> dict[str, float]:
    """Bring the line of a workspace up to `evaluate`; seconds of the stages that ran now."""
    seconds = {}
    for stage in STAGES:
        start = time.perf_counter()
        call("dvc", "--wait-for-lock", "repro", "-q", "-s", stage, folder=folder)
        seconds[stage] = time.perf_counter() - start
    return seconds


def training_seconds(folder: Path, stage: str) -> float:
    """From begin to end of a stage's run, as its record says; of a resumed one the pause is part of it."""
    record = read_json(folder / "runs" / f"{stage}.json")
    return (record["ended"] - record["started"]) / 1000


def accuracy(folders: list[Path]) -> dict[str, dict[str, list[float]]]:
    """Artefact → AP and AP50 of each seed on the test split."""
    found: dict[str, dict[str, list[float]]] = {}
    for folder in folders:
        for name, metrics in read_json(folder / "results/evaluate/metrics.json")["artefacts"].items():
            entry = found.setdefault(name, {"AP": [], "AP50": []})
            for key in entry:
                entry[key].append(metrics[key])
    return found


def changes(folders: list[Path], measure: str = "AP50") -> dict[str, Interval]:
    """Artefact → its AP50 less that of trained/torch, mean of the seeds, with a paired 95 % interval over pictures."""
    drawn: dict[str, list[Sample]] = {}
    for folder in folders:
        dataset = read_dataset(folder / "data/split").subset("test")
        for file in sorted((folder / "results/evaluate/detections").glob("*.parquet")):
            sample = resample(dataset, read_table(file), (measure,))[measure]
            drawn.setdefault(file.stem.replace("__", "/"), []).append(sample)
    base = drawn["trained/torch"]
    found = {}
    for name, samples in drawn.items():
        pairs = list(zip(base, samples, strict=True))
        mean = Sample(statistics.mean(b.value - a.value for a, b in pairs),
                      np.mean([b.draws - a.draws for a, b in pairs], axis=0))
        found[name] = spread_of(mean)
    return found


def speed(folder: Path) -> dict[str, dict[str, Any]]:
    """Latency of all artefacts of one workspace, by the stage `benchmark`."""
    call("dvc", "--wait-for-lock", "repro", "-q", "-f", "-s", "benchmark", folder=folder)
    return read_json(folder / "results/benchmark/benchmark.json")["artefacts"]


def spread(values: list[float]) -> str:
    """`0.881 ± 0.004 (0.877 … 0.885)`."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.4f} ± {deviation:.4f} ({min(values):.4f} … {max(values):.4f})"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments.add_argument("--work", type=Path, default=Path("bccd-benchmark"))
    arguments.add_argument("--preset", help="a file of conf/model/; the template's own when left out")
    arguments.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="more for visionmill configure")
    options = arguments.parse_args()
    os.environ["VISIONMILL_TRACKING"] = "off"
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    options.work.mkdir(parents=True, exist_ok=True)
    folders = [prepare(options.work.resolve(), seed, options.preset, options.set) for seed in options.seeds]
    for folder in folders:
        make(folder)
    for stage in ("train", "prune"):
        minutes = [training_seconds(folder, stage) / 60 for folder in folders]
        print(f"{stage}: {', '.join(f'{m:.1f}' for m in minutes)} minutes a seed (train: at most 15 asked)")
    kept = [read_json(folder / "models/pruned/prune.json")["kept_parameters"] for folder in folders]
    print(f"kept parameters: {', '.join(f'{k:.3f}' for k in kept)} (at most 0.30 asked)")
    times = speed(folders[0])
    base = times["trained/torch"]["median_ms"]
    found, lost = accuracy(folders), changes(folders)
    for name in in_order(found):
        metrics = found[name]
        one = times[name]
        change = lost[name]
        print(f"{name:18} AP50 {change.value:+.4f} ({change.low:+.4f} … {change.high:+.4f}) against trained/torch")
        print(f"{'':18} AP {spread(metrics['AP'])}  AP50 {spread(metrics['AP50'])}  {one['median_ms']:6.2f} ms "
              f"{base / one['median_ms']:5.2f} ×  {one['bytes'] / 1e6:5.2f} MB   asked: {ASKED.get(name, '-')}")


if __name__ == "__main__":
    main()
