"""Sending a version's pictures to people: in what order, and under which job."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from tasks.base.errors import UserError
from tasks.data.store.layout import Store, Version
from tasks.labelling.jobs.desk import Desk, desk_of
from tasks.labelling.jobs.job import Job, folder_of, jobs, locked, names, now, read_job, write_job
from tasks.labelling.jobs.pictures import Pictures

PROBLEMS = ("detect", "segment")
BY_PICTURE, BY_BOXES, BY_TABLE = ("the difficulty of each picture", "the difficulty of its boxes",
                                  "the order of the version: no difficulty is known")


def send(version: Version, store: Store, desk: str | Desk, *, name: str | None = None, hardest: int | None = None,
         instructions: str = "", workspace: Path = Path(), options: Mapping[str, Any] | None = None,
         tell: Callable[[str], None] = lambda line: None) -> Job:
    """Hand the hardest pictures of a version to people, with its boxes.

    The same version again goes on with the same job: what was interrupted is finished, what is there stays, and a
    larger `hardest` adds pictures at the end.

    Args:
        desk: `label-studio`, one of `FILES`, or a desk itself.
        name: of the job; the version's when None. Another name makes a second job of the same version.
        hardest: this many pictures; all when None, and those that it has where the job is there.
        instructions: for the people; empty leaves those that are there.
        options: of the desk.
        tell: takes lines on what was chosen and what the desk cannot hold.

    Raises:
        UserError: the name is another version's job, or this version is with another desk.
    """
    kind = desk if isinstance(desk, str) else desk.kind
    _refuse(version, hardest)
    with locked(workspace):
        job = _job_of(version, kind, name, workspace)
        known = job is not None
        job = job or _new_job(version, kind, name, workspace)
        job.options = _agreed(job, dict(options or {}), known)
        job.instructions = instructions or job.instructions
        _choose(job, version, hardest, tell)
        job.sent = None
        write_job(job)
        who = desk_of(job, workspace) if isinstance(desk, str) else desk
        who.send(job, Pictures(version.folder, store.pictures, job.order), workspace)
        for line in getattr(who, "told", []):
            tell(line)
        job.sent = now()
        write_job(job)
    return job


def hardest_first(version: Version) -> tuple[list[str], str]:
    """The digests of a version's pictures, each once, hardest first, and what the order goes by.

    By `prelabel.difficulty` of each picture; where none has it by 1 − Π (1 − difficulty) of its boxes, the probability
    that one of them is wrong; where no box has one either, as they stand. Equal ones stay as they stand.
    """
    images = pq.read_table(version.folder / "images.parquet", columns=["image_id", "digest", "attributes"])
    told = np.array([_difficulty(text) for text in images["attributes"].to_pylist()], float)
    by = BY_PICTURE
    if not np.isfinite(told).any():
        told, by = _of_boxes(version, images["image_id"].to_numpy()), BY_BOXES
    if not np.isfinite(told).any():
        told, by = np.zeros(images.num_rows), BY_TABLE
    order = np.argsort(-np.nan_to_num(told, nan=-1.0), kind="stable")
    digests = images["digest"].to_pylist()
    return list(dict.fromkeys(digests[row] for row in order)), by


def _difficulty(text: str | None) -> float:
    if not text:
        return float("nan")
    told = json.loads(text).get("prelabel")
    value = told.get("difficulty") if isinstance(told, dict) else None
    return float(value) if isinstance(value, int | float) else float("nan")


def _of_boxes(version: Version, pictures: np.ndarray) -> np.ndarray:
    boxes = pq.read_table(version.folder / "annotations.parquet", columns=["image_id", "difficulty"])
    value = boxes["difficulty"].to_numpy(zero_copy_only=False).astype(float)
    known = np.isfinite(value)
    place = np.searchsorted(pictures, boxes["image_id"].to_numpy()[known])
    logs = np.bincount(place, np.log(np.clip(1 - value[known], 1e-9, 1)), len(pictures))
    return np.where(np.bincount(place, minlength=len(pictures)) > 0, 1 - np.exp(logs), np.nan)


def _choose(job: Job, version: Version, hardest: int | None, tell: Callable[[str], None]) -> None:
    """Fill the job's order; what is in it stays in its place."""
    if job.order and (hardest is None or hardest <= len(job.order)):
        return
    ranked, by = hardest_first(version)
    have = set(job.order)
    more = [digest for digest in ranked if digest not in have]
    job.order += more if hardest is None else more[:hardest - len(job.order)]
    if hardest is not None and hardest > len(job.order):
        tell(f"{hardest:,} pictures were asked for, and there are {len(job.order):,}")
    tell(f"order: hardest first by {by}" if by != BY_TABLE else f"order: {by}")
    rows = pq.ParquetFile(version.folder / "images.parquet").metadata.num_rows
    if rows > len(ranked):
        tell(f"{rows - len(ranked)} pictures are there twice: each is sent once")


def _refuse(version: Version, hardest: int | None) -> None:
    if version.meta.problem not in PROBLEMS:
        raise UserError(f"{version.ref} is for {version.meta.problem!r}, and people are asked for boxes and polygons",
                        where=version.folder, mend="send a dataset of the problem detect or segment")
    if hardest is not None and hardest < 1:
        raise UserError(f"{hardest} pictures cannot be sent", where="--hardest", mend="--hardest 200")


def _job_of(version: Version, kind: str, name: str | None, workspace: Path) -> Job | None:
    """The job that this version is away as; None where there is none yet."""
    if name is not None:
        if name not in names(workspace):
            return None
        job = read_job(name, workspace)
        if job.digest != version.digest or job.desk != kind:
            if _is_empty(job):
                return None
            what = job.version if job.digest != version.digest else job.desk
            raise UserError(f"job {name!r} is there already, of {what}", where=job.folder, mend="--job ANOTHER-NAME")
        return job
    mine = [job for job in jobs(workspace) if job.digest == version.digest]
    same = [job for job in mine if job.desk == kind]
    mine = [job for job in mine if not _is_empty(job)]
    if len(same) > 1:
        raise UserError(f"{version.ref} is away as {len(same)} jobs: {', '.join(job.name for job in same)}",
                        where=workspace, mend=f"--job {same[0].name}")
    if mine and not same:
        raise UserError(f"{version.ref} is away already, as job {mine[0].name!r} to {mine[0].desk}",
                        where=mine[0].folder, mend=f"to send it a second time: --job {version.name}-{kind}")
    return same[0] if same else None


def _new_job(version: Version, kind: str, name: str | None, workspace: Path) -> Job:
    if name is None:
        name, taken = job_name(version, workspace)
        if taken:
            raise UserError(f"a job {name!r} is there already, of another version", where=workspace, mend="--job NAME")
    return Job(folder=folder_of(name, workspace), name=name, desk=kind, version=version.ref, digest=version.digest,
               classes=list(version.meta.classes), order=[], made=now())


def job_name(version: Version, workspace: Path) -> tuple[str, bool]:
    """What a job of a version is called where nobody says so, and whether another version's is called that already."""
    there = {job.name: job for job in jobs(workspace) if not _is_empty(job)}
    names = [version.name, f"{version.name}-{version.number}"]
    name = next((name for name in names if name not in there or there[name].digest == version.digest), names[1])
    return name, name in there and there[name].digest != version.digest


def _is_empty(job: Job) -> bool:
    """Whether its desk has never taken anything: it was away when the job was to be sent."""
    return job.sent is None and not job.where


def _agreed(job: Job, asked: dict[str, Any], known: bool) -> dict[str, Any]:
    """The options of a job; those that it was sent with cannot change under people's hands."""
    changed = {key: value for key, value in asked.items() if known and job.options.get(key) != value}
    if changed:
        had, wants = _told(job.options, changed), _told(asked, changed)
        raise UserError(f"job {job.name!r} was sent with {had}, not {wants}", where=job.folder,
                        mend="leave that out, or make a job of its own: --job NAME")
    return job.options | asked


def _told(options: Mapping[str, Any], keys: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {options.get(key)!r}" for key in keys)
