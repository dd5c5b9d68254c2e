"""Since when a desk cannot be reached."""

from __future__ import annotations

from pathlib import Path

from tasks.base.files import read_json, write_json
from tasks.labelling.jobs.desk import Status, desk_of
from tasks.labelling.jobs.job import Job, now

FILE = "away.json"


def ask(job: Job, workspace: Path) -> tuple[Status, str | None]:
    """A job's status, and since when its desk has not answered; None where it does."""
    status = desk_of(job, workspace).status(job)
    path = job.folder / FILE
    if status.away is None:
        path.unlink(missing_ok=True)
        return status, None
    try:
        since = str(read_json(path)["since"])
    except (OSError, ValueError, KeyError, TypeError):
        since = now()
        write_json(path, {"since": since})
    return status, since
