"""Handing out files: some pictures of a job as a folder in another tool's format, written beside and renamed."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.base.errors import DataError
from tasks.base.files import digest_file, read_json, write_json
from tasks.data.exporting import export
from tasks.data.formats.index import FolderIndex
from tasks.data.pictures import SUFFIXES, Member
from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, full_disk_is_told, write_dataset
from tasks.labelling.jobs import cvat, manifest
from tasks.labelling.jobs.job import Job
from tasks.labelling.jobs.pictures import Pictures, Task

# hidden: no reader of formats looks at these
MARK, ROOM = ".visionmill.json", ".making"
# our ids, where a format carries what it does not know
OURS = "visionmill"
LONGEST = 180  # bytes of a name: tools put something before and after it


def names_of(job: Job, files: Mapping[str, str]) -> dict[str, str]:
    """digest → the name under which a picture is handed out, for all of the job: its own without folders.

    Where two pictures share one, a part of the digest goes before the later one's. CVAT shows pictures by name, so
    there the place in the order goes before all of them.
    """
    taken, names = set[str](), dict[str, str]()
    for place, digest in enumerate(job.order):
        path = PurePosixPath(files[digest])
        name = path.name if len(path.name.encode()) <= LONGEST else f"{digest[:16]}{path.suffix}"
        if name.casefold() in taken:
            name = f"{digest[:12]}_{name}"
        taken.add(name.casefold())
        names[digest] = f"{place:05d}_{name}" if job.desk == "cvat" else name
    return names


def hand_out(job: Job, pictures: Pictures, names: Mapping[str, str], target: Path, notes: Mapping[str, str],
             annotations: pa.Table | None = None) -> Counter[str]:
    """Write `target`, which appears as a whole; returns what the format cannot hold.

    Args:
        names: digest → file name; notes: digest → what a person is to look at again.
        annotations: the boxes, by the image_ids of the job's version; those of the version when None.

    Raises:
        DataError: a picture is not on this machine, or the disk is full.
    """
    room = target.parent / ROOM
    shutil.rmtree(room, ignore_errors=True)
    try:
        with full_disk_is_told(target):
            _lay_out(job, pictures, names, room, notes, annotations)
            if job.desk == "cvat":
                losses = cvat.write(room / "tables", room / "pictures", room / "out", job.name)
            else:
                losses = export(room / "tables", room / "pictures", job.desk, room / "out")
                if job.desk == "groundtruth":
                    manifest.describe_job(job, room / "out")
            _mark(job, pictures, names, room / "out", notes)
            (room / "out").rename(target)
    finally:
        shutil.rmtree(room, ignore_errors=True)
    return losses


def _mark(job: Job, pictures: Pictures, names: Mapping[str, str], out: Path, notes: Mapping[str, str]) -> None:
    labels = {file: digest_file(out / file) for file in label_files(out)}
    write_json(out / MARK, {"job": job.name, "made": job.made, "labels": labels, "notes": dict(notes),
                            "names": {digest: names[digest] for digest in pictures.order}})


def label_files(folder: Path) -> list[str]:
    """The files below a folder that are no pictures, by name."""
    return [file for file in FolderIndex(folder).files if PurePosixPath(file).suffix.lower() not in SUFFIXES]


def mark_of(folder: Path, job: Job) -> dict[str, Any] | None:
    """What stands beside a part that was handed out; None where it is not one of this job."""
    try:
        told = read_json(folder / MARK)
        return told if (told["job"], told["made"]) == (job.name, job.made) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _lay_out(job: Job, pictures: Pictures, names: Mapping[str, str], room: Path, notes: Mapping[str, str],
             annotations: pa.Table | None) -> None:
    """The tables of these pictures under their new names and numbers, and the pictures by links."""
    dataset = pictures.dataset
    tasks = list(pictures)
    (room / "pictures").mkdir(parents=True)
    for task in tasks:
        _link(task, names[task.digest], room / "pictures")
    count = len(tasks)
    columns: dict[str, Any] = {
        "image_id": np.arange(count), "file": [names[task.digest] for task in tasks], "split": [None] * count,
        "attributes": [_described(job, task, names[task.digest], notes.get(task.digest)) for task in tasks]}
    images = dataset.images
    for name, values in columns.items():
        field = IMAGES.field(name)
        images = images.set_column(images.schema.get_field_index(name), field, pa.array(values, field.type))
    boxes = dataset.annotations if annotations is None else annotations
    place = {image: at for at, image in enumerate(dataset.images["image_id"].to_pylist())}
    boxes = boxes.filter(pa.array([image in place for image in boxes["image_id"].to_pylist()], pa.bool_()))
    at = np.array([place[image] for image in boxes["image_id"].to_pylist()], np.int64)
    boxes = boxes.set_column(boxes.schema.get_field_index("image_id"), ANNOTATIONS.field("image_id"), pa.array(at))
    boxes = boxes.take(pa.array(np.argsort(at, kind="stable")))
    meta = dataset.meta.model_copy(update={"name": job.name, "classes": list(job.classes)})
    write_dataset(room / "tables", Dataset(images, boxes, meta))


def _link(task: Task, name: str, folder: Path) -> None:
    place = task.location
    source = place.archive if isinstance(place, Member) else place
    if not source.is_file():
        raise DataError("a picture is not on this machine", where=source, mend="visionmill data pull NAME")
    target = folder / (str(task.image["shard"]) if isinstance(place, Member) else name)
    if not target.is_symlink():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.resolve())


def _described(job: Job, task: Task, name: str, note: str | None) -> str:
    """A picture's attributes as JSON, with our ids where the format keeps what it does not know."""
    ours = {"job": job.name, "digest": task.digest, "place": task.place} | ({"second_look": note} if note else {})
    told = task.attributes
    if job.desk == "superb":
        told = _superb(job, told, ours, name)
    else:
        told = manifest.described(job, told, ours) if job.desk == "groundtruth" else told | {OURS: ours}
    return json.dumps(told, sort_keys=True, ensure_ascii=False)


def _superb(job: Job, told: dict[str, Any], ours: dict[str, Any], name: str) -> dict[str, Any]:
    """Work that is to be done; the ids that a picture has in Suite already stay."""
    info = told.get("info")
    rest = {key: value for key, value in told.items() if key not in ("label", "work_assignee", "dataset")}
    if PurePosixPath(str(rest.get("data_key"))).name != name:
        rest.pop("data_key", None)  # two pictures of that name: under the old key they could not be told apart
    return rest | {"info": (info if isinstance(info, dict) else {}) | {OURS: ours}, "status": "WORKING",
                   "last_updated_date": job.made}
