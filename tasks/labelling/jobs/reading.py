"""Reading what came back in files: each picture of it as a person's answer, with how far that person got."""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tasks.base.errors import DataError, VisionmillError, nearest
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, More, Picture, Reading
from tasks.data.reading import find_sources, reader
from tasks.labelling.jobs.desk import Answer, boxes_table
from tasks.labelling.jobs.gathering import Gathered, gather
from tasks.labelling.jobs.job import Job, write_job
from tasks.labelling.jobs.pictures import Pictures, Task
from tasks.labelling.jobs.sound import SAME, SIDES, Near, is_turned, same_boxes, same_polygons
from tasks.labelling.jobs.states import Clues, State, clues_of, job_of, state_of

READS = {"cvat": "others:cvat"}
SHOWN = 5
WHOLE_PIXELS = 0.5001  # Ground Truth's tools round to whole pixels
CARRIED = ("iscrowd", "difficult", "truncation", "occlusion", "keypoints")


@dataclass
class Coming:
    """How what comes back is read.

    Attributes:
        format: of the files; the job's when None.
        who: whose work it is, where the files do not say; `people` when None.
        unknown: what becomes of classes that the job does not have.
        mapped: class in the files → class of the job.
        unchanged: whether pictures whose boxes are as they were sent count as looked at, where the format has no mark
            of its own for it.
    """

    format: str | None = None
    who: str | None = None
    unknown: Literal["stop", "ignore", "add"] = "stop"
    mapped: dict[str, str] = field(default_factory=dict)
    unchanged: Literal["open", "accept"] = "open"


@dataclass
class Back:
    """One thing that came back.

    Attributes:
        path: a folder, an archive or a file.
        who: did it, whatever the files say.
        without: digests of pictures that are not taken from it.
        holds: digests of the pictures that it ought to have; all of the job's when None.
    """

    path: Path
    who: str | None = None
    without: frozenset[str] = frozenset()
    holds: frozenset[str] | None = None


def read_back(job: Job, pictures: Pictures, names: Mapping[str, str], back: Back, coming: Coming, told: list[str],
              known: Mapping[str, Answer] | None = None) -> list[Answer]:
    """The answers in one thing that came back.

    Args:
        names: digest → the file name under which a picture was handed out.
        told: takes lines on what was left out.
        known: digest → the last complete answer that was kept.

    Raises:
        DataError: it cannot be read, or has a class that nobody knows.
    """
    with tempfile.TemporaryDirectory(prefix="visionmill-") as room:
        gathered = gather(back.path, Path(room) / "back", names, coming.format or job.desk)
        found, into = _read(gathered, coming.format or job.desk, back.path)
        clues = clues_of(coming.format or job.desk, gathered.folder)
    reading = Answering(job, coming, back, gathered, told, {task.digest: task for task in pictures}, clues,
                        known=known or {})
    reading.notes(into)
    answers = [answer for file, picture in found.items() if (answer := reading.answer(file, picture))]
    reading.finish()
    return answers


def _read(gathered: Gathered, format: str, path: Path) -> tuple[dict[str, Picture], Reading]:
    into, found = Reading(), dict[str, Picture]()
    try:
        index = FolderIndex(gathered.folder)
        for source in find_sources(index, READS.get(format, format)):
            for item in reader(source.format).read(index, source, into):
                if not isinstance(item, More):
                    found[item.file] = item
                elif item.file in found:
                    found[item.file].boxes += item.boxes
    except VisionmillError as error:
        inside = str(error.where or "").replace(str(gathered.folder), "").removeprefix("/").removeprefix("labels/")
        mend = error.mend or "export it again"
        if error.what.startswith("no annotations found"):
            mend = f"expected {_expected(format)}; --format NAME where it is another format"
        raise DataError(f"what came back cannot be read as {format}: {error.what.partition(' (')[0]}",
                        where=f"{path}: {inside}" if inside else path,
                        mend=f"{mend}; nothing was taken from it") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise DataError(f"what came back cannot be read as {format}: {error}", where=path,
                        mend="export it again; nothing was taken from it") from None
    return found, into


def _expected(format: str) -> str:
    from tasks.data.formats import READERS, load

    return str(load(format).EXPECTED) if format in READERS else f"files of {format}"


@dataclass
class Answering:
    """One reading: pictures become answers, and what does not fit is told at the end."""

    job: Job
    coming: Coming
    back: Back
    gathered: Gathered
    told: list[str]
    tasks: dict[str, Task]
    clues: Clues
    strange: list[str] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)
    nameless: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    turned: list[str] = field(default_factory=list)
    open: int = 0
    seen: set[str] = field(default_factory=set)
    known: Mapping[str, Answer] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.names = {name: number for number, name in enumerate(self.job.classes)}
        self.strange += self.gathered.strange
        self.format = self.coming.format or self.job.desk

    def notes(self, into: Reading) -> None:
        """What the format's reader left out."""
        there = {name.rpartition("/")[2] for name in self.gathered.strange}
        for note in into.notes:
            if note.kind == "missing_picture":
                name = note.detail.partition("picture ")[2].strip("'\"") or note.detail
                # its file came back too, and is in the list already
                self.strange += [name] if name.rpartition("/")[2] not in there else []
            elif note.kind == "dangling" and ("class" in note.detail or "category" in note.detail):
                self.nameless[note.detail] += 1
            elif note.kind != "unannotated":
                self.told.append(f"{note.file}#{note.row}: {note.detail}: left out".replace("labels/", "", 1))

    def answer(self, file: str, picture: Picture) -> Answer | None:
        """What was done on a picture; None where nobody has touched it."""
        task = self.tasks[self.gathered.digests[file]]
        if task.digest in self.back.without:
            self.seen.add(task.digest)
            return None
        name = file.rpartition("/")[2]
        size = task.image["width"], task.image["height"]
        if picture.declared and all(map(math.isfinite, picture.declared)) and picture.declared != size:
            self.told.append(f"{name}: came back for {picture.declared[0]:g} x {picture.declared[1]:g} pixels, and has "
                             f"{size[0]} x {size[1]}: its labels are left out")
            return None
        self.seen.add(task.digest)
        if (job := job_of(picture)) not in (None, self.job.name):
            self.others[str(job)] += 1
        rows, before, changed = self._rows(picture, task)
        last = self.known.get(task.digest)
        returned = task.digest in self.job.returned
        if last and returned:  # it was given back with these, not with the pre-labels
            changed = not same_boxes(rows, last.boxes.to_pylist())
        state = state_of(self.format, self.job, picture, task, changed,
                         self.coming.unchanged == "accept", self.clues)
        if state is None:
            self.open += 1
            return None
        if last and not (returned or state.who or self.back.who) and same_boxes(rows, last.boxes.to_pylist()):
            return None  # known, and nobody says that it is somebody else's
        if state.accept:
            rows, before = [_as_sent(box) for box in task.boxes], [box["annotation_id"] for box in task.boxes]
        return Answer(task.digest, boxes_table(rows), self._who(state), state.when or self.gathered.when,
                      state.seconds, state.complete, state.skipped, before, state.attributes)

    def _who(self, state: State) -> str:
        return self.back.who or state.who or self.coming.who or "people"

    def _rows(self, picture: Picture, task: Task) -> tuple[list[dict[str, Any]], list[int | None], bool]:
        """The boxes as rows, the pre-label that each one still is, and whether anything was changed.

        What was only rounded is its pre-label again.
        """
        near, changed = Near(task.boxes), False
        # Superb's objects with points have no box: where the points are as they were, the box is
        pointed = {tuple(box["keypoints"]): box for box in task.boxes if box["keypoints"] and self.format == "superb"}
        rows: list[dict[str, Any]] = []
        before: list[int | None] = []
        for box in picture.boxes:
            number = self._class(box.label)
            if number is None:
                continue
            row = _row(box, number)
            row |= {side: pointed[points][side] for side in SIDES if (points := tuple(box.keypoints or ())) in pointed}
            at = near.take(row, self._rounded)
            old = None if at is None else task.boxes[at]
            if old is None and is_turned(box.attributes):
                self.turned.append(picture.file.rpartition("/")[2])
            if old is not None:
                row |= {side: old[side] for side in SIDES}
                changed |= row["polygons"] is not None and not same_polygons(row["polygons"], old["polygons"])
            rows.append(row)
            before.append(None if old is None else old["annotation_id"])
        return rows, before, changed or near.left() or None in before

    def _rounded(self, row: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
        if row["class_id"] != old["class_id"]:
            return False
        whole = self.format == "groundtruth" and all(float(row[side]).is_integer() for side in SIDES)
        return all(abs(row[side] - old[side]) <= (WHOLE_PIXELS if whole else SAME) for side in SIDES)

    def _class(self, label: str) -> int | None:
        name = self.coming.mapped.get(label, label)
        if name not in self.names and self.coming.unknown == "add" and name:
            self.names[name] = len(self.names)
        if name not in self.names:
            self.unknown[name] += 1
        return self.names.get(name)

    def finish(self) -> None:
        """Judge what was met; classes that were asked to be added are the job's from now on.

        Raises:
            DataError: classes that nobody knows, or turned boxes.
        """
        if self.turned:
            raise DataError(f"{len(self.turned)} turned box{'es' * (len(self.turned) > 1)}; boxes stand upright here",
                            where=f"{self.back.path}: {', '.join(dict.fromkeys(self.turned))}",
                            mend="turn them back, or draw polygons, and fetch again; nothing was taken from it")
        lost = self.unknown + self.nameless
        if lost and self.coming.unknown != "ignore":
            self._refuse()
        if lost:
            said = ", ".join(f"{count} {name}" for name, count in lost.most_common())
            self.told.append(f"labels of classes that the job does not have were left out: {said}")
        if len(self.names) > len(self.job.classes):
            self.told.append(f"new classes: {', '.join([*self.names][len(self.job.classes):])}")
            self.job.classes = [*self.names]
            write_job(self.job)
        for job, count in self.others.items():
            self.told.append(f"{count} pictures say that they are of job {job!r}: taken for this one all the same")
        if self.strange:
            more = " …" if len(self.strange) > SHOWN else ""
            self.told.append(f"{len(self.strange)} pictures came back that are not of this job, and were left out: "
                             f"{', '.join(self.strange[:SHOWN])}{more}")
        holds = self.tasks.keys() if self.back.holds is None else self.back.holds
        missing = len(holds - self.seen)
        if missing:
            self.told.append(f"{missing} of {len(holds)} pictures are not in {self.back.path.name}: they stay as "
                             "they are")
        if self.open:
            accept = "" if self.format in ("superb", "groundtruth") else \
                "; where people have looked at them: --unchanged accept"
            self.told.append(f"{self.open} pictures are as they were sent: they stay open{accept}")

    def _refuse(self) -> None:
        first = next((name for name, _ in self.unknown.most_common(1)), None)
        guess = nearest(first, self.job.classes) if first else None
        counts = [f"{count} of {name or 'no class'}" for name, count in self.unknown.most_common()]
        counts += [f"{count} where {detail}" for detail, count in self.nameless.most_common(SHOWN)]
        mapped = f"--map {first}={guess or self.job.classes[0]}, --unknown add, or " if first else ""
        raise DataError(f"labels of classes that the job does not have: {', '.join(counts)}", where=self.back.path,
                        mend=f"{mapped}--unknown ignore; it has {', '.join(self.job.classes)}")


def _row(box: Box, number: int) -> dict[str, Any]:
    row: dict[str, Any] = {"class_id": number, "x": box.x, "y": box.y, "w": box.w, "h": box.h,
                           "polygons": box.polygons}
    row |= {name: value for name in CARRIED if (value := getattr(box, name)) not in (None, False)}
    if box.rle is not None:
        row["rle"] = dict(zip(("h", "w", "counts"), box.rle, strict=True))
    if box.attributes:
        row["attributes"] = json.dumps(box.attributes, sort_keys=True, ensure_ascii=False)
    return row


def _as_sent(box: Mapping[str, Any]) -> dict[str, Any]:
    return {name: box[name] for name in ("class_id", *SIDES, "polygons")}
