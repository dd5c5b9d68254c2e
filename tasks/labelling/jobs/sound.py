"""Boxes as a person sent them, made fit for the table: equal ones equal again, clipped at the edge, or refused."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tasks.base.errors import DataError
from tasks.data.formats._superb_json import mapping
from tasks.data.formats.record import number
from tasks.data.shapes import shape_of
from tasks.data.table import ANNOTATIONS
from tasks.labelling.jobs.desk import Answer

# pixels: tools write two digits after the point, or percent of the picture's size
SAME = 0.0101
SIDES = ("x", "y", "w", "h")


def sound_boxes(answer: Answer, image: Mapping[str, Any], before: Sequence[Mapping[str, Any]], classes: int,
                told: list[str]) -> list[dict[str, Any]]:
    """The boxes of an answer as rows of the table, with `was`, the row of the pre-label that was left as it is, and
    `before`, the annotation_id of the one that the desk says it goes back to.

    A box that differs from its pre-label by rounding alone is that pre-label again. One that reaches over the edge is
    clipped and told; one wholly outside, without area or not of numbers is left out and told.

    Args:
        image: the row of the picture; before: rows of its pre-labels.

    Raises:
        DataError: a class that the job does not have.
    """
    rows = []
    near = Near(before)
    for place, row in enumerate(answer.boxes.to_pylist()):
        if not 0 <= row["class_id"] < classes:
            raise DataError(f"a label of class {row['class_id']}, and the job has {classes}",
                            where=f"{image['file']}, box {place}, by {answer.who}", mend="fetch it again")
        row["before"] = answer.before[place] if answer.before and place < len(answer.before) else None
        row["was"] = near.take(row, equal)
        if row["was"] is not None:
            row |= {name: before[row["was"]][name] for name in (*SIDES, "polygons")}
        if row.get("rle") is not None and (row["rle"]["w"], row["rle"]["h"]) != (image["width"], image["height"]):
            told.append(f"{image['file']}: the mask of box {place} of {answer.who} is of another size: left out")
            row["rle"] = None
        flaw = _clip(row, image)
        if flaw:
            told.append(f"{image['file']}: box {place} of {answer.who} {flaw}")
        if row["w"] > 0 and row["h"] > 0:
            rows.append(row)
    return rows


class Near:
    """Boxes to be met once each, by class and left edge to the pixel: a crowd of a thousand costs no million looks."""

    def __init__(self, boxes: Sequence[Mapping[str, Any]]) -> None:
        self.boxes, self.cells = boxes, defaultdict[tuple[int, int], list[int]](list)
        for at, box in enumerate(boxes):
            self.cells[box["class_id"], math.floor(box["x"])].append(at)

    def take(self, row: Mapping[str, Any], same: Callable[[Mapping[str, Any], Mapping[str, Any]], bool]) -> int | None:
        """The place of the first box left that is the same, which is then gone; `same` may bridge half a pixel."""
        if not math.isfinite(row["x"]):
            return None
        column = math.floor(row["x"])
        found = [at for near in (column - 1, column, column + 1) for at in self.cells.get((row["class_id"], near), ())
                 if same(row, self.boxes[at])]
        if not found:
            return None
        at = min(found)
        self.cells[row["class_id"], math.floor(self.boxes[at]["x"])].remove(at)
        return at

    def left(self) -> bool:
        """Whether any box was not met."""
        return any(self.cells.values())


def equal(row: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Whether two boxes are one but for rounding."""
    if row["class_id"] != old["class_id"] or any(abs(row[side] - old[side]) > SAME for side in SIDES):
        return False
    # a format without polygons says nothing about them
    return row["polygons"] is None or same_polygons(row["polygons"], old["polygons"])


def same_boxes(rows: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two lists of boxes are one but for rounding, in any order."""
    near = Near(others)
    return all(near.take(row, equal) is not None for row in rows) and not near.left()


def is_turned(attributes: Mapping[str, Any] | None) -> bool:
    """Whether a box does not stand upright, by what the formats' readers keep of its angle."""
    told = mapping(attributes)
    angle = mapping(told.get("rbox")).get("angle", told.get("rotation", 0))
    return number(angle) % 90 != 0


def same_polygons(one: Sequence[Sequence[float]] | None, other: Sequence[Sequence[float]] | None) -> bool:
    """Whether two masks are the same but for rounding."""
    if not one or not other:
        return not one and not other
    return len(one) == len(other) and all(
        len(a) == len(b) and bool(np.allclose(a, b, rtol=0, atol=SAME)) for a, b in zip(one, other, strict=True))


def _clip(row: dict[str, Any], image: Mapping[str, Any]) -> str | None:
    """Bring a box into its picture; what was wrong with it, or None. One to be left out gets no area."""
    x, y, w, h = (row[side] for side in SIDES)
    width, height = image["width"], image["height"]
    if not all(map(math.isfinite, (x, y, w, h))) or w <= 0 or h <= 0:
        row["w"] = row["h"] = 0.0
        return f"is left out: {x:g}, {y:g}, {w:g} x {h:g} is no box"
    left, top, right, bottom = max(x, 0.0), max(y, 0.0), min(x + w, width), min(y + h, height)
    over = max(left - x, top - y, x + w - right, y + h - bottom)
    if over <= 0:
        return None
    if right <= left or bottom <= top:
        row["w"] = row["h"] = 0.0
        return f"is left out: {x:g}, {y:g}, {w:g} x {h:g} lies outside the picture of {width} x {height}"
    row.update(x=left, y=top, w=right - left, h=bottom - top)
    if row["polygons"] is not None and over > SAME:
        _clip_polygons(row, image)
    if over <= SAME:
        return None
    return f"reached over the edge by {over:.3g} pixels, and was clipped"


def _clip_polygons(row: dict[str, Any], image: Mapping[str, Any]) -> None:
    shape = shape_of({"polygons": row["polygons"], "rle": None, "row": ""}, image["width"], image["height"])
    inside = shape.cut((0, 0, image["width"], image["height"])) if shape else None
    if inside is None or inside.extent is None:
        row["polygons"] = None
        return
    row["polygons"] = inside.columns()["polygons"]
    row.update(dict(zip(SIDES, inside.extent, strict=True)))


def blank() -> dict[str, Any]:
    """A row of `annotations` with nothing in it."""
    return dict.fromkeys(ANNOTATIONS.names) | {"iscrowd": False, "difficult": False, "row": ""}
