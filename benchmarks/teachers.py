"""Catalogue models as teachers: python -m benchmarks.teachers [--models NAME …] [--processes N] [--keep FOLDER]

Imports datasets/coco_tiny from the folder that VISIONMILL_MIRROR names (80 pictures of COCO train, 80 of val), lets
each model pre-label it, classes by name, and measures COCO's AP and AP50 of the boxes that were kept, beside what the
mirror's table states for these weights on two other samples of 80 pictures: of one such sample either number is good to
some 0.05, so the means of both are compared. A calibration is then learnt from one half and measured on the other: what
easy, medium and hard mean. Asked: mean AP and AP50 within 0.03 of the table's.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.data.classes import ClassList
from tasks.data.store.importing import Importing, bring_in
from tasks.data.store.layout import Store, Version
from tasks.data.table import Dataset, read_dataset
from tasks.foreign.description import known, read_description
from tasks.labelling.prelabelling import Prelabels, Settings, prelabel
from tasks.labelling.teachers import open_teacher
from tasks.labels.calibration import calibrate, right_boxes
from tasks.labels.columns import boxes_of
from tasks.labels.curves import calibration_error
from tasks.labels.difficulty import SHOWN, measured
from tasks.metrics.coco import quick_ap
from tasks.metrics.detections import SCHEMA

NEAR = 0.03
HALVES = ("train", "val")


def import_coco(folder: Path) -> tuple[Store, Version]:
    store = Store(folder / "store")
    known_one = store.latest("coco")
    raw = Path(os.environ["VISIONMILL_MIRROR"]).resolve() / "datasets/coco_tiny"
    return store, known_one or bring_in(store, Importing(raw, "coco", "the mirror", ClassList([])), "me").version


def accuracy(found: pa.Table, half: Dataset) -> tuple[float, float]:
    inside = np.isin(found["image_id"].to_numpy(), half.images["image_id"].to_numpy())
    ap, ap50 = quick_ap(half, found.select(SCHEMA.names).filter(pa.array(inside)))
    return ap or 0.0, ap50 or 0.0


def show_levels(found: pa.Table, whole: Dataset) -> None:
    """What is learnt from train, on val."""
    train, val = (whole.subset(split) for split in HALVES)
    learnt = calibrate(found, train.annotations, train.images["image_id"].to_numpy())
    held = found.filter(pa.array(np.isin(found["image_id"].to_numpy(), val.images["image_id"].to_numpy())))
    p, right = learnt.probability(held), right_boxes(boxes_of(held), boxes_of(val.annotations)) == 1
    seen = p >= SHOWN
    words = [f"{one.level} {'—' if one.right is None else format(one.right, '.3f')} of {one.boxes}"
             for one in measured(p[seen], right[seen])]
    print(f"  learnt from train ({learnt.reviewed} boxes, {learnt.kind}), right on val: {', '.join(words)}; "
          f"calibration error {calibration_error(p, right):.3f}", flush=True)


def show(name: str, made: Prelabels, whole: Dataset) -> bool:
    """A model's rows; whether the means of both halves are near the stated ones."""
    found = pa.concat_tables(list(made.boxes())).combine_chunks()
    stated = [(one.AP, one.AP50) for one in read_description(name).measured]
    seen = [accuracy(found, whole.subset(split)) for split in HALVES]
    print(f"{name}: {found.num_rows} boxes kept, {made.facts['seconds']:.0f} s")
    rows = zip((*HALVES, "mean"), (*seen, np.mean(seen, axis=0)), (*stated, np.mean(stated, axis=0)), strict=True)
    for split, (ap, ap50), (their, their50) in rows:
        near = abs(ap - their) <= NEAR and abs(ap50 - their50) <= NEAR
        verdict = f": {'met' if near else 'MISSED'}" if split == "mean" else ""
        print(f"  {split:6} AP {ap:.3f} AP50 {ap50:.3f}, stated {their:.3f} {their50:.3f}{verdict}")
    return near


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--models", nargs="+", default=[name for name, one in known().items() if one.file])
    arguments.add_argument("--processes", type=int, default=2)
    arguments.add_argument("--keep", type=Path, help="a folder in which everything is kept, and gone on with")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        store, version = import_coco(folder)
        whole, near = read_dataset(version.folder), []
        for model in options.models:
            teacher = open_teacher(model, whole.meta.classes, workspace=folder, threads=1)
            made = prelabel(version, store, teacher, Settings(vectors=False), folder, options.processes)
            near.append(show(model, made, whole))
            show_levels(pa.concat_tables(list(made.boxes())).combine_chunks(), whole)
        print(f"{sum(near)} of {len(near)} models as stated")


if __name__ == "__main__":
    main()
