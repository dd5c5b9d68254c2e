"""Label errors that were planted, and those of BCCD: python -m benchmarks.label_errors --workspace WORK [--only digits]

Digits: of the training pictures' labels some are taken away, some shifted, some given another class (--planted of each,
drawn by --seeds). Out-of-fold predictions, ObjectLab's scores: how many of the 50 worst places are planted ones. An
overlooked place counts where a label was taken away or shifted (IoU 0.3), another one where its label was changed.
Asked: 0.9. BCCD: the page of the 20 worst pictures of its training split, to be looked at: at least 16 with a real
error. What is trained is kept below WORK, and a second start goes on from there.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.base.files import folder_atomic
from tasks.data.catalogue import obtain, read_entry
from tasks.data.classes import ClassList
from tasks.data.store.importing import Importing, bring_in
from tasks.data.store.layout import Store
from tasks.data.table import Dataset, read_dataset, write_dataset
from tasks.labelling.checking.folds import Folds, predict_out_of_fold
from tasks.labelling.checking.suspects import Suspects, find_suspects
from tasks.labelling.checking.telling import in_lines
from tasks.labels.columns import boxes_of, iou_of
from tasks.reporting.labels.page import Shown, write_page

NEAR, WORST, ASKED, PAGE = 0.3, 50, 0.9, 20
# a shift by these shares of width and height leaves an IoU of 0.21
ASIDE = (0.5, 0.3)


@dataclass(frozen=True)
class Planted:
    """Labels with errors, and where these are: annotation_ids of the changed ones, boxes of the lost and moved ones."""

    dataset: Dataset
    changed: frozenset[int]
    places: pa.Table


def plant(dataset: Dataset, each: int, seed: int) -> Planted:
    """`each` labels are taken away, as many shifted, as many given another class."""
    rng, table = np.random.default_rng(seed), dataset.annotations
    rows = rng.permutation(table.num_rows)[:3 * each]
    lost, moved, swapped = np.split(rows, 3)
    x, y, w, h = (table[name].to_numpy().copy() for name in "xywh")
    label, many = table["class_id"].to_numpy().copy(), len(dataset.meta.classes)
    side = rng.choice([-1, 1], each)
    x[moved] += side * ASIDE[0] * w[moved]
    y[moved] += side * ASIDE[1] * h[moved]
    label[swapped] = (label[swapped] + rng.integers(1, many, each)) % many
    wrong = table
    for name, values in (("x", x), ("y", y), ("class_id", label)):
        at = wrong.schema.get_field_index(name)
        wrong = wrong.set_column(at, wrong.schema.field(name), pa.array(values, wrong.schema.field(name).type))
    kept = np.setdiff1d(np.arange(table.num_rows), lost)
    numbers = table["annotation_id"].to_numpy()
    return Planted(replace(dataset, annotations=wrong.take(pa.array(kept))),
                   frozenset(numbers[np.concatenate([moved, swapped])].tolist()),
                   table.take(pa.array(np.concatenate([lost, moved]))))


def hits(suspects: Suspects, planted: Planted, count: int) -> tuple[float, str]:
    """The share of the `count` worst places that were planted, and the same of each kind in words."""
    lost = boxes_of(planted.places)
    found = []
    for one in suspects.places.slice(0, count).to_pylist():
        if one["annotation_id"] is not None:
            found.append(one["annotation_id"] in planted.changed)
            continue
        box, rows = np.array([[one[name] for name in "xywh"]]), np.flatnonzero(lost.image == one["image_id"])
        found.append(bool(len(rows)) and float(iou_of(np.repeat(box, len(rows), 0), lost.xywh[rows]).max()) >= NEAR)
    kinds = suspects.places.slice(0, count)["kind"].to_pylist()
    told = [f"{kind} {sum(a for a, b in zip(found, kinds, strict=True) if b == kind)}/{kinds.count(kind)}"
            for kind in dict.fromkeys(kinds)]
    return (sum(found) / count if count else 0.0), ", ".join(told)


def training_split(work: Path, name: str, limit: int | None) -> tuple[Dataset, Path]:
    """The training pictures of a catalogue entry, image_ids from 0, and where their names start."""
    raw, store = work / f"raw-{name}", Store(work / "store")
    if not raw.is_dir():
        with folder_atomic(raw) as new:
            obtain(name, read_entry(name), new)
    version = store.latest(name) or bring_in(store, Importing(raw, name, str(raw), ClassList([])), "benchmark").version
    whole = read_dataset(version.folder).subset("train")
    images = whole.images.slice(0, limit) if limit else whole.images
    ids = images["image_id"].to_numpy()
    owner = whole.annotations["image_id"].to_numpy()
    mine, owner = whole.annotations.filter(pa.array(np.isin(owner, ids))), owner[np.isin(owner, ids)]
    fields = (images.schema.field("image_id"), mine.schema.field("image_id"))
    images = images.set_column(images.schema.get_field_index("image_id"), fields[0], pa.array(np.arange(len(ids))))
    mine = mine.set_column(mine.schema.get_field_index("image_id"), fields[1], pa.array(np.searchsorted(ids, owner)))
    return replace(whole, images=images, annotations=mine), store.pictures


def check(dataset: Dataset, raw: Path, folds: Folds, work: Path, name: str) -> Suspects:
    """Suspicious places by out-of-fold predictions; what is trained is kept."""
    folder = work / "checked" / name
    if not (folder / "dataset.json").is_file():
        write_dataset(folder, dataset)
    made = predict_out_of_fold(folder, raw, folds, work, lambda line: print(f"  {line}", flush=True))
    return find_suspects(dataset, made.predictions)


def digits(work: Path, folds: Folds, planted: int, seeds: Sequence[int], limit: int | None) -> None:
    shares = []
    for seed in seeds:
        dataset, raw = training_split(work, "digits", limit)
        wrong = plant(dataset, planted, seed)
        print(f"digits, seed {seed}: {3 * planted} errors among {dataset.annotations.num_rows:,} labels on "
              f"{dataset.images.num_rows} pictures", flush=True)
        suspects = check(wrong.dataset, raw, folds, work, f"digits-{dataset.images.num_rows}-{planted}-{seed}")
        share, told = hits(suspects, wrong, WORST)
        every, all_told = hits(suspects, wrong, suspects.places.num_rows)
        shares.append(share)
        print(f"  precision at {WORST}: {share:.2f} ({told}); of all {suspects.places.num_rows} places {every:.2f} "
              f"({all_told}); predictions count from {suspects.sure:.2f} on", flush=True)
    spread = f" ± {statistics.stdev(shares):.3f}" if len(shares) > 1 else ""
    mean = statistics.mean(shares)
    print(f"planted errors: precision at {WORST} {mean:.3f}{spread}, least {min(shares):.2f} (asked {ASKED}: "
          f"{'met' if min(shares) >= ASKED else 'MISSED'})")


def bccd(work: Path, folds: Folds, limit: int | None, page: Path) -> None:
    dataset, raw = training_split(work, "bccd", limit)
    suspects = check(dataset, raw, folds, work, f"bccd-{dataset.images.num_rows}")
    print("\n".join(in_lines(suspects, dataset, PAGE)))
    facts = [("Predictions", f"{folds.folds} models, each on the pictures that it was not trained on")]
    write_page(Shown("BCCD, training split", dataset, raw, suspects.places, suspects.pictures, facts, worst=PAGE), page)
    print(f"look at the {PAGE} worst pictures (asked: 16 with a real error): {page}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--workspace", type=Path, required=True, help="a folder in which everything is kept")
    arguments.add_argument("--only", choices=("digits", "bccd"))
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments.add_argument("--planted", type=int, default=30, help="errors of each kind")
    arguments.add_argument("--folds", type=int, default=5)
    arguments.add_argument("--steps", type=int, default=400)
    arguments.add_argument("--size", type=int, nargs=2, default=[160, 224], help="of the input, of digits and of bccd")
    arguments.add_argument("--limit", type=int, help="pictures at most, for a trial")
    arguments.add_argument("--page", type=Path, default=Path("bccd-errors.html"))
    options = arguments.parse_args()
    work = options.workspace.resolve()
    if options.only != "bccd":
        folds = Folds(folds=options.folds, steps=options.steps, size=options.size[0], flip="none")
        digits(work, folds, options.planted, options.seeds, options.limit)
    if options.only != "digits":
        folds = Folds(folds=options.folds, steps=options.steps, size=options.size[1], flip="both")
        bccd(work, folds, options.limit, options.page)


if __name__ == "__main__":
    main()
