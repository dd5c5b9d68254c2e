"""Giving pictures back to people for a second look."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import PurePosixPath

import pyarrow.parquet as pq

from tasks.base.errors import UserError, nearest
from tasks.data.store.layout import Store
from tasks.labelling.jobs.desk import Desk, answered, desk_of
from tasks.labelling.jobs.job import Job, locked, write_job
from tasks.labelling.jobs.keeping import recall
from tasks.labelling.jobs.pictures import version_of

SHORTEST = 6  # characters of a digest that name a picture


def give_back(job: Job, digests: Sequence[str], note: str, *, desk: Desk | None = None) -> None:
    """Ask for a second look at pictures of a job; they are open again until somebody answers anew.

    Raises:
        UserError: a picture is not of the job, or there is no note.
    """
    strange = [digest for digest in digests if digest not in set(job.order)]
    if strange or not digests:
        raise UserError(f"{len(strange)} pictures are not of job {job.name!r}" if strange else "no picture is named",
                        where=job.folder, mend="visionmill label return JOB --pictures NAME …")
    if not note.strip():
        raise UserError("a second look needs a note that says what to look at", where=job.name, mend="--note TEXT")
    with locked(job.workspace):
        known = recall(job)
        seen = answered(known, job)
        # asked again after a kill, a picture keeps the time from which it waits
        again = [digest for digest in digests if job.returned.get(digest) != note or digest in seen]
        job.returned |= dict.fromkeys(digests, note)
        job.returned_at |= dict.fromkeys(again, time.time())
        for one in known:  # a desk whose clock is ahead of ours: what it had said already is not the answer
            if one.digest in again:
                job.returned_at[one.digest] = max(job.returned_at[one.digest], one.when)
        write_job(job)
        (desk or desk_of(job, job.workspace)).give_back(job, list(digests), note)


def find_pictures(job: Job, store: Store, words: Sequence[str]) -> list[str]:
    """Digests of the pictures that a person names: by file name, by path, or by the beginning of the digest.

    Raises:
        UserError: no picture of the job is called so, or several are.
    """
    table = pq.read_table(version_of(job, store).folder / "images.parquet", columns=["digest", "file"]).to_pydict()
    mine = set(job.order)
    files = {digest: file for digest, file in zip(*table.values(), strict=True) if digest in mine}
    found = []
    for word in words:
        hits = [digest for digest, file in files.items() if file == word or PurePosixPath(file).name == word
                or PurePosixPath(file).stem == word or (len(word) >= SHORTEST and digest.startswith(word))]
        if len(hits) != 1:
            names = [PurePosixPath(file).name for file in files.values()]
            guess = nearest(word, names)
            raise UserError(f"{len(hits) or 'no'} pictures of job {job.name!r} are called {word!r}", where=job.folder,
                            mend="name it with its folder: " + ", ".join(files[d] for d in hits[:3]) if hits else
                            f"did you mean {guess!r}?" if guess else f"it has {', '.join(names[:3])} …")
        found.append(hits[0])
    return list(dict.fromkeys(found))
