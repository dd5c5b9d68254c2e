"""Pre-labels made: what is there already is not done again, whatever was killed before."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.base.errors import DataError, WorkspaceBusy
from tasks.base.files import digest_value, write_json
from tasks.base.locks import held_alone
from tasks.base.progress import Progress
from tasks.data.pictures import find_flaw, locate
from tasks.data.store.layout import Store, Version, table_digest
from tasks.data.table import full_disk_is_told
from tasks.labelling.prelabelling.looking import TOGETHER, together
from tasks.labelling.prelabelling.looks import keep_vectors
from tasks.labelling.prelabelling.prelabels import DONE, FACTS, KEPT, Prelabels
from tasks.labelling.prelabelling.settings import Settings
from tasks.labelling.prelabelling.shards import Rows, boxes_file, pictures_file, read_shard, shard_size
from tasks.labelling.prelabelling.workers import Job, in_processes, over_shards
from tasks.labelling.teachers.found import Teacher

FORMAT = 2


def prelabel(pool: Version, store: Store, teacher: Teacher, settings: Settings | None = None,
             workspace: Path = Path(), processes: int = 1) -> Prelabels:
    """Let a teacher look at every picture of a pool, and keep what it says in `.visionmill/prelabels/`.

    The same pool, teacher and settings go on where they stopped. A picture that cannot be read is listed
    (`Prelabels.unreadable`) and tried again the next time.

    Args:
        processes: of one thread each; 1: in this process, with the threads that the teacher was opened with.

    Raises:
        WorkspaceBusy: another command does the same at this moment.
        DataError: the pool is empty, or none of its pictures can be read.
        UserError: the teacher's, or something is asked that it cannot.
    """
    settings = settings or Settings()
    rows = Rows(pool.folder / "images.parquet")
    facts = _facts(pool, teacher, settings, len(rows), workspace)
    folder = workspace / KEPT / facts["key"]
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        _check(rows, pool)
        write_json(folder / FACTS, facts)
        job = Job(teacher, folder, pool.folder / "images.parquet", store.pictures, settings, facts["shard"])
        shards = -(-len(rows) // job.size)
        todo = [number for number in range(shards) if _to_do(job, rows, number)]
        start = time.monotonic()
        if todo:
            (folder / DONE).unlink(missing_ok=True)
            _look(job, todo, shards, len(rows), processes)
            # a picture that could not be read before shows something now
            (folder / "vectors.npy").unlink(missing_ok=True)
        if settings.vectors and not (folder / "vectors.npy").is_file():
            keep_vectors(folder, pool.folder, workspace)
        if todo or not (folder / DONE).is_file():
            _finish(folder, shards, time.monotonic() - start, pool)
        os.utime(folder / DONE)  # the newest is what was asked for last
    return Prelabels(folder)


def _facts(pool: Version, teacher: Teacher, settings: Settings, pictures: int, workspace: Path) -> dict[str, Any]:
    # as it is found from the workspace, which may be moved with its store
    folder = os.path.relpath(pool.folder.resolve(), workspace.resolve())
    asked = settings.model_dump(exclude={"vectors"})
    digest = pool.digest or table_digest(pool.folder)
    key = digest_value([FORMAT, digest, teacher.digest, teacher.classes, asked])[:32]
    return {"key": key, "model": teacher.name, "model_digest": teacher.digest, "classes": list(teacher.classes),
            "notes": list(getattr(teacher, "notes", [])), "settings": asked, "pictures": pictures,
            "shard": max(shard_size(pictures), together(teacher)),
            "pool": {"ref": pool.ref, "digest": digest, "folder": folder}}


def _check(rows: Rows, pool: Version) -> None:
    if not len(rows):
        raise DataError("the pool has no pictures", where=pool.ref, mend="name a dataset with pictures")
    last = -1
    for _, some in rows.blocks(1 << 16):
        ids = some["image_id"].to_numpy()
        if ids[0] <= last or np.any(np.diff(ids) <= 0):
            raise DataError("the pool's image_ids do not ascend", where=pool.ref, mend="visionmill data replay it")
        last = int(ids[-1])


def _to_do(job: Job, rows: Rows, number: int) -> bool:
    """Whether a shard is not done, or one of its pictures can be read by now."""
    if not (boxes_file(job.folder, number).is_file() and pictures_file(job.folder, number).is_file()):
        return True
    told = read_shard(pictures_file(job.folder, number))
    flawed = told["flaw"].is_valid().to_numpy()
    if not flawed.any():
        return False
    some = rows(number * job.size, min((number + 1) * job.size, len(rows))).filter(flawed)
    return any(find_flaw(place) is None for place in locate(job.root, some))


def _look(job: Job, todo: list[int], shards: int, pictures: int, processes: int) -> None:
    processes = max(1, min(processes, len(todo)))
    # a program that takes many pictures at once shares the machine out itself
    if processes > 1 and (together(job.teacher) > TOGETHER or not in_processes(job)):
        print(f"{job.teacher.name} looks in one process", file=sys.stderr)
        processes = 1
    sizes = {number: min(job.size, pictures - number * job.size) for number in todo}
    if len(todo) < shards:
        print(f"{pictures - sum(sizes.values()):,} pictures were looked at before", file=sys.stderr)
    progress = Progress(sum(sizes.values()), "pre-labelled", every=2.0)
    flaws = 0
    for told in over_shards(job, todo, processes):
        flaws += told.flaws
        progress.step(f"{flaws} unreadable" if flaws else "", told.pictures)


def _finish(folder: Path, shards: int, seconds: float, pool: Version) -> None:
    boxes, outlined = 0, False
    pictures = []
    for number in range(shards):
        table = read_shard(boxes_file(folder, number))
        boxes += table.num_rows
        outlined |= table["polygons"].null_count < table.num_rows
        pictures.append(read_shard(pictures_file(folder, number)))
    flaws = sum(len(table) - table["flaw"].null_count for table in pictures)
    total = sum(map(len, pictures))
    if flaws == total:
        reason = pictures[0]["flaw"][0].as_py()
        raise DataError(f"none of the {total:,} pictures of {pool.ref} can be read; the first: {reason}",
                        where=pool.folder, mend=f"visionmill data pull {pool.ref}")
    for name in ("aldd", "consistency"):
        _keep_column(folder, name, [table[name] for table in pictures])
    write_json(folder / DONE, {"boxes": boxes, "unreadable": flaws, "polygons": bool(outlined),
                               "seconds": round(seconds, 3), "finished": datetime.now(UTC).isoformat("T", "seconds")})


def _keep_column(folder: Path, name: str, parts: list[Any]) -> None:
    """A column of all pictures as a file; zeros, and for `consistency` infinity, where a picture could not be read."""
    if all(part.null_count == len(part) for part in parts):
        return
    whole = pa.chunked_array([chunk for part in parts for chunk in part.chunks])
    if pa.types.is_list(whole.type):
        there = whole.is_valid().to_numpy()
        values = np.zeros((len(whole), len(pc.list_flatten(whole)) // int(there.sum())))
        values[there] = pc.list_flatten(whole).to_numpy().reshape(-1, values.shape[1])
    else:
        values = whole.fill_null(np.inf).to_numpy()
    beside = folder / f".{name}.npy"
    with full_disk_is_told(folder), beside.open("wb") as file:
        np.save(file, values)
    beside.replace(folder / f"{name}.npy")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with held_alone(folder / ".lock", lambda holder: WorkspaceBusy(
            "another command makes these pre-labels at this moment", where=folder,
            mend="wait for it; what it has made is then there")):
        for left in (*folder.glob("shards/.*"), *folder.glob(".*.npy")):
            left.unlink(missing_ok=True)  # of a command that was killed
        yield
