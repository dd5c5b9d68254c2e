"""A labelling job: the pictures of one dataset version that people look at, hardest first.

    .visionmill/labelling/NAME/job.json       what is away, where, in what order, what was given back
    .visionmill/labelling/NAME/…              what its desk and `fetch` keep beside it
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.base.errors import DataError, UserError, WorkspaceBusy
from tasks.base.files import read_json, write_json
from tasks.base.locks import held_alone
from tasks.base.naming import unknown

FOLDER = Path(".visionmill/labelling")
# desks of files: the format that each writes and reads
FILES = ("coco", "superb", "groundtruth", "cvat")
STUDIO = "label-studio"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Job(BaseModel):
    """One job, as `job.json` has it. Whoever changes it calls `write_job`.

    Attributes:
        folder: the job's own, absolute.
        desk: `label-studio`, one of `FILES`, or another desk's `kind`.
        version: NAME@N that the pictures and their pre-labels are of; digest: that version's.
        classes: names of the class ids of its labels; people may have added some at the end.
        order: the pictures' digests, hardest first.
        instructions: for the people, as Markdown or text.
        made: when, in ISO form; sent: when the desk last had all of `order`; None where it was interrupted.
        returned: digest → what is to be looked at again; returned_at: when, in seconds since 1970.
        where: what the desk keeps to find it again: a folder, or an address and a project's id.
        options: of the desk.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    folder: Path = Field(exclude=True)
    name: str
    desk: str
    version: str
    digest: str
    classes: list[str]
    order: list[str]
    instructions: str = ""
    made: str = ""
    sent: str | None = None
    returned: dict[str, str] = {}
    returned_at: dict[str, float] = {}
    where: dict[str, Any] = {}
    options: dict[str, Any] = {}

    @property
    def workspace(self) -> Path:
        return self.folder.parents[len(FOLDER.parts)]


def now() -> str:
    """The time in ISO form, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def folder_of(name: str, workspace: Path = Path()) -> Path:
    """The folder of a job, whether it is there or not.

    Raises:
        UserError: no folder may have that name.
    """
    if not NAME.fullmatch(name):
        raise UserError(f"{name!r} cannot be a job's name", mend="letters, digits, dots, dashes, underscores")
    return workspace.resolve() / FOLDER / name


def read_job(name: str, workspace: Path = Path()) -> Job:
    """The job of that name.

    Raises:
        UserError: there is none; the nearest name is offered. DataError: its file is damaged.
    """
    path = folder_of(name, workspace) / "job.json"
    try:
        return Job(folder=path.parent, **read_json(path))
    except FileNotFoundError:
        raise unknown("no labelling job is", name, names(workspace), where=path.parent.parent,
                      otherwise="visionmill label send NAME --to files") from None
    except (ValidationError, ValueError, TypeError) as error:
        raise DataError(f"the job's file is damaged: {error}", where=path,
                        mend=f"remove {path.parent}, and send the version again") from None


def write_job(job: Job) -> None:
    """Write `job.json`, all or nothing."""
    write_json(job.folder / "job.json", job.model_dump(mode="json"))


def names(workspace: Path = Path()) -> list[str]:
    """The names of all jobs."""
    folder = workspace.resolve() / FOLDER
    return sorted(path.parent.name for path in folder.glob("*/job.json")) if folder.is_dir() else []


def jobs(workspace: Path = Path()) -> list[Job]:
    """All jobs, by name."""
    return [read_job(name, workspace) for name in names(workspace)]


@contextmanager
def locked(workspace: Path) -> Iterator[None]:
    """Held while jobs are changed.

    Raises:
        WorkspaceBusy: another command does so.
    """
    folder = workspace.resolve() / FOLDER
    with held_alone(folder / ".lock", lambda holder: WorkspaceBusy(
            "another command sends or fetches labels here", where=folder,
            mend="wait for it, and run this again")):
        yield
