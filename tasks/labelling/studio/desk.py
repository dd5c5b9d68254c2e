"""The desk `label-studio`: a job's pictures as tasks of a project, and what people made of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from tasks.base.errors import DataError, UserError
from tasks.base.progress import Progress, duration
from tasks.labelling.jobs.desk import Answer, Status, answered, status_of
from tasks.labelling.jobs.job import STUDIO, Job, write_job
from tasks.labelling.jobs.keeping import recall
from tasks.labelling.jobs.pictures import Pictures
from tasks.labelling.studio.access import find_access
from tasks.labelling.studio.answers import Answers
from tasks.labelling.studio.client import Client, StudioAway
from tasks.labelling.studio.pictures import Served, Uploaded
from tasks.labelling.studio.project import find_project, make_project, refuse_masks, send_again
from tasks.labelling.studio.tasks import Known, second_look, task_of

# a thousand predictions in one request run into the time limit of what stands before a server
BATCH = 50
# `visionmill up` starts a server that died again within a minute
PATIENCE_S = 120.0
TRIES = 4
LOOK_S = 1.0
SHOWN_FLAWS = 8


class StudioDesk:
    """Hands a job to people by Label Studio and brings back what they said.

    Args:
        workspace: its site, or its `visionmill up`, says which server.

    Attributes:
        told: lines for the person who sends or fetches.
    """

    kind = STUDIO

    def __init__(self, job: Job, workspace: Path, patience_s: float = PATIENCE_S) -> None:
        self.job, self.workspace, self.patience_s = job, workspace, patience_s
        self.told: list[str] = []

    def send(self, job: Job, pictures: Pictures, workspace: Path) -> None:
        """Make the tasks that are not there yet, hardest first, and wait for a server that goes away meanwhile.

        Raises:
            StudioAway: it does not answer. StudioDenied: its token. UserError: a label that is a mask of run lengths.
        """
        refuse_masks(pictures)
        with Client(find_access(self.workspace)) as client:
            client.get("/api/version")
            self._patiently(client, lambda: self._send(client, job, pictures))
        points = pictures.dataset.annotations["keypoints"]
        lost = len(points) - points.null_count
        self.told = [f"people label at {job.where['page']}",
                     *[f"{lost} boxes have points: Label Studio shows the boxes alone"] * bool(lost)]

    def _send(self, client: Client, job: Job, pictures: Pictures) -> None:
        project = make_project(client, job, pictures)
        known, kept = Known.of(client, job, project), recall(job)
        # a task that is gone after its answer was fetched is nobody's work any more
        done = answered(kept, job)
        missing = [digest for digest in job.order if digest not in known.there and digest not in done]
        if missing:
            self._post(client, job, project, pictures.only(missing), kept)
            known = Known.of(client, job, project)
        known.drop_copies(client, project)
        if absent := [digest for digest in missing if digest not in known.there]:
            raise UserError(f"Label Studio took {len(absent)} pictures and does not have them", where=job.where["page"],
                            mend="send the job again: it goes on from there")

    def _post(self, client: Client, job: Job, project: int, pictures: Pictures, kept: Sequence[Answer]) -> None:
        source = _source(client, job, project)
        rank = {digest: place for place, digest in enumerate(job.order, start=1)}
        last = {one.digest: one for one in sorted(kept, key=lambda one: one.when) if one.complete and not one.skipped}
        progress = Progress(len(pictures), f"to {job.where['page']}:")
        tasks = iter(pictures)
        while batch := list(islice(tasks, BATCH)):
            body = [task_of(job, task, rank[task.digest], address, last.get(task.digest)) for task, address in
                    zip(batch, source.addresses(batch), strict=True)]
            client.post(f"/api/projects/{project}/import", body)
            progress.step(count=len(batch))

    def status(self, job: Job) -> Status:
        """How far people are. Pictures whose tasks somebody deleted there no longer count, but for those that were
        answered and fetched before."""
        try:
            with Client(find_access(self.workspace)) as client:
                project = find_project(client, job)
                known = Known.of(client, job, project)
                answers = Answers(client, job, project)
                said = answers.read(strictly=False)
        except UserError as error:
            # what was fetched is known without the server
            return replace(status_of(job, recall(job)), away=_why(error))
        there = {one.digest for one in said}
        said = [one for one in said if one.complete or one.skipped]
        said += [one for one in recall(job) if one.digest not in there]
        done = answered(said, job)
        return replace(status_of(job, said), total=len(known.there | done), partial=len(answers.begun - done))

    def fetch(self, job: Job) -> list[Answer]:
        """All answers so far; classes that people have added to the interface come behind the job's own.

        Raises:
            StudioAway, StudioDenied, StudioMissing: nothing was changed, and nothing is lost. DataError: regions that
            cannot be labels here, each with the address of its task.
        """
        with Client(find_access(self.workspace)) as client:
            project = find_project(client, job)
            known = Known.of(client, job, project)
            known.drop_copies(client, project)
            answers = Answers(client, job, project)
            found = answers.read()
        if answers.flaws:
            more = f"\n  and {len(answers.flaws) - SHOWN_FLAWS} more" * (len(answers.flaws) > SHOWN_FLAWS)
            raise DataError(f"{len(answers.flaws)} regions in Label Studio cannot be labels here:\n  "
                            + "\n  ".join(answers.flaws[:SHOWN_FLAWS]) + more, where=job.where.get("page"),
                            mend="mend them there and fetch again; nothing was changed")
        if answers.added:
            job.classes = [*job.classes, *answers.added]
            write_job(job)
        gone = set(job.order) - known.there - answered([*recall(job), *found], job)
        self.told = [f"{len(gone):,} pictures without an answer are not in Label Studio any more: "
                     f"{send_again(job)} hands them out again"] * bool(gone)
        return found

    def give_back(self, job: Job, digests: Sequence[str], note: str) -> None:
        """A further task for each picture, with the note above it and the last answer to start from; the earlier task
        and its answer stay. One that already waits with this note is not made twice.

        Raises:
            UserError: a picture that is not of this job or whose task was deleted; StudioAway and the like as `send`.
        """
        with Client(find_access(self.workspace)) as client:
            project = find_project(client, job)
            self._patiently(client, lambda: second_look(client, job, project, digests, note))

    def _patiently(self, client: Client, work: Callable[[], None]) -> None:
        """Each try looks first at what is there, so what a broken request did or did not do is known."""
        for left in reversed(range(TRIES)):
            try:
                return work()
            except StudioAway:
                if not left or not self._returns(client):
                    raise
        return None

    def _returns(self, client: Client) -> bool:
        print(f"Label Studio does not answer: waiting for {client.url} up to {duration(self.patience_s)}", flush=True)
        end = time.monotonic() + self.patience_s
        while time.monotonic() < end:
            time.sleep(LOOK_S)
            try:
                client.get("/api/version")
                return True
            except StudioAway:
                continue
        return False


def _why(error: UserError) -> str:
    """Why a desk cannot be asked, and what to do, in a line."""
    return "; ".join(str(part) for part in (f"{error.what} ({error.where})" if error.where else error.what, error.mend)
                     if part)


def _source(client: Client, job: Job, project: int) -> Served | Uploaded:
    folder = client.access.folder
    return Served(client, project, folder, f"{job.name}-{job.where['key']}") if folder else Uploaded(client, project)
