"""What people have reviewed says how far their model is right: learnt from pictures that it was not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from tasks.base.errors import VisionmillError
from tasks.data.store.layout import Store, Version
from tasks.data.table import Dataset, read_dataset, write_dataset
from tasks.labelling.jobs.job import Job

if TYPE_CHECKING:
    from tasks.labelling.prelabelling.prelabels import Prelabels

DEEP = 20  # parents of parents that are followed


def learn_from(job: Job, parent: Version, reviewed: Version, store: Store) -> list[str]:
    """Calibrate each model whose pre-labels were reviewed; lines on what was learnt, and why not.

    Nothing is learnt, and nothing said, where the boxes are no model's, or were not made by `label auto` here.
    """
    told = []
    for model in models_of(parent):
        try:
            told += _learn(model, job, parent, reviewed, store)
        except VisionmillError as error:
            told.append(f"nothing was learnt of {model}: {error.what}")
    return told


def models_of(version: Version) -> list[str]:
    """Names of the models whose boxes a version has."""
    import pyarrow.parquet as pq

    sources = pq.read_table(version.folder / "annotations.parquet", columns=["source"])["source"]
    return sorted(name.removeprefix("model:") for name in pc.unique(sources).to_pylist() if name.startswith("model:"))


def _learn(model: str, job: Job, parent: Version, reviewed: Version, store: Store) -> list[str]:
    from tasks.labelling.checking.seen import trained_on
    from tasks.labelling.prelabelling.learning import learn

    prelabels = _prelabels(model, parent, store, job.workspace)
    if prelabels is None:
        return []
    seen = trained_on(model, job.workspace) or set()
    dataset = read_dataset(reviewed.folder)
    fresh = [digest not in seen for digest in dataset.images["digest"].to_pylist()]
    if not any(fresh):
        return [f"nothing was learnt of {model}: it was trained on all {len(fresh):,} pictures"]
    if not all(fresh):
        reviewed = _aside(job, model, dataset, fresh, reviewed)
    learnt = learn(prelabels, reviewed, job.workspace)
    left = f", without {fresh.count(False):,} that it was trained on" if not all(fresh) else ""
    return [f"learnt how far {model} is right from {learnt.reviewed:,} reviewed boxes{left}"]


def _prelabels(model: str, version: Version, store: Store, workspace: Path) -> Prelabels | None:
    """The pre-labels that a version's boxes are from, by its parents; None where `label auto` did not make them."""
    from tasks.labelling.prelabelling.prelabels import newest

    waiting, met = [version], set[str]()
    while waiting and len(met) < DEEP:
        one = waiting.pop(0)
        met.add(one.ref)
        try:
            return newest(one, workspace, model)
        except VisionmillError:
            known = [candidate for parent in one.meta.parents if parent not in met
                     for candidate in store.of(parent.partition("@")[0]) if candidate.ref == parent and candidate.here]
            waiting += known
    return None


def _aside(job: Job, model: str, dataset: Dataset, fresh: list[bool], reviewed: Version) -> Version:
    """The reviewed pictures that the model was not trained on, beside the job: what is learnt goes by this folder."""
    images = dataset.images.filter(pa.array(fresh))
    inside = pc.is_in(dataset.annotations["image_id"], value_set=images["image_id"].combine_chunks())
    folder = job.folder / "unseen" / "".join(c if c.isalnum() else "-" for c in model)
    write_dataset(folder, Dataset(images, dataset.annotations.filter(inside), dataset.meta))
    return Version(reviewed.name, reviewed.number, folder)
