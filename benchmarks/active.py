"""Mining against drawing: python -m benchmarks.active [--only rare|bccd] [--strategies mixed …] [--seeds 0 1 2] …

rare: 600 tiles of blood cells, of which 5 % have a white one; 60 more in each round. Asked: boxes until the AP of that
class is random's final one, at most 0.6 of random's. bccd: the blood cells of train and val as they are; 20 more in
each round. Asked: never below random's curve by more than random's interval; the gain is printed. Both begin with the
same 40 pictures for all strategies of a seed, and label from the truth; every training starts anew; cost is in boxes.

Each training's result is written to WORK/results.json; started again, what is there is not done again. Another
WORK is needed for other sizes. VISIONMILL_MIRROR names the folder with the blood cells. An hour each on two cores.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.active_curves import told
from benchmarks.active_sets import OWNER, POOL, RARE, START, Set, blood_cells, images_with, rare_cells
from tasks.base.errors import UserError
from tasks.base.files import read_json, write_json
from tasks.data.store.labelled import publish_labels
from tasks.data.store.layout import Store, Version
from tasks.data.table import read_dataset
from tasks.improving.light import Light, train_and_judge
from tasks.labelling.mining import pick
from tasks.labelling.prelabelling import Prelabels, Settings, prelabel
from tasks.labelling.teachers import open_teacher
from tasks.labels.mining.registry import STRATEGIES
from tasks.models.preset import DetectorPreset

# with 20 a round random has 6 pictures of the rare class in the end, and learns nothing of it
EACH = {"rare": 60, "bccd": 20}
# whole pictures have platelets of 40 of 640 pixels: smaller inputs and shorter trainings never see one
SIZES = {"rare": {"steps": 500, "side": 160}, "bccd": {"steps": 500, "side": 224}}
# passes at least: with steps alone a rare picture is seen the less the more others are labelled, and random gets worse
EPOCHS = 12


class Bench:
    """One folder of results, models and a store."""

    known: dict[str, Any]

    def __init__(self, work: Path, steps: int | None, threads: int | None) -> None:
        self.work, self.store = work, Store(work / "store")
        self.steps, self.threads, self.results = steps, threads, work / "results.json"
        said = {"start": START, "each": EACH, "pool": POOL, "rare": RARE, "steps": steps, "sizes": SIZES,
                "epochs": EPOCHS}
        kept = read_json(self.results) if self.results.is_file() else {"settings": said, "trainings": {}}
        self.settings, self.known = said, kept["trainings"]
        if kept["settings"] != said:
            raise UserError("these results are of other sizes", where=self.results, mend="another --work")

    def light(self, name: str, pictures: int) -> Light:
        """A small training on so many pictures."""
        told = SIZES[name.partition("-")[0]]
        steps = self.steps or max(told["steps"], EPOCHS * pictures // Light().batch_size)
        return Light(steps=steps, threads=self.threads, draws=100, lr=0.004, ema=0.99,
                     model=DetectorPreset(image_size=told["side"], levels=3))

    def run(self, data: Set, strategy: str, seed: int, rounds: int) -> None:
        """One curve: begin, then mine, label, train, judge, round by round."""
        chosen = data.start(seed)
        for number in range(rounds + 1):
            key = self.key(data, strategy, seed, number)
            if key not in self.known:
                since = time.monotonic()
                if number:
                    chosen = np.union1d(chosen, self.mined(data, strategy, seed, number, chosen))
                self.known[key] = self.judged(data, key, seed, chosen)
                write_json(self.results, {"settings": self.settings, "trainings": self.known})
                self.say(key, time.monotonic() - since)
            chosen = np.array(self.known[key]["pictures"])
        for number in range(1, rounds + 1):
            shutil.rmtree(self.model(self.key(data, strategy, seed, number)), ignore_errors=True)

    def key(self, data: Set, strategy: str, seed: int, number: int) -> str:
        return f"{data.name}/{seed}/{strategy if number else 'start'}/{number}"

    def model(self, key: str) -> Path:
        return self.work / "models" / key.replace("/", "-")

    def labelled(self, data: Set, chosen: np.ndarray) -> Version:
        rows = read_dataset(data.truth.folder).annotations
        mine = rows.filter(pc.is_in(rows["image_id"], value_set=pa.array(chosen)))
        return publish_labels(self.store, data.truth, out=f"{data.name}-labelled", owner=OWNER, said={"by": "truth"},
                              annotations=mine, keep=chosen)[0]

    def judged(self, data: Set, key: str, seed: int, chosen: np.ndarray) -> dict[str, Any]:
        version = self.labelled(data, chosen)
        light = self.light(data.name, len(chosen))
        told = train_and_judge(version.folder, self.store.pictures, light, judge=data.judge,
                               out=self.model(key), seed=seed).metrics
        rare = len(images_with(read_dataset(version.folder), data.rare)) if data.rare else 0
        return {"pictures": chosen.tolist(), "boxes": told["train_boxes"], "AP": told["AP"], "AP50": told["AP50"],
                "rare": told["per_class"][data.rare]["AP"] if data.rare else None, "rare_pictures": rare,
                 "per_class": {name: one["AP"] for name, one in told["per_class"].items()}}

    def mined(self, data: Set, strategy: str, seed: int, number: int, chosen: np.ndarray) -> np.ndarray:
        """image_ids of the truth that are picked."""
        before = self.key(data, strategy, seed, number - 1)
        values = {"seed": 1000 * seed + number}
        version, _ = pick(data.pool, self.store, self.work, strategy=strategy, values=values,
                          budget=EACH[data.name.partition("-")[0]], known=[self.labelled(data, chosen)],
                          prelabels=self.looked(data, strategy, seed, before), out=f"{data.name}-picked", owner=OWNER)
        picked, whole = (read_dataset(one.folder).images["digest"] for one in (version, data.truth))
        return np.flatnonzero(np.asarray(pc.is_in(whole, value_set=picked.combine_chunks()), bool))

    def looked(self, data: Set, strategy: str, seed: int, before: str) -> Prelabels | None:
        needs = STRATEGIES[strategy].needs
        if not needs & {"boxes"}:
            return None
        folder = self.model(before)
        if not (folder / "model.json").is_file():
            self.judged(data, before, seed, np.array(self.known[before]["pictures"]))
        teacher = open_teacher(str(folder), data.truth.meta.classes, workspace=self.work, threads=self.threads)
        settings = Settings(flip="flip" in needs, aldd="aldd" in needs, consistency="consistency" in needs,
                            vectors=False)
        return prelabel(data.pool, self.store, teacher, settings, self.work)

    def say(self, key: str, seconds: float) -> None:
        one = self.known[key]
        rare = f", {one['rare_pictures']} with the rare class, its AP {one['rare']:.3f}" if key[0] == "r" else ""
        print(f"{key:26} {len(one['pictures'])} pictures, {one['boxes']} boxes{rare}: AP {one['AP']:.3f}, "
              f"AP50 {one['AP50']:.3f}  ({seconds:.0f} s)", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--only", nargs="+", choices=["rare", "bccd"], default=["rare", "bccd"])
    arguments.add_argument("--strategies", nargs="+", choices=list(STRATEGIES), default=["mixed", "entropy"],
                           metavar="NAME", help="beside random, which always runs (default: mixed entropy)")
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments.add_argument("--rounds", type=int, default=4)
    arguments.add_argument("--steps", type=int, help="of a training, for a trial")
    arguments.add_argument("--threads", type=int, help="cores (default: all)")
    arguments.add_argument("--work", type=Path, default=Path("active-benchmark"))
    arguments.add_argument("--tell", action="store_true", help="tell what the results say so far, and end")
    options = arguments.parse_args()
    os.environ["VISIONMILL_TRACKING"] = "off"
    bench = Bench(options.work.resolve(), options.steps, options.threads)
    strategies = ["random", *(name for name in options.strategies if name != "random")]
    for name in () if options.tell else options.only:
        # seed by seed, so that what there is when it is stopped can be compared
        for seed in options.seeds:
            data = rare_cells(bench.store, seed) if name == "rare" else blood_cells(bench.store)
            for strategy in strategies:
                bench.run(data, strategy, seed, options.rounds)
    print("\n".join(line for name in options.only for line in told(name, bench.known, strategies, options.rounds)))


if __name__ == "__main__":
    main()
