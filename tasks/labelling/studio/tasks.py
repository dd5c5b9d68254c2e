"""The tasks of a job's project: what they hold, which are there, and a second look at some of them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.base.errors import UserError
from tasks.data.formats._superb_json import mapping
from tasks.labelling.jobs.desk import Answer
from tasks.labelling.jobs.job import Job
from tasks.labelling.jobs.pictures import Task
from tasks.labelling.studio.client import PAGE, Client, rows_in, whole
from tasks.labelling.studio.project import OURS, model_version, send_again
from tasks.labelling.studio.questions import asked_of
from tasks.labelling.studio.regions import results_of

SHOWN = ("difficulty", "corrections")
LISTED = 500
LARGEST = 1 << 20


def task_of(job: Job, task: Task, rank: int, address: str, before: Answer | None = None) -> dict[str, Any]:
    """One task to import: the picture, our ids, what to sort by and to look at, and the pre-labels as a prediction.

    Args:
        before: what somebody made of them in a task that is gone; it is what the next one starts from.
    """
    image = task.image
    size = int(image["width"]), int(image["height"])
    prelabel, mined = (mapping(task.attributes.get(key)) for key in ("prelabel", "mined"))
    data = {"image": address, "note": job.returned.get(task.digest, ""), **asked_of(task.attributes), "rank": rank,
            "file": image["file"]}
    data |= {key: round(float(prelabel[key]), 4) for key in SHOWN if _is_number(prelabel.get(key))}
    if isinstance(reason := mined.get("reason"), str):
        data["reason"] = reason
    data[OURS] = {"digest": task.digest, "job": job.name, "key": job.where["key"], "version": job.version, "look": 0,
                  "width": size[0], "height": size[1]}
    boxes = task.boxes if before is None else _boxes_of(before)
    results = results_of(boxes, size, job.classes)
    scores = [box["score"] for box in boxes if box["score"] is not None]
    return {"data": data, "predictions": [_prediction(job, results, min(scores, default=None))]}


def _prediction(job: Job, results: list[Any], score: float | None) -> dict[str, Any]:
    told = {} if score is None else {"score": round(float(score), 4)}
    return {"model_version": model_version(job), "result": results, **told}


def _boxes_of(answer: Answer) -> list[dict[str, Any]]:
    """The boxes of an answer as rows; one that was drawn has a name that is no pre-label's."""
    rows = answer.boxes.to_pylist()
    before = answer.before or [None] * len(rows)
    return [row | {"annotation_id": f"-{place}" if old is None else old, "score": None, "area": row["w"] * row["h"]}
            for place, (row, old) in enumerate(zip(rows, before, strict=True))]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class Ours:
    """A task that this job made; others are none of our business.

    Attributes:
        look: 0 for the first, then one more each time the picture was given back.
        said: whether somebody answered or skipped it.
        note: that stands above it.
    """

    number: int
    digest: str
    look: int
    size: tuple[int, int]
    said: bool
    note: str
    data: dict[str, Any] = field(repr=False)


def ours(task: dict[str, Any], order: set[str], key: str) -> Ours | None:
    """A task of a listing as ours; None where it has no ids of ours that make sense."""
    data = mapping(task.get("data"))
    told = mapping(data.get(OURS))
    digest = str(told.get("digest"))
    if told.get("key") != key or digest not in order:
        return None
    width, height = whole(told.get("width")), whole(told.get("height"))
    if not 0 < width < LARGEST or not 0 < height < LARGEST:
        return None
    said = whole(task.get("total_annotations")) + whole(task.get("cancelled_annotations")) > 0
    return Ours(task["id"], digest, whole(told.get("look")), (width, height), said,
                str(data.get("note") or ""), data)


class Known:
    """The tasks of a job that its project has.

    Attributes:
        there: digests with a task.
    """

    def __init__(self, found: Sequence[Ours]) -> None:
        self.all = sorted(found, key=lambda one: one.number)
        self.there = {one.digest for one in self.all}

    @classmethod
    def of(cls, client: Client, job: Job, project: int) -> Known:
        """As the server tells them now."""
        order, key = set(job.order), str(job.where["key"])
        told = client.pages("/api/tasks", "tasks", project=project, fields="task_only", resolve_uri="false",
                            size=LISTED)
        return cls([one for task in told if (one := ours(task, order, key))])

    def drop_copies(self, client: Client, project: int) -> None:
        """Delete what a request made that was under way while its sender was killed, unless somebody worked on it."""
        groups: dict[tuple[str, int], list[Ours]] = {}
        for one in self.all:
            groups.setdefault((one.digest, one.look), []).append(one)
        several = {one.number: one for group in groups.values() if len(group) > 1 for one in group}
        begun = {task["id"] for task in full(client, project, list(several)) if task.get("draft_exists")}
        for group in groups.values():
            # the older stays for its place in the order, except where only the younger was worked on
            worked = [one for one in group if one.said or one.number in begun]
            for one in group:
                if one not in (worked or group[:1]):
                    client.delete(f"/api/tasks/{one.number}")

    def newest(self, digest: str) -> Ours | None:
        found = [one for one in self.all if one.digest == digest]
        return max(found, key=lambda one: (one.look, -one.number), default=None)


def second_look(client: Client, job: Job, project: int, digests: Sequence[str], note: str) -> None:
    """Make the tasks of a second look that are not there yet."""
    known = Known.of(client, job, project)
    wanted = []
    for digest in dict.fromkeys(digests):
        newest = known.newest(digest)
        if newest is None:
            raise UserError(f"Label Studio has no task of the picture {digest[:12]}… of the job {job.name}",
                            where=job.where.get("page"),
                            mend=f"somebody deleted it: {send_again(job)} hands it out again, with the note")
        if newest.said or newest.note != note:
            wanted.append(newest)
    for start in range(0, len(wanted), PAGE):
        batch = wanted[start:start + PAGE]
        digests_here = {one.digest for one in batch}
        last = _last_results(client, project, [one.number for one in known.all if one.digest in digests_here])
        client.post(f"/api/projects/{project}/import",
                    [_again(job, one, note, last.get(one.digest, [])) for one in batch])
    if wanted:
        Known.of(client, job, project).drop_copies(client, project)


def _again(job: Job, one: Ours, note: str, results: list[Any]) -> dict[str, Any]:
    data = one.data | {"note": note, OURS: one.data[OURS] | {"look": one.look + 1}}
    return {"data": data, "predictions": [_prediction(job, results, None)]}


def _last_results(client: Client, project: int, numbers: Sequence[int]) -> dict[str, list[Any]]:
    """Digest → the results of its latest answer, else of its prediction."""
    latest: dict[str, tuple[str, list[Any]]] = {}
    for task in full(client, project, numbers):
        digest = task["data"][OURS]["digest"]
        told = [(str(one.get("updated_at")), one.get("result")) for one in _objects(task.get("annotations"))
                if one.get("was_cancelled") is not True]
        told += [("", one.get("result")) for one in _objects(task.get("predictions"))]
        for when, result in told:
            if isinstance(result, list) and when >= latest.get(digest, ("", []))[0]:
                latest[digest] = when, result
    return {digest: result for digest, (_, result) in latest.items()}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def full(client: Client, project: int, numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Tasks with their annotations and predictions, by number."""
    for start in range(0, len(numbers), PAGE):
        chosen = {"selectedItems": {"all": False, "included": list(numbers[start:start + PAGE])}}
        answer = client.get("/api/tasks", project=project, page=1, page_size=PAGE, fields="all", resolve_uri="false",
                            query=json.dumps(chosen))
        yield from rows_in(answer, "tasks", client.url)
