"""Fetching: what people have done so far becomes the next version of a dataset, the same one where nothing is new."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.base.files import read_json, write_atomic, write_json
from tasks.data.store.labelled import publish_labels
from tasks.data.store.layout import Store, Version
from tasks.labelling.jobs.correcting import Corrected, correct
from tasks.labelling.jobs.desk import Answer, Desk, answered, desk_of
from tasks.labelling.jobs.job import Job, locked, now
from tasks.labelling.jobs.keeping import remember
from tasks.labelling.jobs.learning import learn_from
from tasks.labelling.jobs.pictures import Pictures, version_of
from tasks.labels.clicks import NEEDED, Totals

CONFLICTS, FETCHED = "conflicts.csv", "fetched.json"
COLUMNS = ("file", "digest", "kind", "class", "x", "y", "w", "h", "voice", "reason")


@dataclass(frozen=True)
class Fetched:
    """What a fetch brought.

    Attributes:
        version: of the labels; None where nobody has finished a picture yet. new: whether it was made just now.
        answers: all that are known, drafts and skipped ones too.
        conflicts: what earlier people said and later ones did not, in the form of `labels.merging.CONFLICTS`; image_ids
            are those of the job's version.
        clicks: corrections by kind, clicks with the pre-labels and from nothing.
        done: pictures that are labelled or skipped, of `total`.
        told: what a person should know: strange pictures, clipped and refused boxes, what was learnt.
    """

    version: Version | None
    new: bool
    answers: list[Answer]
    conflicts: pa.Table
    clicks: Totals
    done: int
    total: int
    told: list[str] = field(default_factory=list)


def fetch(job: Job, store: Store, out: str, owner: str, *, desk: Desk | None = None, learn: bool = True) -> Fetched:
    """Bring back what people have done, publish it as a version of `out`, and learn from it how far the model is right.

    What was fetched once is kept: a picture that is deleted at the desk keeps its labels.

    Args:
        desk: asked instead of the job's own.
        learn: calibrate the model on what was reviewed, for pictures that it was not trained on.

    Raises:
        UserError: the desk cannot be reached, the job's version is gone, or the name `out` is somebody else's.
        DataError: what came back cannot be read, or has a class that nobody knows.
    """
    with locked(job.workspace):
        parent = version_of(job, store)
        desk = desk or desk_of(job, job.workspace)
        found = desk.fetch(job)
        told = list(getattr(desk, "told", []))
        mine = set(job.order)
        told += _strangers(found, mine)
        answers = remember(job, [one for one in found if one.digest in mine])
        made = correct(answers, Pictures(parent.folder, store.pictures, job.order), job)
        version, new = _publish(made, parent, store, out, owner, job, answers)
        told += made.told
        if version is not None and learn:
            told += learn_from(job, parent, version, store)
        _note(job, made, version, parent, answers, told)
    done = answered(answers, job)
    return Fetched(version, new, answers, made.conflicts, made.clicks, len(done), len(job.order), told)


def last_fetch(job: Job) -> dict[str, Any]:
    """What the last fetch noted: version, counts of corrections, clicks, seconds, conflicts; empty before it."""
    path = job.folder / FETCHED
    found = read_json(path) if path.is_file() else {}
    return found if isinstance(found, dict) else {}


def _publish(made: Corrected, parent: Version, store: Store, out: str, owner: str, job: Job,
             answers: Sequence[Answer]) -> tuple[Version | None, bool]:
    if not made.pictures:
        return None, False
    people = sorted({one.who for one in answers if one.complete and not one.skipped})
    said = {"by": "people", "job": job.name, "desk": job.desk, "people": people}
    return publish_labels(store, parent, out=out, owner=owner, said=said, keep=np.array([*made.pictures], np.int64),
                          annotations=made.annotations, pictures=made.pictures, classes=job.classes)


def _strangers(found: Sequence[Answer], mine: set[str]) -> list[str]:
    strange = sorted({one.digest for one in found} - mine)
    if not strange:
        return []
    return [f"{len(strange)} pictures came back that are not of this job, and were left out: "
            f"{', '.join(digest[:12] for digest in strange[:5])}{' …' if len(strange) > 5 else ''}"]


def _note(job: Job, made: Corrected, version: Version | None, parent: Version, answers: Sequence[Answer],
          told: Sequence[str]) -> None:
    """Leave beside the job what was decided against whom, and the sums."""
    rows = made.conflicts.to_pylist()
    if rows or (job.folder / CONFLICTS).exists():
        write_atomic(job.folder / CONFLICTS, _csv(rows, parent, job))
    spent = [one.seconds for one in answers if one.seconds is not None]
    facts: Mapping[str, Any] = {
        "version": version.ref if version else None, "when": now(), "pictures": len(made.pictures),
        "counts": {name: made.clicks.counts.get(name, 0) for name in NEEDED}, "clicks": made.clicks.clicks,
        "from_nothing": made.clicks.from_nothing, "seconds": sum(spent) if spent else None, "conflicts": len(rows),
        "told": list(told)}
    write_json(job.folder / FETCHED, facts)


def _csv(rows: Sequence[Mapping[str, Any]], parent: Version, job: Job) -> str:
    import pyarrow.parquet as pq

    images = pq.read_table(parent.folder / "images.parquet", columns=["image_id", "file", "digest"]).to_pydict()
    named = {image: (file, digest) for image, file, digest in zip(*images.values(), strict=True)}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([*named[row["image_id"]], row["kind"], job.classes[row["class_id"]],
                         *(row[side] for side in "xywh"), row["voice"], row["reason"]])
    return text.getvalue()


def conflicts_file(job: Job) -> Path:
    """Where the conflicts of the last fetch are listed."""
    return job.folder / CONFLICTS
