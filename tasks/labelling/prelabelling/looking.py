"""One shard of a pool: its pictures read, asked about, and what was said as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.base.errors import DataError, UserError
from tasks.data.pictures import Location, locate, read_picture
from tasks.labelling.prelabelling.changed import covered, mirror, smaller
from tasks.labelling.prelabelling.settings import Settings
from tasks.labelling.prelabelling.shards import BOXES, PICTURES
from tasks.labelling.teachers.found import Found, Teacher
from tasks.labels.features import flip_consistency, mirrored
from tasks.labels.mining.cald import consistency

# pictures that are asked about at once, and their pixels: 100 MB; more for who wants many
TOGETHER, PIXELS, MORE = 8, 32_000_000, 8


def look_at(rows: pa.Table, root: Path, teacher: Teacher, settings: Settings) -> tuple[pa.Table, pa.Table]:
    """Boxes and pictures of a shard, in the forms of `BOXES` and `PICTURES`.

    Args:
        rows: its pictures; `root`: what their files are relative to.
    """
    ids = rows["image_id"].to_pylist()
    flaws: dict[int, str] = {}
    said: dict[str, dict[int, Found]] = {}
    heat: dict[int, np.ndarray] = {}
    for some, pictures in _together(ids, locate(root, rows), flaws, together(teacher)):
        for name, copies in _copies(some, pictures, settings):
            ask = teacher.ask if name == "plain" else getattr(teacher, "glance", teacher.ask)
            said.setdefault(name, {}).update(zip(some, ask(copies), strict=True))
        if settings.aldd:
            heat.update(zip(some, _heat(teacher, pictures), strict=True))
    found = _table(said.get("plain", {}))
    again = mirrored(_table(said["flip"]), rows) if "flip" in said else None
    if again is not None:
        found = found.set_column(BOXES.get_field_index("flip"), BOXES.field("flip"),
                                 pa.array(flip_consistency(found, again), pa.float32()))
    steady: dict[int, float] = {}
    if settings.consistency and said:
        looked = np.array(sorted(said["plain"]))
        changed = [*([again] if again is not None else []), *(_table(said[name]) for name in ("covered", "smaller"))]
        steady = dict(zip(looked.tolist(), consistency(looked, found, changed).tolist(), strict=True))
    told = {"image_id": ids, "digest": rows["digest"].to_pylist(), "flaw": [flaws.get(i) for i in ids],
            "aldd": [heat[i].tolist() if i in heat else None for i in ids],
            "consistency": [steady.get(i) for i in ids]}
    return found, pa.table(told, schema=PICTURES)


def together(teacher: Teacher) -> int:
    """How many pictures a teacher is asked about at once; a program that is started for each question says many."""
    return max(TOGETHER, int(getattr(teacher, "batch", TOGETHER)))


def _together(ids: Sequence[int], places: Sequence[Location], flaws: dict[int, str],
              many: int) -> Iterator[tuple[list[int], list[np.ndarray]]]:
    """Some pictures at a time; those that cannot be read go to `flaws` with the reason."""
    some: list[int] = []
    pictures: list[np.ndarray] = []
    limit = 3 * PIXELS * (MORE if many > TOGETHER else 1)
    for image, place in zip(ids, places, strict=True):
        try:
            picture = read_picture(place)
        except DataError as error:
            flaws[image] = error.what
            continue
        some.append(image)
        pictures.append(picture)
        if len(some) == many or sum(one.size for one in pictures) > limit:
            yield some, pictures
            some, pictures = [], []
    if some:
        yield some, pictures


def _copies(ids: Sequence[int], pictures: list[np.ndarray],
            settings: Settings) -> Iterator[tuple[str, list[np.ndarray]]]:
    yield "plain", pictures
    if settings.flip or settings.consistency:
        yield "flip", [mirror(picture) for picture in pictures]
    if settings.consistency:
        yield "covered", [covered(picture, image) for image, picture in zip(ids, pictures, strict=True)]
        yield "smaller", [smaller(picture) for picture in pictures]


def _heat(teacher: Teacher, pictures: list[np.ndarray]) -> list[np.ndarray]:
    ask: Any = getattr(teacher, "heat", None)
    if ask is None:
        raise UserError(f"{teacher.name} has no heat maps", where="aldd", mend="take another strategy than aldd")
    heat: list[np.ndarray] = ask(pictures)
    return heat


def _table(found: dict[int, Found]) -> pa.Table:
    """What was said of pictures, by image_id, each picture's best first."""
    ids = sorted(found)
    some = [found[image] for image in ids]
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(np.asarray(one.boxes).reshape(-1, 4) for one in some)])
    x, y, right, bottom = boxes.astype(np.float32).T
    columns: dict[str, Any] = {
        "image_id": np.repeat(np.array(ids, np.int64), [len(one) for one in some]),
        "class_id": _joined([one.labels for one in some]).astype(np.int32), "x": x, "y": y, "w": right - x,
        "h": bottom - y}
    columns |= {name: _joined([getattr(one, column) for one in some]).astype(np.float32) for name, column in
                (("score", "scores"), ("margin", "margin"), ("spread", "spread"), ("support", "support"))}
    count = len(boxes)
    outlines: list[Any] = []
    for one in some:
        outlines += one.polygons if one.polygons is not None else [None] * len(one)
    columns |= {"flip": pa.nulls(count, pa.float32()), "polygons": pa.array(outlines, BOXES.field("polygons").type)}
    return pa.table({name: columns[name] for name in BOXES.names}, schema=BOXES)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.float32), *parts])
