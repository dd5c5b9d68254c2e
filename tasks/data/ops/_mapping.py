"""Labels carried along by an affine map of their picture."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.base.errors import DataError
from tasks.data.affine import Affine, Box, cut_box, determinant, map_box, move
from tasks.data.ops._labels import box_of, inside, remade
from tasks.data.shapes import Shape, shape_of

OTHER = {"left": "right", "right": "left", "l": "r", "r": "l"}
SIDE = re.compile(r"left|right|(?<![a-z])[lr](?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Carrying:
    """What is the same for all labels of a picture.

    Attributes:
        affine: from the old picture to the new one; `width`, `height`: of both.
        min_visible: share of a label that must still be to be seen; of a crowd any.
        tighten: boxes of labels with a mask are drawn around the mapped mask.
        swaps: of each class with keypoints, what its points become in a mirror, see `mirrored_order`.
    """

    affine: Affine
    width: int
    height: int
    min_visible: float
    tighten: bool
    swaps: Mapping[int, Sequence[int]]


def carry(row: Mapping[str, Any], how: Carrying, counts: Counter[str]) -> dict[str, Any] | None:
    """The row after the map, None where too little of it is left to be seen.

    A box with a mask becomes the mapped mask's extent. Without one, or when nothing of the mask is left, it becomes
    the box around its four mapped corners, which is larger than the object; the latter are counted as `empty_masks`.

    Raises:
        DataError: a damaged mask, or keypoints without names in a mirror.
    """
    shape, share = shape_of(row, how.width, how.height), 0.0
    moved: Shape | None = None
    around = map_box(box_of(row), how.affine)
    box = cut_box(around, (0, 0, how.width, how.height))
    if shape:
        moved, share = shape.map(how.affine, how.width, how.height)
    if shape is None or not shape.area:
        share = (box[2] / around[2]) * (box[3] / around[3]) if box else 0.0
    if share <= 0 or (share < how.min_visible and not row["iscrowd"]):
        return None
    if moved and not moved.area:
        counts["empty_masks"] += 1
    elif moved and how.tighten:
        box = moved.extent
    if box is None:
        return None
    return remade(row, box, share, abs(determinant(how.affine)), moved, _points(row, how))


def carry_region(region: Sequence[float], how: Carrying) -> Box | None:
    """A region that counts for nothing: the box around its mapped corners, cut to the picture."""
    x, y, w, h = region
    return cut_box(map_box((x, y, w, h), how.affine), (0, 0, how.width, how.height))


def mirrored_order(names: Sequence[str]) -> list[int]:
    """For each keypoint of a class the number of the one that it is in a mirror: left_eye becomes right_eye.

    One whose partner is not among the names stays what it is.
    """
    place = {name: number for number, name in enumerate(names)}
    return [place.get(SIDE.sub(_other, name), number) for number, name in enumerate(names)]


def _other(found: re.Match[str]) -> str:
    word = found.group()
    other = OTHER[word.lower()]
    return other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other


def _points(row: Mapping[str, Any], how: Carrying) -> list[float] | None:
    if row["keypoints"] is None:
        return None
    points = np.array(row["keypoints"], float).reshape(-1, 3)
    points[:, 0], points[:, 1] = move((points[:, 0], points[:, 1]), how.affine)
    if determinant(how.affine) < 0:
        order = how.swaps.get(row["class_id"], ())
        if len(order) != len(points):
            raise DataError(f"{len(points)} keypoints, of which {len(order)} have names: a mirror turns left into "
                            "right", where=row["row"], mend="--flip-horizontal 0 --flip-vertical 0")
        points = points[list(order)]
    return inside(points.ravel().tolist(), how.width, how.height)
