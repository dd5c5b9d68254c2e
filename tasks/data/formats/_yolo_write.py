"""Writing YOLO: `data.yaml`, `images/` and `labels/`, below them a folder for each split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.base.files import write_atomic
from tasks.data import sql
from tasks.data.formats._lines import decimal
from tasks.data.formats._names import Names, counted_ids, refuse_other_problems, splits_of
from tasks.data.formats._yaml import quoted

if TYPE_CHECKING:
    from tasks.data.exporting import Export

CARRIES = frozenset({"split", "score", "polygons", "keypoints"})
COUNTS = """SELECT count(*), count(score), count(*) FILTER (len(polygons) > 0), count(*) FILTER (len(keypoints) > 0),
count(DISTINCT len(keypoints)), max(len(keypoints)) FROM it_annotations"""
DECIMALS = 6
ROUNDING = 0.01  # pixels


@dataclass(frozen=True)
class Rows:
    """How all rows are written: boxes, polygons, or boxes with `points` keypoints; and whether a score follows."""

    polygons: bool
    points: int
    scored: bool


def write(export: Export) -> None:
    """Pictures without a split stand in `images/` itself, or in `images/unsplit` where others have one.

    Raises:
        DataError: the labels are no boxes.
    """
    refuse_other_problems(export, "YOLO")
    names, kind, ids, folders = Names(export), _kind(export), counted_ids(export), _folders(splits_of(export))
    for row in export.rows():
        name, folder = names(row.image), folders[row.image["split"]]
        export.place(row.image, f"images{folder}/{name}")
        label = export.out / f"labels{folder}" / f"{PurePosixPath(name).stem}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(_text(export, row.image, row.boxes, kind, ids), encoding="utf-8")
    write_atomic(export.out / "data.yaml", _yaml(export, folders, ids, kind))


def _kind(export: Export) -> Rows:
    with sql.tables(it=export.folder) as connection:
        total, scored, outlined, posed, lengths, longest = connection.execute(COUNTS).fetchone() or (0,) * 6
    keypoints = 0 < total == posed and lengths == 1
    # readers take a box among polygons for a polygon of two points
    polygons = not keypoints and (export.meta.problem == "segment" or 0 < total == outlined)
    kind = Rows(polygons, longest // 3 if keypoints else 0, scored == total > 0 and not polygons)
    for name, said, kept in (("score", scored, kind.scored), ("polygons", outlined, polygons),
                             ("keypoints", posed, keypoints)):
        export.lose(f"annotations.{name}", 0 if kept else said)
    return kind


def _folders(splits: Sequence[str | None]) -> dict[str | None, str]:
    return {None: ""} if list(splits) == [None] else {split: f"/{split or 'unsplit'}" for split in splits}


def _text(export: Export, image: dict[str, Any], boxes: list[dict[str, Any]], kind: Rows, ids: list[int]) -> str:
    size = (image["width"], image["height"])
    if 0 in size:
        export.lose("labels of pictures whose size is unknown", len(boxes))
        return ""
    lines = []
    for box in boxes:
        parts = _outline(export, box, size) if kind.polygons else _rectangle(box, size)
        if kind.points:
            parts += _points(box["keypoints"], size)
        if kind.scored:
            parts.append(str(np.float32(box["score"])))
        lines.append(" ".join([str(ids[box["class_id"]]), *parts]) + "\n")
    return "".join(lines)


def _rectangle(box: dict[str, Any], size: tuple[int, int]) -> list[str]:
    """Centre and size as shares, so that reading them gives the same pixels."""
    centres, sides = [], []
    for start, length, whole in ((box["x"], box["w"], size[0]), (box["y"], box["h"], size[1])):
        centres.append(_centre(start, length, whole))
        sides.append(_share(length, whole))
    return centres + sides


def _centre(start: float, length: float, whole: int) -> str:
    return decimal((start + length / 2) / whole, lambda read: read * whole - length / 2 == start, DECIMALS)


def _share(pixels: float, whole: int) -> str:
    return decimal(pixels / whole, lambda read: read * whole == pixels, DECIMALS)


def _outline(export: Export, box: dict[str, Any], size: tuple[int, int]) -> list[str]:
    """The largest polygon; the rectangle of an object that has none."""
    x, y, w, h = (box[name] for name in "xywh")
    rings = [ring for ring in box["polygons"] or () if len(ring) >= 6 and len(ring) % 2 == 0]
    if not rings:
        export.lose("masks and boxes that became rectangles")
        rings = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    export.lose("parts of an object beyond the first polygon", len(rings) - 1)
    ring = max(rings, key=_area)
    extent = (min(ring[::2]), min(ring[1::2]), max(ring[::2]), max(ring[1::2]))
    far = any(abs(a - b) > ROUNDING for a, b in zip(extent, (x, y, x + w, y + h), strict=True))
    export.lose("boxes that are not their polygon's extent", far)
    return [_share(value, whole) for value, whole in zip(ring, cycle(size))]


def _area(ring: list[float]) -> float:
    """Twice the area, by the shoelace formula."""
    xs, ys = ring[::2], ring[1::2]
    return abs(sum(xs[k - 1] * ys[k] - xs[k] * ys[k - 1] for k in range(len(xs))))


def _points(values: list[float], size: tuple[int, int]) -> list[str]:
    parts = []
    for at in range(0, len(values), 3):
        parts += [_share(values[at], size[0]), _share(values[at + 1], size[1]), f"{values[at + 2]:g}"]
    return parts


def _yaml(export: Export, folders: dict[str | None, str], ids: list[int], kind: Rows) -> str:
    lines = [f"{split or 'unsplit'}: images{folder}" for split, folder in folders.items()]
    if folders == {None: ""}:
        lines.append("train: images")
    lines += [f"kpt_shape: [{kind.points}, 3]"] if kind.points else []
    lines += [f"nc: {len(ids)}", "names:"]
    lines += [f"  {number}: {quoted(name)}" for number, name in sorted(zip(ids, export.meta.classes, strict=True))]
    more = export.meta.attributes.get("yolo")
    lines += [f"{quoted(key)}: {quoted(value)}" for key, value in more.items()] if isinstance(more, dict) else []
    return "\n".join(lines) + "\n"
