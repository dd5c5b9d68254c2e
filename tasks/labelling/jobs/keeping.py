"""Every answer that was ever fetched stays with its job: a task that is deleted at the desk loses nothing.

    .visionmill/labelling/NAME/answers/000001.json …      what was new at each fetch
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.base.errors import DataError
from tasks.base.files import read_json, write_json
from tasks.labelling.jobs.desk import Answer, boxes_table
from tasks.labelling.jobs.job import Job

Key = tuple[str, str]


def recall(job: Job) -> list[Answer]:
    """The last answer of each person on each picture, by picture and person.

    Raises:
        DataError: a file of answers is damaged.
    """
    known: dict[Key, Answer] = {}
    for path in takes(job):
        try:
            for entry in read_json(path)["answers"]:
                answer = _parsed(entry)
                known[answer.digest, answer.who] = answer
        except (ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise DataError(f"kept answers are damaged: {error}", where=path,
                            mend="remove that file, and fetch again from where they came") from None
    return [known[key] for key in sorted(known)]


def remember(job: Job, found: Sequence[Answer]) -> list[Answer]:
    """Keep what is new, and give back all that is known.

    An answer that says what is known already keeps its first time, unless the picture was given back since. One that is
    older than what is known, or a draft beside a complete one, changes nothing.
    """
    before = recall(job)
    after = joined(job, before, found)
    there = {id(one) for one in before}
    fresh = [one for one in after if id(one) not in there]
    if fresh:
        number = max((int(path.stem) for path in takes(job)), default=0) + 1
        write_json(job.folder / f"answers/{number:06d}.json", {"answers": [_written(one) for one in fresh]})
    return after


def joined(job: Job, before: Sequence[Answer], found: Sequence[Answer]) -> list[Answer]:
    """What is known with what was found, by picture and person; nothing is written."""
    known = {(one.digest, one.who): one for one in before}
    for one in sorted(found, key=lambda answer: (answer.when, answer.complete)):
        last = known.get((one.digest, one.who))
        if last is None or _is_newer(one, last, job.returned_at.get(one.digest)):
            known[one.digest, one.who] = one
    return [known[key] for key in sorted(known)]


def takes(job: Job) -> list[Path]:
    """The files of kept answers, oldest first."""
    return sorted(path for path in (job.folder / "answers").glob("*.json") if path.stem.isdigit())


def _is_newer(one: Answer, before: Answer, returned: float | None) -> bool:
    if one.when < before.when or (before.complete and not one.complete and not one.skipped):
        return False
    again = returned is not None and before.when <= returned < one.when
    return again or _content(one) != _content(before)


def _content(answer: Answer) -> dict[str, Any]:
    return {key: value for key, value in _written(answer).items() if key not in ("when", "seconds")}


def _written(answer: Answer) -> dict[str, Any]:
    rows = [{name: _plain(value) for name, value in row.items() if value is not None}
            for row in answer.boxes.to_pylist()]
    return {"digest": answer.digest, "who": answer.who, "when": answer.when, "seconds": answer.seconds,
            "complete": answer.complete, "skipped": answer.skipped, "before": answer.before,
            "attributes": answer.attributes, "boxes": rows}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _parsed(entry: dict[str, Any]) -> Answer:
    rows = entry["boxes"]
    for row in rows:
        row.update({side: math.nan for side in "xywh" if row.get(side) is None})
    told = {key: entry[key] for key in ("digest", "who", "when", "seconds", "complete", "skipped", "before",
                                        "attributes")}
    return Answer(boxes=boxes_table(rows), **told)
