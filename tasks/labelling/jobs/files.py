"""The desk of files: what people get is a folder in their tool's format, what they send back is read from one.

    DIR/part-1/…           pictures and boxes, in the job's order; more parts where more pictures are sent later
    DIR/second-look-1/…    pictures that were given back, with their labels as they are
    DIR/READ-ME.md         how to bring them into the tool and back
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.base.errors import UserError
from tasks.base.files import digest_file, read_json, write_atomic, write_json
from tasks.data.store.site import store_of
from tasks.data.table import ANNOTATIONS
from tasks.labelling.jobs.correcting import correct
from tasks.labelling.jobs.desk import Answer, Status, answered, status_of
from tasks.labelling.jobs.handing import hand_out, label_files, mark_of, names_of
from tasks.labelling.jobs.howto import how_to
from tasks.labelling.jobs.job import Job, write_job
from tasks.labelling.jobs.keeping import joined, recall
from tasks.labelling.jobs.pictures import Pictures, pictures_of
from tasks.labelling.jobs.reading import Back, Coming, read_back

OWNED = ".visionmill-job.json"
PARTS = re.compile(r"(part|second-look)-(\d+)")
GUIDE = "READ-ME.md"


class FilesDesk:
    """A job in files.

    Attributes:
        back: what came back; where it is empty, the handed-out folders themselves where they were edited.
        coming: how that is read.
        told: what the last call left out or could not hold.
    """

    def __init__(self, job: Job, workspace: Path) -> None:
        self.kind, self.workspace = job.desk, workspace.resolve()
        self.back: list[Back] = []
        self.coming = Coming()
        self.told: list[str] = []

    def send(self, job: Job, pictures: Pictures, workspace: Path) -> None:
        """Write the parts that are missing; a part that is there is people's, and stays as it is."""
        self._refuse_options(job)
        root = self._own(job)
        have = {digest for _, mark in parts_of(root, job) for digest in mark["names"]}
        new = [digest for digest in job.order if digest not in have]
        if new:
            self._write(job, pictures, pictures.only(new), root / f"part-{_next(root, 'part')}", {}, None)
        write_atomic(root / ".gitignore", "*\n")
        write_atomic(root / GUIDE, how_to(job, [path.name for path, _ in parts_of(root, job)]))

    def status(self, job: Job) -> Status:
        """How far people are, by what was fetched so far and what was edited in place since."""
        root = self._root(job)
        there = root is not None and any(parts_of(root, job))
        away = None if there else f"its folder is gone: {root}" if root else "it was not handed out yet"
        known, edited = recall(job), self._edited(job)
        try:
            known = joined(job, known, self._read(job, edited, [])) if edited else known
        except UserError as error:
            away = f"{error.what} ({error.where})"
        return replace(status_of(job, known), away=away)

    def fetch(self, job: Job) -> list[Answer]:
        """The answers in `back`, or in the handed-out folders that were edited since; those known already beside.

        Where unchanged pictures count as looked at, folders that nobody edited are read too.
        """
        self.told = []
        found = self.back or self._edited(job)
        answers = self._read(job, found, self.told)
        if not found:
            self.told.append("nothing has changed in the folders that were handed out; what came back elsewhere: "
                             "--file FILE or --dir DIR")
        return recall(job) + answers

    def _read(self, job: Job, found: Sequence[Back], told: list[str]) -> list[Answer]:
        pictures = pictures_of(job, store_of(self.workspace))
        names = names_of(job, _files(pictures))
        known = {one.digest: one for one in sorted(recall(job), key=lambda one: one.when) if one.complete}
        return [answer for back in found
                for answer in read_back(job, pictures, names, back, self.coming, told, known)]

    def give_back(self, job: Job, digests: Sequence[str], note: str) -> None:
        """Write the pictures again, with their labels as they are now, for a second look."""
        root = self._own(job)
        pictures = pictures_of(job, store_of(self.workspace))
        now = correct(recall(job), pictures, job)
        some = pictures.only(digests)
        target = root / f"second-look-{_next(root, 'second-look')}"
        notes = dict.fromkeys(digests, note)
        if not any(mark["notes"] == notes and not _is_edited(path, mark) for path, mark in parts_of(root, job)):
            self._write(job, pictures, some, target, notes, _mixed(pictures, now.annotations, [*now.pictures]))
        write_atomic(root / GUIDE, how_to(job, [path.name for path, _ in parts_of(root, job)]))

    def folder(self, job: Job) -> Path | None:
        """Where people find the files."""
        return self._root(job)

    def _write(self, job: Job, pictures: Pictures, some: Pictures, target: Path, notes: dict[str, str],
               labels: pa.Table | None) -> None:
        names = names_of(job, _files(pictures))
        losses = hand_out(job, some, names, target, notes, labels)
        self.told.append(f"{len(some)} pictures in {target}")
        if losses:
            said = ", ".join(f"{name} ({count})" for name, count in sorted(losses.items()))
            self.told.append(f"{job.desk} does not carry: {said}; it stays here, with the boxes that come back")

    def _root(self, job: Job) -> Path | None:
        told = job.where.get("folder")
        return self.workspace / str(told) if told else None

    def _own(self, job: Job) -> Path:
        """The folder of a job, made and marked as its own."""
        root = self._root(job)
        if root is None:
            asked = Path(str(job.options.get("dir") or f"labelling/{job.name}")).expanduser()
            root = (self.workspace / asked).resolve()
            owner = _owner(root)
            if root.exists() and (not root.is_dir() or (any(root.iterdir()) and owner != [job.name, job.made])):
                raise UserError("the folder is not empty, and is not this job's", where=root, mend="--dir ANOTHER")
            inside = root.is_relative_to(self.workspace)
            # relative: a workspace that is moved takes its jobs along
            job.where = {"folder": str(root.relative_to(self.workspace)) if inside else str(root)}
            write_job(job)
        write_json(root / OWNED, {"job": job.name, "made": job.made})
        return root

    def _edited(self, job: Job) -> list[Back]:
        root = self._root(job)
        parts = list(parts_of(root, job)) if root else []
        later = [frozenset(digest for _, mark in parts[at:] for digest in mark["names"])
                 for at in range(1, len(parts) + 1)]
        done = frozenset(answered(recall(job), job))
        # of a picture in several folders the last one counts: saving an older file again does not undo a second look;
        # a folder that nobody edited says nothing of pictures that somebody has answered elsewhere
        told = [(Back(path, None, after, frozenset(mark["names"])), _is_edited(path, mark)) for (path, mark), after in
                zip(parts, later, strict=True)]
        return [one if edited else replace(one, without=one.without | done) for one, edited in told
                if edited or self.coming.unchanged == "accept"]

    def _refuse_options(self, job: Job) -> None:
        for name in ("verify", "bucket"):
            if job.options.get(name) and job.desk != "groundtruth":
                raise UserError(f"--{name} is for Ground Truth, not for {job.desk}", where=job.name,
                                mend="--format groundtruth")
        bucket = job.options.get("bucket")
        if bucket and not re.fullmatch(r"s3://[^/\s]+(/[^\s]*)?", str(bucket)):
            raise UserError(f"{bucket!r} is no place in S3", where="--bucket", mend="--bucket s3://bucket/prefix")


def parts_of(root: Path, job: Job) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folders that were handed out, oldest first, and what stands beside each."""
    found = [path for path in root.glob("*-*") if PARTS.fullmatch(path.name)] if root.is_dir() else []
    for path in sorted(found, key=lambda path: (path.name.split("-")[0], int(path.name.rpartition("-")[2]))):
        if mark := mark_of(path, job):
            yield path, mark


def _is_edited(path: Path, mark: dict[str, Any]) -> bool:
    return {file: digest_file(path / file) for file in label_files(path)} != mark["labels"]


def _next(root: Path, kind: str) -> int:
    numbers = [int(path.name.rpartition("-")[2]) for path in root.glob(f"{kind}-*") if PARTS.fullmatch(path.name)]
    return max(numbers, default=0) + 1


def _owner(root: Path) -> list[str] | None:
    try:
        told = read_json(root / OWNED)
        return [told["job"], told["made"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _files(pictures: Pictures) -> dict[str, str]:
    table = pq.read_table(pictures.folder / "images.parquet", columns=["digest", "file"])
    return dict(zip(reversed(table["digest"].to_pylist()), reversed(table["file"].to_pylist()), strict=True))


def _mixed(pictures: Pictures, corrected: pa.Table, done: list[int]) -> pa.Table:
    """The boxes as they are now: corrected ones where people have been, pre-labels elsewhere."""
    before = pictures.dataset.annotations
    rest = before.filter(pa.array([image not in set(done) for image in before["image_id"].to_pylist()], pa.bool_()))
    count = corrected.num_rows
    numbers = {"annotation_id": pa.array(range(1 << 40, (1 << 40) + count), pa.int64()),
               "row": pa.array([""] * count, pa.string())}
    columns = [numbers[f.name] if f.name in numbers else corrected[f.name] for f in ANNOTATIONS]
    return pa.concat_tables([rest, pa.table(columns, schema=ANNOTATIONS)])
