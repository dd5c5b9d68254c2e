"""What pre-labels save: clicks in the oracle loop, with the model's boxes to correct, against drawing from nothing.

Asked: clicks with pre-labels ≤ 0.5 of those from nothing, over all rounds (draw 2, adjust 2, delete 1, class 1, accept
0); 3 seeds, spread shown. An oracle leaves a box as it is from an overlap of `--content` (0.7); what the same boxes
cost a stricter or a milder one is printed beside it.

Run:  VISIONMILL_MIRROR=… python -m benchmarks.oracle                 BCCD, 40 pictures + 3 × 20, 3 seeds
      python -m benchmarks.oracle --data digits --seeds 1 --rounds 1 --steps 20      small, and no mirror needed
      … --keep FOLDER      what is done stays there; the same command goes on from it
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tasks.base.progress import duration
from tasks.data.catalogue import read_entry
from tasks.data.classes import ClassList
from tasks.data.store.importing import Importing, bring_in
from tasks.data.store.layout import Store, Version
from tasks.data.table import read_dataset
from tasks.improving import begin, sets
from tasks.improving import state as journal
from tasks.improving.oracle import BOX
from tasks.improving.rounds import Loop, go_on
from tasks.improving.settings import load_settings
from tasks.improving.state import State
from tasks.improving.telling import cost, told_round
from tasks.labels.clicks import Settings as Clicks
from tasks.labels.clicks import compare, totals

ASKED = 0.5
CONTENTS = (0.5, 0.6, 0.7, 0.8, 0.9)


def truth(name: str, root: Path) -> tuple[Store, Version]:
    """The labelled set in a store."""
    store = Store(root / "store")
    if store.latest(name) is None:
        raw = root / name
        if name == "digits":
            from tasks.data.digits import generate

            generate(raw)
        else:
            raw = Path(os.environ["VISIONMILL_MIRROR"]) / "datasets" / name
        bring_in(store, Importing(raw, name, name, ClassList([]), allow=["all"]), "benchmark")
    return store, store.find(name)


def rounds(options: argparse.Namespace, seed: int, store: Store, known: Version, root: Path) -> tuple[Loop, State]:
    """All rounds of one seed; what is done already is not done again."""
    folder = root / f"{options.data}-{options.strategy}-{options.start}-{options.budget}-{options.steps}-{seed}"
    folder.mkdir(exist_ok=True)
    name = f"{options.data}-{seed}"
    if name not in journal.names(folder):
        light = {"draws": 200, "augment": {"flip": read_entry(options.data).params["train"]["augment"]["flip"]}}
        settings = load_settings("quick", {
            "rounds": options.rounds, "budget": options.budget, "strategy": options.strategy, "seed": seed,
            "content": options.content, "light": light | ({"steps": options.steps} if options.steps else {})}, folder)
        begin.begin_with_oracle(name, known, settings, store=store, owner="benchmark", workspace=folder,
                                start=options.start, control=False)
    begin.change(name, {"rounds": options.rounds}, folder)
    loop = Loop(name, folder, store, "benchmark")
    go_on(loop, loop.do, print)
    return loop, loop.state


def at_other_contents(loop: Loop, state: State, known: Version) -> dict[float, float]:
    """The share of clicks that the same pre-labels would cost oracles that are content with other overlaps."""
    whole = read_dataset(known.folder)
    found = {}
    for content in CONTENTS:
        clicks = nothing = 0.0
        for number in range(1, state.settings.rounds + 1):
            version = loop.store.find(state.out(number, "prelabel")["version"]["ref"])
            before = read_dataset(version.folder)
            after = _known(whole, before)
            counted = totals(compare(before.annotations.select(BOX), after, Clicks(same=content)))
            clicks, nothing = clicks + counted.clicks, nothing + counted.from_nothing
        found[content] = clicks / nothing
    return found


def _known(whole: Any, before: Any) -> Any:
    import pyarrow as pa

    place = dict(zip(*(before.images[name].to_pylist() for name in ("digest", "image_id")), strict=True))
    digests = dict(zip(*(whole.images[name].to_pylist() for name in ("image_id", "digest")), strict=True))
    rows = [row | {"image_id": place[digests[row["image_id"]]]} for row in whole.annotations.to_pylist()
            if digests[row["image_id"]] in place and not row["iscrowd"]]
    return pa.Table.from_pylist(rows, schema=whole.annotations.schema).select(BOX)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--data", default="bccd")
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--budget", type=int, default=20)
    arguments.add_argument("--start", type=int, default=40)
    arguments.add_argument("--strategy", default="mixed")
    arguments.add_argument("--content", type=float, default=0.7)
    arguments.add_argument("--steps", type=int, help="of a training (default: those of the preset)")
    arguments.add_argument("--keep", type=Path, metavar="FOLDER")
    options = arguments.parse_args()
    os.environ["VISIONMILL_TRACKING"] = "off"
    with tempfile.TemporaryDirectory() as temporary:
        root = (options.keep or Path(temporary)).resolve()
        root.mkdir(parents=True, exist_ok=True)
        store, known = truth(options.data, root)
        told = [_seed(options, seed, store, known, root) for seed in range(options.seeds)]
    shares = np.array([one["share"] for one in told])
    print(f"\nclicks with pre-labels against from nothing, {options.data}, {options.start} + {options.rounds} × "
          f"{options.budget} pictures by {options.strategy}")
    for one in told:
        others = ", ".join(f"{share:.2f} at {content:g}" for content, share in one["others"].items())
        print(f"  seed {one['seed']}: {one['share']:.3f} ({one['clicks']:,.0f} of {one['nothing']:,.0f}; rounds "
              f"{', '.join(f'{share:.2f}' for share in one['rounds'])}); content at other overlaps: {others}; "
              f"{duration(one['seconds'])}")
    print(f"mean {shares.mean():.3f}, {shares.min():.3f} to {shares.max():.3f}; asked: ≤ {ASKED}  "
          f"{'yes' if shares.max() <= ASKED else 'NO'}")


def _seed(options: argparse.Namespace, seed: int, store: Store, known: Version, root: Path) -> dict[str, Any]:
    loop, state = rounds(options, seed, store, known, root)
    print("\n".join(told_round(state, state.round)))
    whole = cost(state, options.rounds, "main")
    each = [state.out(number, "fetch") for number in range(1, options.rounds + 1)]
    assert sets.pictures_in(loop.store.find(state.out(options.rounds, "merge")["set"]["ref"])) == (
        options.start + sum(one["pictures"] for one in each))
    return {"seed": seed, "share": whole["clicks"] / whole["from_nothing"], "clicks": whole["clicks"],
            "nothing": whole["from_nothing"], "rounds": [one["clicks"] / one["from_nothing"] for one in each],
            "others": at_other_contents(loop, state, known), "seconds": sum(one.seconds for one in state.entries)}


if __name__ == "__main__":
    main()
