"""What a desk is: it hands pictures with their boxes to people, says how far they are, and brings answers back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from tasks.base.errors import UserError, nearest
from tasks.data.table import ANNOTATIONS
from tasks.labelling.jobs.job import FILES, STUDIO, Job
from tasks.labelling.jobs.pictures import Pictures

# what `Answer.boxes` has at least; further columns of `tasks.data.table.ANNOTATIONS` are kept where they are there
BOXES = pa.schema([
    ("class_id", pa.int32()), *((name, pa.float64()) for name in "xywh"),
    ("polygons", pa.list_(pa.list_(pa.float64()))),
])


@dataclass(frozen=True)
class Answer:
    """What one person says of one picture.

    Attributes:
        digest: the picture's.
        boxes: a row a box, in the form of `BOXES`: class_id into the job's classes, pixels, `polygons` null for plain
            boxes. Boxes may reach over the edge: `fetch` clips or refuses them.
        who: the person, as the desk calls them; when: seconds since 1970 of their last change.
        seconds: spent on the picture, None where the desk does not count them.
        complete: False for a draft, or a picture that was judged wrong and not mended.
        skipped: the person declined to label it.
        before: for each row of `boxes` the annotation_id of the pre-label that it goes back to, or None; None as a
            whole where the desk does not tell.
        attributes: what the desk says of the picture beside, kept in `images.attributes`; plain JSON.
    """

    digest: str
    boxes: pa.Table
    who: str
    when: float
    seconds: float | None = None
    complete: bool = True
    skipped: bool = False
    before: list[int | None] | None = None
    attributes: dict[str, Any] | None = None


@dataclass(frozen=True)
class Status:
    """How far a job is.

    Attributes:
        total: its pictures; done: those with a complete answer that is not waiting for a second look (skipped ones
            count); partial: those that somebody has begun.
        people: who → complete answers; seconds: spent by all, None where nobody counts.
        away: why the desk cannot be asked just now; None where it could be.
    """

    total: int
    done: int
    partial: int = 0
    people: dict[str, int] = field(default_factory=dict)
    seconds: float | None = None
    away: str | None = None


class Desk(Protocol):
    """Hands out and brings back. Each of these may be called again after a kill at any moment."""

    kind: str

    def send(self, job: Job, pictures: Pictures, workspace: Path) -> None:
        """Hand out all pictures of the job; what people have already is not sent twice.

        May add to `job.where`, and calls `write_job` when it does: that is how it finds what it has begun.
        """
        ...

    def status(self, job: Job) -> Status:
        """How far people are. A desk that cannot be reached says so in `away` and raises nothing."""
        ...

    def fetch(self, job: Job) -> list[Answer]:
        """All answers so far, drafts and skipped pictures too, in any order; the same answers give the same list.

        Raises:
            UserError: the desk cannot be reached, or what it has cannot be read.
        """
        ...

    def give_back(self, job: Job, digests: Sequence[str], note: str) -> None:
        """Ask for a second look at some pictures."""
        ...


def boxes_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Boxes as a table: the columns of `BOXES`, and those of `ANNOTATIONS` that any row has."""
    rows = list(rows)
    more = {name for row in rows for name in row} - set(BOXES.names)
    fields = [*BOXES, *(field.with_nullable(True) for field in ANNOTATIONS if field.name in more)]
    return pa.table([pa.array([row.get(field.name) for row in rows], field.type) for field in fields],
                    schema=pa.schema(fields))


def answered(answers: Sequence[Answer], job: Job) -> set[str]:
    """Digests of the pictures with an answer that is complete or skipped and came after they were given back."""
    mine = set(job.order)
    return {one.digest for one in answers if (one.complete or one.skipped) and one.digest in mine
            and one.when > job.returned_at.get(one.digest, float("-inf"))}


def status_of(job: Job, answers: Sequence[Answer]) -> Status:
    """How far a job is by its answers, for a desk that has nothing else to say."""
    done, people = answered(answers, job), dict[str, int]()
    for one in answers:
        if one.complete or one.skipped:
            people[one.who] = people.get(one.who, 0) + 1
    begun = {one.digest for one in answers} & set(job.order)
    spent = [one.seconds for one in answers if one.seconds is not None]
    return Status(len(job.order), len(done), len(begun - done), people, sum(spent) if spent else None)


def desk_of(job: Job, workspace: Path) -> Desk:
    """The desk that has a job.

    Raises:
        UserError: nothing here can ask a desk of that kind.
    """
    if job.desk == STUDIO:
        module = import_module("tasks.labelling.studio.desk")
        desk: Desk = module.StudioDesk(job, workspace)
        return desk
    if job.desk in FILES:
        from tasks.labelling.jobs.files import FilesDesk

        return FilesDesk(job, workspace)
    guess = nearest(job.desk, (STUDIO, *FILES))
    raise UserError(f"no desk is called {job.desk!r}", where=job.name, mend=f"did you mean {guess!r}?" if guess else
                    f"one of: {', '.join((STUDIO, *FILES))}; a round that asks an oracle fetches itself")
