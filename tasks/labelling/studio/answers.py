"""What people said, out of the annotations of a project's tasks."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from tasks.base.errors import DataError
from tasks.labelling.jobs.desk import BOXES, Answer, boxes_table
from tasks.labelling.jobs.job import Job
from tasks.labelling.studio.client import Client, StudioMissing, rows_in
from tasks.labelling.studio.project import page_of
from tasks.labelling.studio.regions import Read, read_annotation
from tasks.labelling.studio.tasks import Ours, ours

LONGEST_NAME = 200
LONGEST_S = 1e9
# tasks that somebody answered, skipped or began: of a thousand fifty may be
TOUCHED = json.dumps({"filters": {"conjunction": "or", "items": [
    {"filter": "filter:tasks:total_annotations", "operator": "greater", "type": "Number", "value": 0},
    {"filter": "filter:tasks:cancelled_annotations", "operator": "greater", "type": "Number", "value": 0},
    {"filter": "filter:tasks:draft_exists", "operator": "equal", "type": "Boolean", "value": True}]}})


class Answers:
    """The answers of one project.

    Attributes:
        flaws: what cannot be a label here, each with the address of its task.
        added: classes that people have added to the interface and used, by name.
        begun: digests of pictures that somebody answered, skipped or began; other people's drafts are known, not shown.
    """

    def __init__(self, client: Client, job: Job, project: int) -> None:
        self.client, self.job, self.project = client, job, project
        self.flaws: list[str] = []
        self.added: list[str] = []
        self.begun: set[str] = set()

    def read(self, strictly: bool = True) -> list[Answer]:
        """All answers, those to the hardest picture first, those to one picture as they came; drafts are incomplete.

        Args:
            strictly: note flaws and read boxes; else only who and when.
        """
        order = {digest: place for place, digest in enumerate(self.job.order)}
        known, people = set(order), self._people()
        found: list[tuple[tuple[int, float, int], Ours, dict[str, Any], bool]] = []
        for told in self.client.pages("/api/tasks", "tasks", project=self.project, fields="all", resolve_uri="false",
                                      query=TOUCHED):
            task = ours(told, known, str(self.job.where["key"]))
            if task:
                self.begun.add(task.digest)
            for kind in ("annotations", "drafts") if task else ():
                for one in rows_in(told.get(kind) or [], kind, self.client.url):
                    # the draft of a change to an answer: until it is handed in the answer stands
                    if task and not (kind == "drafts" and one.get("annotation")):
                        place = order[task.digest], _stamp(one), one["id"]
                        found.append((place, task, one, kind == "annotations"))
        found.sort(key=lambda entry: (*entry[0], entry[3]))
        read = [(self._regions(one, task, complete) if strictly else Read(), one, task, complete)
                for _, task, one, complete in found]
        self._name_classes([regions for regions, *_ in read])
        return [self._answer(regions, one, task, complete, people) for regions, one, task, complete in read]

    def _regions(self, one: dict[str, Any], task: Ours, complete: bool) -> Read:
        if one.get("was_cancelled") is True:
            return Read()
        read = read_annotation(one.get("result"), task.size)
        if complete:
            page = page_of(self.client.url, self.project, task.number)
            self.flaws += [f"task {task.number} ({page}): {flaw}" for flaw in read.flaws]
        return read

    def _name_classes(self, read: list[Read]) -> None:
        used = {row["label"] for one in read for row in one.boxes}
        self.added = sorted(used.difference(self.job.classes))
        if strange := next((name for name in self.added if len(name) > LONGEST_NAME), None):
            raise DataError(f"a class of {len(strange)} letters: {strange[:40]!r}…", where=self.job.where.get("page"),
                            mend="name it shorter in the labelling interface")

    def _answer(self, read: Read, one: dict[str, Any], task: Ours, complete: bool, people: dict[int, str]) -> Answer:
        numbers = {name: number for number, name in enumerate([*self.job.classes, *self.added])}
        rows = [{**row, "class_id": numbers[row["label"]]} for row in read.boxes]
        skipped = one.get("was_cancelled") is True
        spent = one.get("lead_time")
        seconds = float(spent) if isinstance(spent, int | float) and 0 <= spent < LONGEST_S else None
        where = {"project": self.project, "task": task.number, "annotation" if complete else "draft": one["id"]}
        return Answer(task.digest, boxes_table([{name: row.get(name) for name in BOXES.names} for row in rows]),
                      _who(one, people), _stamp(one), seconds, complete and not skipped, skipped,
                      list(read.before), {"label_studio": where})

    def _people(self) -> dict[int, str]:
        try:
            users = rows_in(self.client.get("/api/users"), "users", self.client.url)
        except StudioMissing:
            return {}
        return {user["id"]: str(user.get("email") or user.get("username") or user["id"]) for user in users}


def _who(one: dict[str, Any], people: dict[int, str]) -> str:
    """Who changed it last: a colleague may have mended what another one drew."""
    for key in ("updated_by", "completed_by", "user"):
        told = one.get(key)
        if isinstance(told, str) and told:
            return told
        number = told.get("id") if isinstance(told, dict) else told
        if isinstance(number, int) and not isinstance(number, bool):
            return people.get(number, f"user {number}")
    return "unknown"


def _stamp(one: dict[str, Any]) -> float:
    """Seconds since 1970 of the last change; 0 where nothing sensible is told."""
    told = str(one.get("updated_at") or one.get("created_at") or "")
    try:
        when = datetime.fromisoformat(told.replace("Z", "+00:00"))
    except ValueError:
        return 0.0
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
