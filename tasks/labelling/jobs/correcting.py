"""From answers to labels: who decides, what each box needed, what it cost, and what was decided against whom."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.data.shapes import shape_of
from tasks.data.table import ANNOTATIONS
from tasks.labelling.jobs.desk import Answer
from tasks.labelling.jobs.job import Job
from tasks.labelling.jobs.pictures import Pictures
from tasks.labelling.jobs.sound import SIDES, blank, same_polygons, sound_boxes
from tasks.labels.clicks import Settings, Totals, compare, totals
from tasks.labels.merging import CONFLICTS, Voice, merge

COMPARED = ("image_id", "class_id", *SIDES)
# what a box keeps of its pre-label while it is the same object
KEPT = ("iscrowd", "difficult", "truncation", "occlusion", "track")
# and after which acts its shape: points are of a class, a mask is of a place
SHAPE = {"polygons": ("accepted", "class"), "rle": ("accepted", "class"), "keypoints": ("accepted", "adjusted")}
SHOWN = 5
MODEL_SAYS = ("score", "uncertainty", "difficulty")


@dataclass
class Corrected:
    """Labels by people.

    Attributes:
        annotations: rows as `publish_labels` wants them; pictures: image_id → what its attributes get.
        conflicts: what was decided against whom, in the form of `CONFLICTS`.
        clicks: what was needed, and what it cost with the pre-labels and from nothing.
        told: boxes that were clipped or left out.
    """

    annotations: pa.Table
    pictures: dict[int, dict[str, Any]]
    conflicts: pa.Table
    clicks: Totals
    told: list[str] = field(default_factory=list)


def correct(answers: Iterable[Answer], pictures: Pictures, job: Job) -> Corrected:
    """The labels of all pictures with a complete answer; of several people the one who looked last decides.

    Raises:
        DataError: a class that the job does not have.
    """
    images, before = _rows_of(pictures)
    by_picture: dict[str, list[Answer]] = defaultdict(list)
    for one in answers:
        if one.complete and not one.skipped and one.digest in images:
            by_picture[one.digest].append(one)
    told: list[str] = []
    said: dict[int, list[tuple[Answer, list[dict[str, Any]]]]] = {}
    for digest in sorted(by_picture, key=lambda digest: images[digest]["image_id"]):
        image = images[digest]
        mine = sorted(by_picture[digest], key=lambda one: (one.when, one.who))
        said[image["image_id"]] = [(one, sound_boxes(one, image, before.get(image["image_id"], ()), len(job.classes),
                                                     told)) for one in mine]
    return _labels(said, before, {image["image_id"]: image for image in images.values()}, job, told)


def _rows_of(pictures: Pictures) -> tuple[dict[str, dict[str, Any]], dict[int, list[dict[str, Any]]]]:
    """digest → row of the picture; image_id → rows of its boxes."""
    dataset = pictures.dataset
    columns = ["image_id", "file", "width", "height", "digest"]
    images = {row["digest"]: row for row in dataset.images.select(columns).to_pylist()}
    before: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in dataset.annotations.to_pylist():
        before[row["image_id"]].append(row)
    return images, before


def _labels(said: Mapping[int, Sequence[tuple[Answer, list[dict[str, Any]]]]],
            before: Mapping[int, list[dict[str, Any]]], images: Mapping[int, Mapping[str, Any]], job: Job,
            told: list[str]) -> Corrected:
    old = [row for image in said for row in before.get(image, ())]
    new = [row | {"image_id": image} for image, voices in said.items() for row in voices[-1][1]]
    needed = _needed(old, new)
    origins = _origins(old, new, needed)
    rows = []
    for place, box in enumerate(new):
        at, what, _ = needed.of[place]
        answer = said[box["image_id"]][-1][0]
        rows.append(_row(box, old[at] if at is not None else {}, origins[place], what, answer, images[box["image_id"]]))
    told += _points_lost(rows, origins, images)
    review = {image: _review(voices, needed.clicks.get(image, 0.0), job) for image, voices in said.items()}
    return Corrected(_table(rows), review, conflicts_of(said), needed.totals, told)


@dataclass
class _Needed:
    """of: for each corrected box its pre-label's place or None, what was needed, and its clicks; clicks by picture."""

    of: list[tuple[int | None, str, float]]
    clicks: dict[int, float]
    totals: Totals


def _needed(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> _Needed:
    settings = Settings()
    rows = compare(_boxes(old), _boxes(new), settings)
    columns = rows.to_pydict()
    of: list[tuple[int | None, str, float]] = [(None, "drawn", settings.draw)] * len(new)
    clicks: dict[int, float] = defaultdict(float)
    for place, (at, to) in enumerate(zip(columns["before"], columns["after"], strict=True)):
        if columns["needed"][place] == "accepted" and _outline_changed(old[at], new[to]):
            columns["needed"][place], columns["clicks"][place] = "adjusted", settings.adjust
        if to is not None:
            of[to] = at, columns["needed"][place], columns["clicks"][place]
        clicks[columns["image_id"][place]] += columns["clicks"][place]
    return _Needed(of, dict(clicks), totals(pa.table(columns, schema=rows.schema), settings))


def _origins(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]],
             needed: _Needed) -> list[Mapping[str, Any]]:
    """The pre-label whose object each box is: by the id that the desk kept, however far it was moved, else the one that
    it was compared with; each pre-label once; empty without one."""
    places = {row["annotation_id"]: at for at, row in enumerate(old)}
    claimed: dict[int, int] = {}
    for place, box in enumerate(new):
        at = places.get(box["before"])
        if at is not None and old[at]["image_id"] == box["image_id"]:
            claimed.setdefault(at, place)
    by_id = {place: at for at, place in claimed.items()}
    found = [by_id.get(place, None if other in claimed else other) for place, (other, _, _) in enumerate(needed.of)]
    return [old[at] if at is not None else {} for at in found]


def _points_lost(rows: Sequence[Mapping[str, Any]], origins: Sequence[Mapping[str, Any]],
                 images: Mapping[int, Mapping[str, Any]]) -> list[str]:
    files = [images[row["image_id"]]["file"] for row, origin in zip(rows, origins, strict=True)
             if origin.get("keypoints") and not row["keypoints"]]
    more = " …" if len(files) > SHOWN else ""
    return [f"the points of {len(files)} boxes are left out, as their class or their place is another now: "
            f"{', '.join(files[:SHOWN])}{more}"] if files else []


def _boxes(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    return pa.table([pa.array([row[name] for row in rows], ANNOTATIONS.field(name).type) for name in COMPARED],
                    names=list(COMPARED))


def _outline_changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return new["polygons"] is not None and not same_polygons(new["polygons"], old["polygons"])


def _row(box: Mapping[str, Any], old: Mapping[str, Any], origin: Mapping[str, Any], needed: str, answer: Answer,
         image: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `annotations`. An accepted box stays its model's; one that was drawn or changed is a person's.

    Args:
        old: the pre-label in its place; origin: the one whose object it is.
    """
    row = blank() | {name: box[name] for name in COMPARED}
    accepted = needed == "accepted"
    row |= {name: box[name] if box.get(name) is not None else origin.get(name, row[name]) for name in KEPT}
    row |= {name: old.get(name) if accepted else None for name in MODEL_SAYS}
    row["source"] = old["source"] if accepted else "human"
    row["reviewed_by"] = answer.who
    for name, stays in SHAPE.items():
        row[name] = box[name] if box.get(name) is not None else old.get(name) if needed in stays else None
    if row["polygons"] is not None:
        row["rle"] = None
    row["area"] = old["area"] if box["was"] is not None else _area(row, image)
    texts = [json.loads(text) for text in (old.get("attributes"), box.get("attributes")) if text]
    told = {key: value for one in texts for key, value in one.items()}
    told["label"] = {"when": iso(answer.when), "needed": needed}
    row["attributes"] = json.dumps(told, sort_keys=True, ensure_ascii=False)
    return row


def _area(row: Mapping[str, Any], image: Mapping[str, Any]) -> float:
    shape = shape_of(row, image["width"], image["height"])
    return shape.area if shape is not None and shape.area else float(row["w"] * row["h"])


def _review(voices: Sequence[tuple[Answer, Any]], clicks: float, job: Job) -> dict[str, Any]:
    """What `images.attributes` gets of a picture that people have looked at."""
    last = voices[-1][0]
    spent = [one.seconds for one, _ in voices if one.seconds is not None]
    review: dict[str, Any] = {"by": last.who, "when": iso(last.when), "seconds": sum(spent) if spent else None,
                              "job": job.name, "clicks": clicks}
    if len(voices) > 1:
        review["others"] = sorted({one.who for one, _ in voices} - {last.who})
    if note := job.returned.get(last.digest):
        review["second_look"] = note
        review["waiting"] = last.when <= job.returned_at.get(last.digest, 0.0)
    return dict(last.attributes or {}) | {"review": review}


def conflicts_of(said: Mapping[int, Sequence[tuple[Answer, list[dict[str, Any]]]]]) -> pa.Table:
    """What earlier people said and the last one did not, where several have looked at a picture."""
    groups: dict[tuple[tuple[str, int], ...], list[int]] = defaultdict(list)
    for image, voices in said.items():
        if len(voices) > 1:
            times = sorted({one.when for one, _ in voices})
            groups[tuple((one.who, times.index(one.when)) for one, _ in voices)].append(image)
    found = [CONFLICTS.empty_table()]
    for people, images in groups.items():
        spoken = [Voice(who, _boxes([row | {"image_id": image} for image in images for row in said[image][at][1]]),
                        np.array(sorted(images)), "person", float(rank)) for at, (who, rank) in enumerate(people)]
        most = max((box["class_id"] for image in images for _, rows in said[image] for box in rows), default=0)
        found.append(merge(spoken, [str(number) for number in range(most + 1)]).conflicts)
    table = pa.concat_tables(found)
    return table.take(pa.array(np.argsort(table["image_id"].to_numpy(), kind="stable")))


def _table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    fields = [f for f in ANNOTATIONS if f.name not in ("annotation_id", "row")]
    return pa.table([pa.array([row[f.name] for row in rows], f.type) for f in fields], schema=pa.schema(fields))


def iso(when: float) -> str:
    """Seconds since 1970 in ISO form, UTC, to the millisecond."""
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds")
