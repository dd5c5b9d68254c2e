"""The search against random search, on `digits` at 160 pixels: best validation AP so far, against epochs spent.

Asked: 20 trials of TPE + Hyperband; random search, nothing pruned, for as many epochs; 3 seeds; both curves printed,
ours not below random's. Both begin with the parameters that `digits` comes with.

Run:  python -m benchmarks.search            hours on two cores
      python -m benchmarks.search --small    120 scenes of 96 pixels, 6 epochs: about 15 minutes
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks import ingest, split
from tasks.base.params import check
from tasks.base.progress import Progress, duration
from tasks.data.catalogue import read_entry
from tasks.data.digits import generate
from tasks.data.table import Dataset, read_dataset, write_dataset
from tasks.search import study as store
from tasks.search.plan import Plan, make_plan
from tasks.search.search import Search
from tasks.search.settings import load_settings
from tasks.search.space import lay_over
from tasks.search.trainer import Trainer
from tasks.train import Params, structure_of
from tasks.training.session import use_threads

POINTS = 12  # of the printed curves
OURS = {"sampler": "tpe", "pruner": "hyperband"}
RANDOM = {"sampler": "random", "pruner": "none", "trials": 10_000}
Curve = list[tuple[int, float]]  # epochs spent, best AP so far


def digits(folder: Path, scenes: int) -> tuple[Path, Path]:
    """Raw pictures and a split with at most `scenes` training and a third as many validation pictures."""
    raw = folder / "raw"
    generate(raw)
    ingest.run(ingest.Params(), raw=raw, out=folder / "ingested")
    split.run(split.Params(), data=folder / "ingested", out=folder / "whole")
    write_dataset(folder / "split", fewer(read_dataset(folder / "whole"), {"train": scenes, "val": scenes // 3}))
    return raw, folder / "split"


def fewer(dataset: Dataset, most: dict[str, int]) -> Dataset:
    """The first pictures of each split that is named."""
    kept = [i for name, count in most.items() for i in dataset.subset(name).images["image_id"].to_pylist()[:count]]
    wanted = pa.array(kept, pa.int64())
    return replace(dataset, images=dataset.images.filter(pc.is_in(dataset.images["image_id"], wanted)),
                   annotations=dataset.annotations.filter(pc.is_in(dataset.annotations["image_id"], wanted)))


def search(plan: Plan, trainer: Trainer, folder: Path, budget: int | None) -> tuple[Curve, Any]:
    """Run all trials, or until as many epochs are spent; returns the curve and the trials."""
    progress = Progress(budget or plan.settings.trials, f"{plan.settings.sampler}, seed {plan.settings.seed}", every=30)
    with Search(plan, trainer, folder) as opened:
        while not budget or spent(store.finished(opened.study)) < budget:
            if (trial := opened.next()) is None:
                break
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                done = opened.run(trial)
            progress.step(f"AP {max(done.intermediate_values.values(), default=0.0):.3f}",
                          count=min(store.epochs_of(done), budget - progress.done) if budget else 1)
    trials = store.finished(opened.study)
    return curve(trials), trials


def spent(trials: list[Any]) -> int:
    return sum(store.epochs_of(trial) for trial in trials)


def curve(trials: list[Any]) -> Curve:
    """Best AP so far after each epoch of all trials, one after the other."""
    reports = [value for trial in trials for _, value in sorted(trial.intermediate_values.items())]
    return list(enumerate(np.maximum.accumulate(reports).tolist(), 1)) if reports else []


def at(found: Curve, epochs: int) -> float:
    """The value of a curve when so many epochs are spent."""
    return found[min(epochs, len(found)) - 1][1]


def show(ours: list[Curve], others: list[Curve]) -> None:
    end = min(map(len, [*ours, *others]))
    print(f"\nbest validation AP so far, mean of {len(ours)} seeds (lowest to highest)\n"
          f"{'epochs':>6}  {'TPE + Hyperband':25}  {'random':25}  difference")
    for epochs in np.unique(np.linspace(end / POINTS, end, POINTS).round().clip(1).astype(int)).tolist():
        mine, theirs = ([at(one, epochs) for one in group] for group in (ours, others))
        print(f"{epochs:6}  {told(mine):25}  {told(theirs):25}  {np.mean(mine) - np.mean(theirs):+.4f}")
    difference = np.mean([at(one, end) for one in ours]) - np.mean([at(one, end) for one in others])
    area = np.mean([np.mean([value for _, value in one[:end]]) for one in ours]) - np.mean(
        [np.mean([value for _, value in one[:end]]) for one in others])
    print(f"at the end {difference:+.4f}, over the whole curve {area:+.4f}; asked: not below 0")


def told(values: list[float]) -> str:
    return f"{np.mean(values):.4f} ({min(values):.4f} to {max(values):.4f})"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a reduced form: 120 scenes of 96 pixels, 6 epochs")
    for name, value in {"trials": 20, "seeds": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    for name in ("scenes", "side", "epochs"):
        parser.add_argument(f"--{name}", type=int)
    chosen = parser.parse_args()
    for name, (small, full) in {"scenes": (120, 500), "side": (96, 160), "epochs": (6, 10)}.items():
        if getattr(chosen, name) is None:
            setattr(chosen, name, small if chosen.small else full)
    return chosen


def main() -> None:
    chosen = arguments()
    os.environ["VISIONMILL_TRACKING"] = "off"
    use_threads()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with contextlib.redirect_stdout(io.StringIO()):
            raw, data = digits(folder, chosen.scenes)
        base = check(Params, read_entry("digits").params["train"], "digits")
        base = lay_over(base, {"train.model.image_size": chosen.side, "train.epochs": chosen.epochs})
        trainer = Trainer(raw, read_dataset(data), structure_of)
        ours, others = [], []
        (folder / "params.yaml").write_text("{}\n")
        for seed in range(chosen.seeds):
            plans = [make_plan(load_settings(folder, "default", {"trials": chosen.trials, **kind, "seed": seed}), base,
                               data) for kind in (OURS, RANDOM)]
            found, trials = search(plans[0], trainer, folder, None)
            ours.append(found)
            pruned = sum(trial.state.name == "PRUNED" for trial in trials)
            others.append(search(plans[1], trainer, folder, spent(trials))[0])
            print(f"seed {seed}: {len(trials)} trials, {pruned} pruned, {spent(trials)} epochs; best AP "
                  f"{at(ours[-1], spent(trials)):.4f}, random {at(others[-1], spent(trials)):.4f}", flush=True)
    print(f"{chosen.scenes} scenes of {chosen.side} pixels, {chosen.epochs} epochs a whole trial, "
          f"{duration(time.monotonic() - start)}")
    show(ours, others)


if __name__ == "__main__":
    main()
