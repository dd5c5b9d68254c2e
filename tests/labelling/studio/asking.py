"""What the tests of the desk ask of the stand-in's tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tasks.labelling.jobs.desk import Answer
from tasks.labelling.jobs.job import Job
from tasks.labelling.jobs.pictures import Pictures
from tasks.labelling.studio.desk import StudioDesk
from tests.labelling.studio.fake import Fake

Sent = tuple[Job, Pictures, StudioDesk]


def tasks_of(server: Fake, digest: str) -> list[dict[str, Any]]:
    return [task for task in server.tasks.values() if task["data"]["visionmill"]["digest"] == digest]


def first(server: Fake, job: Job, place: int = 0) -> dict[str, Any]:
    return tasks_of(server, job.order[place])[0]


def prediction(task: dict[str, Any]) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = json.loads(json.dumps(task["predictions"][0]["result"]))
    return results


def boxes_of(answer: Answer) -> list[list[float]]:
    columns = answer.boxes.select(list("xywh")).to_pydict()
    return [list(row) for row in zip(*columns.values(), strict=True)]


def sent_once(server: Fake, job: Job) -> bool:
    mine = sorted((task for task in server.tasks.values() if task["data"]["visionmill"]["job"] == job.name),
                  key=lambda task: task["id"])
    projects = [one for one in server.projects.values() if f"job {job.name} " in one["description"]]
    return [task["data"]["visionmill"]["digest"] for task in mine] == job.order and len(projects) == 1 and \
        {task["project"] for task in mine} == {job.where["project"]}


def elsewhere(server: Fake, workspace: Path) -> None:
    """The site names the stand-in as a server of somebody else's, with a personal access token."""
    site = workspace / "conf/site/local.yaml"
    site.parent.mkdir(parents=True)
    site.write_text(f"labelling: {{url: {server.url}/, token: a.personal.token}}\n", encoding="utf-8")
