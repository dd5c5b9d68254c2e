"""A desk where known labels answer in place of people: what a loop is worth can be seen in minutes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.base.errors import DataError, UserError
from tasks.labels.clicks import Settings as Clicks
from tasks.labels.clicks import compare

if TYPE_CHECKING:
    from tasks.data.store.layout import Store, Version
    from tasks.data.table import Dataset
    from tasks.labelling.jobs.desk import Answer, Status
    from tasks.labelling.jobs.job import Job
    from tasks.labelling.jobs.pictures import Pictures

BOX = ["image_id", "class_id", "x", "y", "w", "h"]
WHO = "oracle"


class OracleDesk:
    """Answers from known labels, as a person would who knows them: a box that lies well enough stays as it is.

    Args:
        truth: the version with all labels; pictures go by their digests, classes by their names.
        content: overlap from which a box is left where it is; a wrong class is mended in any case.
        store: where a job's version is found again after the workspace was moved; None: where it was sent from.

    Raises:
        UserError: the version has no labels.
    """

    kind = "oracle"

    def __init__(self, truth: Version, content: float = 0.7, store: Store | None = None) -> None:
        from tasks.data.table import read_dataset

        self.truth: Dataset = read_dataset(truth.folder)
        self.ref, self.content, self.store = truth.ref, content, store
        if not self.truth.annotations.num_rows:
            raise no_labels(truth.ref)

    def send(self, job: Job, pictures: Pictures, workspace: Path) -> None:
        """Note where the pre-labels are; nobody has to be told."""
        from tasks.labelling.jobs.job import write_job

        job.where = job.where | {"tables": str(pictures.folder)}
        write_job(job)

    def status(self, job: Job) -> Status:
        """All is done at once."""
        from tasks.labelling.jobs.desk import Status

        return Status(len(job.order), len(job.order), 0, {WHO: len(job.order)})

    def fetch(self, job: Job) -> list[Answer]:
        """The known labels of each picture; the same each time.

        Raises:
            DataError: a picture whose labels are not known, or a class that the job does not have.
        """
        from tasks.data.table import read_dataset
        from tasks.labelling.jobs.pictures import version_of

        before = read_dataset(version_of(job, self.store).folder if self.store else Path(str(job.where["tables"])))
        after = self._known(job, before)
        rows = compare(before.annotations.select(BOX), after, Clicks(same=self.content))
        return _answers(job, before, after, rows)

    def give_back(self, job: Job, digests: Sequence[str], note: str) -> None:
        """It would say the same again."""

    def _known(self, job: Job, before: Dataset) -> pa.Table:
        """The known labels of the job's pictures, with image_ids of the job's version and the job's class ids."""
        number = dict(zip(*(before.images[name].to_pylist() for name in ("digest", "image_id")), strict=True))
        ours = dict(zip(*(self.truth.images[name].to_pylist() for name in ("image_id", "digest")), strict=True))
        answerable = set(ours.values())
        lacking = [digest for digest in job.order if digest not in answerable]
        if lacking:
            raise DataError(f"{len(lacking)} pictures of the job have no known labels, the first {lacking[0][:12]}…",
                            where=self.ref, mend="an oracle's pool is part of the version that it knows")
        wanted = set(job.order)
        table = self.truth.annotations.filter(pc.invert(self.truth.annotations["iscrowd"]))
        owner = [ours[image] for image in table["image_id"].to_pylist()]
        here = np.array([digest in wanted for digest in owner], bool)
        table = table.filter(pa.array(here)).select(BOX)
        names, unknown = self.truth.meta.classes, set(self.truth.meta.classes) - set(job.classes)
        said = [names[label] for label in table["class_id"].to_pylist()]
        if unknown & set(said):
            raise DataError(f"the pool does not know the class {sorted(unknown & set(said))[0]}", where=job.version,
                            mend="begin the rounds with a pool of the same classes")
        image = [number[digest] for digest, taken in zip(owner, here.tolist(), strict=True) if taken]
        table = table.set_column(0, "image_id", pa.array(image, pa.int64()))
        return table.set_column(1, "class_id", pa.array([job.classes.index(name) for name in said], pa.int32()))


def _answers(job: Job, before: Dataset, after: pa.Table, rows: pa.Table) -> list[Answer]:
    """An answer a picture. Of what was left where it was, the place is the pre-label's."""
    from tasks.labelling.jobs.desk import Answer, boxes_table

    digests = dict(zip(*(before.images[name].to_pylist() for name in ("image_id", "digest")), strict=True))
    old, new = before.annotations.to_pylist(), after.to_pylist()
    boxes: dict[str, list[dict[str, Any]]] = {digest: [] for digest in job.order}
    origins: dict[str, list[int | None]] = {digest: [] for digest in job.order}
    for row in rows.to_pylist():
        if row["after"] is None or digests[row["image_id"]] not in boxes:
            continue
        digest, box = digests[row["image_id"]], dict(new[row["after"]])
        origin = old[row["before"]] if row["before"] is not None else None
        if origin is not None and row["needed"] in ("accepted", "class"):
            box |= {name: origin[name] for name in ("x", "y", "w", "h", "polygons")}
        boxes[digest].append(box)
        origins[digest].append(None if origin is None else origin["annotation_id"])
    when = datetime.fromisoformat(job.made).timestamp() if job.made else 0.0
    return [Answer(digest, boxes_table(boxes[digest]), WHO, max(when, job.returned_at.get(digest, 0.0) + 1),
                   before=origins[digest]) for digest in job.order]


def no_labels(ref: str) -> UserError:
    """What is said where an oracle has nothing to answer with."""
    return UserError("an oracle answers from known labels, and there are none", where=ref,
                     mend="take a labelled dataset, or leave --oracle out: people then label")
