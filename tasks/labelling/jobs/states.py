"""How far a person got with a picture, as each format says it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import defusedxml.ElementTree as SafeXml

from tasks.data.formats._superb_json import mapping
from tasks.data.formats.record import Picture, number
from tasks.labelling.jobs import manifest
from tasks.labelling.jobs.gathering import worker_responses
from tasks.labelling.jobs.handing import OURS
from tasks.labelling.jobs.job import Job
from tasks.labelling.jobs.pictures import Task


@dataclass(frozen=True)
class State:
    """What a format says beside the boxes; `accept` where the boxes count that were sent."""

    complete: bool = True
    skipped: bool = False
    who: str | None = None
    when: float | None = None
    seconds: float | None = None
    attributes: dict[str, Any] | None = None
    accept: bool = False


@dataclass(frozen=True)
class Clues:
    """What stands beside the labels: who and when of all of them, and what each worker sent, by line of a manifest."""

    who: str | None = None
    when: float | None = None
    workers: dict[int, list[dict[str, Any]]] = field(default_factory=dict)


def clues_of(format: str, folder: Path) -> Clues:
    """What the files of a format say of all pictures together."""
    if format == "groundtruth":
        return Clues(workers=dict(worker_responses(folder)))
    return _of_cvat(folder) if format == "cvat" else Clues()


def state_of(format: str, job: Job, picture: Picture, task: Task, changed: bool, accept: bool,
             clues: Clues) -> State | None:
    """How far a picture is; None where nobody has touched it.

    Args:
        changed: its boxes are not those that were sent; accept: unchanged ones count as looked at.
    """
    told = _kept(picture, task)
    judge = {"superb": _superb, "groundtruth": _groundtruth}.get(format, _plain)
    state = judge(job, picture, task, changed, accept, clues)
    return state and replace(state, attributes=told or None, who=state.who or clues.who, when=state.when or clues.when)


def _kept(picture: Picture, task: Task) -> dict[str, Any]:
    """What came back of the picture that it did not go out with: keys that nobody knows are kept."""
    told = dict(picture.attributes or {})
    told.pop(OURS, None)
    if isinstance(told.get("info"), dict):
        told["info"] = {key: value for key, value in told["info"].items() if key != OURS}
    had = task.attributes
    return {key: value for key, value in told.items() if key != "review" and had.get(key) != value}


def job_of(picture: Picture) -> str | None:
    """The job that a picture says it was handed out for; None where its format has no room for that."""
    told = mapping(picture.attributes)
    return _text(mapping(told.get(OURS) or mapping(told.get("info")).get(OURS)).get("job"))


Judge = Callable[[Job, Picture, Task, bool, bool, Clues], State | None]


def _plain(job: Job, picture: Picture, task: Task, changed: bool, accept: bool, clues: Clues) -> State | None:
    """A format that has no mark of its own: `{"visionmill": {"status": done | skipped | open, "by", "seconds"}}` is
    one where a tool can write it, else what was changed is done."""
    told = mapping(mapping(picture.attributes).get(OURS))
    status = told.get("status")
    spent = number(told.get("seconds"))
    common = State(who=_text(told.get("by")), when=seconds_of(told.get("when")), seconds=spent if spent >= 0 else None)
    if status == "skipped":
        return replace(common, skipped=True, complete=False)
    if status == "open":
        return replace(common, complete=False) if changed else None
    return common if changed or accept or status == "done" else None


def _superb(job: Job, picture: Picture, task: Task, changed: bool, accept: bool, clues: Clues) -> State | None:
    told = mapping(picture.attributes)
    when = seconds_of(told.get("last_updated_date"))
    common = State(who=_text(told.get("work_assignee")), when=when if when and when > 0 else None)
    status = told.get("status")
    if status == "SKIPPED":
        return replace(common, skipped=True, complete=False)
    if status == "SUBMITTED":
        return common
    return replace(common, complete=False) if changed else None


def _groundtruth(job: Job, picture: Picture, task: Task, changed: bool, accept: bool, clues: Clues) -> State | None:
    """Adjusted labels are an answer; so are verified ones: good accepts them, bad wants them drawn anew."""
    told = mapping(picture.attributes)
    sent = manifest.attribute_of(task.attributes)
    line = picture.row.rpartition("line ")[2]
    spent, who, when = _workers(clues.workers.get(int(line) - 1 if line.isdecimal() else -1, []))
    if manifest.was_adjusted(told, sent):
        own = mapping(mapping(told.get(manifest.OWN)).get("metadata"))
        return State(who=who or _text(own.get("job-name")), when=when or seconds_of(own.get("creation-date")),
                     seconds=spent)
    found = manifest.verdict(told, sent)
    if found:
        good, _, name = found
        meta = mapping(told.get(f"{name}-metadata"))
        return State(complete=good, accept=True, who=who or _text(meta.get("job-name")),
                     when=when or seconds_of(meta.get("creation-date")), seconds=spent)
    return State(who=who, when=when, seconds=spent) if changed or accept else None


def _workers(sent: list[dict[str, Any]]) -> tuple[float | None, str | None, float | None]:
    """Seconds of all workers together, who they are, and when the last one sent."""
    spent = [value for one in sent if (value := number(one.get("timeSpentInSeconds"))) >= 0]
    people = sorted({str(one["workerId"]) for one in sent if one.get("workerId")})
    times = [when for one in sent if (when := seconds_of(one.get("submissionTime"))) is not None]
    return sum(spent) if spent else None, ", ".join(people) or None, max(times) if times else None


def _of_cvat(folder: Path) -> Clues:
    """Who a task is assigned to, and when it was changed last."""
    from xml.etree.ElementTree import ParseError

    for path in sorted(folder.glob("labels/**/*.xml")):
        try:
            for _, element in SafeXml.iterparse(path, events=("end",), forbid_dtd=True):
                if element.tag == "meta":
                    who = element.findtext(".//assignee/username") or None
                    return Clues(who, seconds_of(element.findtext(".//updated")))
        except (ParseError, ValueError):  # what is wrong with it was told by the reader
            continue
    return Clues()


def _text(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def seconds_of(text: object) -> float | None:
    """A time in ISO form, as seconds since 1970; None for what is none."""
    try:
        moment = datetime.fromisoformat(str(text).strip().replace("Z", "+00:00"))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
