"""How far a new model is believed before people have corrected its boxes.

As a twin of it, on pictures that were left out of the twin's training; later as the model of the round before.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.base.files import folder_atomic, write_json
from tasks.improving.light import train_and_judge

if TYPE_CHECKING:
    from tasks.improving.work import Work

FOLDS = 4  # a quarter of the labels is left out for the twin
FEWEST = 8  # pictures: of fewer a quarter says nothing
TWIN, LEARNT, MISSED = "twin", "calibration.json", "missed.json"
ENDINGS = {LEARNT: ".json", MISSED: ".missed.json"}


def learn_from_twin(work: Work) -> str:
    """Train a twin on three quarters of the first labels, and learn from the last quarter how far its scores are right.

    Returns:
        What was learnt, in a line.
    """
    from dataclasses import replace

    from tasks.data.splitting import folds, read_pictures
    from tasks.data.table import read_dataset
    from tasks.labels.calibration import calibrate
    from tasks.labels.difficulty import missed_rates

    version, settings = work.set(), work.settings
    whole = read_dataset(version.folder)
    aside = folds(read_pictures(version.folder), FOLDS, settings.seed) == 0
    aside &= ~np.isin(np.array(whole.images["split"].to_pylist(), object), ["val", "test"])
    if whole.images.num_rows < FEWEST or not aside.any():
        return "too few labels for a twin: how far the model is right is a guess at first"
    images = whole.images.filter(pa.array(aside))
    inside = pc.is_in(whole.annotations["image_id"], value_set=images["image_id"].combine_chunks())
    held = replace(whole, images=images, annotations=whole.annotations.filter(inside))
    place = work.loop.folder / "models" / TWIN
    light = settings.light.model_copy(update={"draws": 100})
    made = train_and_judge(version.folder, work.store.pictures, light, judge=held, out=place, seed=settings.seed)
    ids = np.sort(images["image_id"].to_numpy())
    learnt = calibrate(made.detections, held.annotations, ids)
    missed = missed_rates(made.detections, held.annotations, ids)
    with folder_atomic(place.with_name(f"{TWIN}-learnt")) as fresh:
        learnt.write(fresh / LEARNT)
        write_json(fresh / MISSED, missed.as_dict())
    return f"how far it is right was learnt from {learnt.reviewed:,} boxes of a twin on {len(ids):,} pictures left out"


def believe(work: Work, digest: str) -> None:
    """Let a model of which nothing was reviewed be believed as the one before it, or as the twin."""
    from tasks.labelling.prelabelling.learning import KEPT

    kept = work.desk_root / KEPT
    if (kept / f"{digest}{ENDINGS[LEARNT]}").is_file():
        return
    earlier = work.state.last("model_digest", work.arm, before=work.round)
    twin = work.loop.folder / "models" / f"{TWIN}-learnt"
    for name, ending in reversed(ENDINGS.items()):
        source = kept / f"{earlier}{ending}" if earlier else twin / name
        source = source if source.is_file() else twin / name
        if source.is_file():
            _copied(source, kept / f"{digest}{ending}")


def _copied(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}")
    shutil.copyfile(source, beside)
    beside.replace(target)
