"""KITTI: one text file a picture, a line of 15 columns an object; detections have a 16th, the score.

type, truncated (0 to 1), occluded (0 to 3), alpha, left, top, right, bottom, height, width, length, x, y, z and
rotation_y, as the readme of the object development kit has them (https://www.cvlibs.net/datasets/kitti/eval_object.php).
TLT's and TAO's folders `images` and `labels` hold the same lines.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from tasks.base.errors import DataError
from tasks.data.formats._kitti_write import CARRIES, UNKNOWN, write
from tasks.data.formats._layout import inside, swap, with_stem
from tasks.data.formats._lines import FIELD, numbered, peek
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, Note, Picture, Reading, Source, number, split_in_name

__all__ = ["CARRIES", "EXPECTED", "TITLE", "find", "read", "write"]

TITLE = "KITTI"
EXPECTED = "label_2/*.txt of 15 columns beside image_2/, or labels/*.txt beside images/"
COLUMNS = ("type", "truncated", "occluded", "alpha", "left", "top", "right", "bottom", "height", "width", "length",
           "x", "y", "z", "rotation_y", "score")
# pictures are looked for in the folder beside, called so
BESIDE = {"label_2": "image_2", "label_3": "image_3", "labels": "images", "label": "image"}
LOOKED_AT = 20


def find(index: FolderIndex) -> list[Source]:
    """Folders of text files whose lines all have KITTI's columns, as far as the first of them tell."""
    folders: dict[str, list[str]] = {}
    for file in index.with_suffix(".txt"):
        folders.setdefault(posixpath.dirname(file) or ".", []).append(file)
    return [Source("kitti", index.root / folder, split_in_name(PurePosixPath(folder)))
            for folder, files in folders.items() if _is_kitti(index, files[:LOOKED_AT])]


def read(index: FolderIndex, source: Source, into: Reading) -> Iterator[Picture]:
    """The pictures of one folder of text files; `DontCare` rows become its ignored regions.

    Raises:
        DataError: a line has another number of columns, or one that is not a number.
    """
    folder = source.path.relative_to(index.root).as_posix()
    for here in (file for file in inside(index, folder) if file.lower().endswith(".txt")):
        file = _picture(index, here, source.split)
        if file is None:
            into.notes.append(Note("missing_picture", here, "", f"there is no picture for {here!r}"))
            continue
        picture = Picture(file, source.split, None, here)
        for line, fields in numbered(index.root / here, here):
            _check(fields, f"{here}:{line}")
            box = _box(fields, f"{here}#{line}")
            if box.label.lower() == "dontcare":
                picture.ignored = [*(picture.ignored or ()), [box.x, box.y, box.w, box.h]]
            else:
                picture.boxes.append(box)
        into.labels.update(box.label for box in picture.boxes)
        yield picture


def _is_kitti(index: FolderIndex, files: list[str]) -> bool:
    """The first row of each of these files is right, and there is one."""
    rows = (next((fields for line in peek(index.root / file) if (fields := FIELD.findall(line))), None)
            for file in files)
    first = [fields for fields in rows if fields]
    return bool(first) and all(map(_looks_right, first))


def _looks_right(fields: list[str]) -> bool:
    # a YOLO polygon of seven points has 15 columns too, all of them numbers
    if len(fields) not in (15, 16) or _no_number(fields) is not None:
        return False
    occluded = number(fields[2])
    return occluded.is_integer() and -1 <= occluded <= 255


def _no_number(fields: list[str]) -> int | None:
    """The first column that should be a number and is none."""
    return next((place for place, text in enumerate(fields[1:], 1)
                 if math.isnan(number(text)) and text.lower().lstrip("+-") != "nan"), None)


def _picture(index: FolderIndex, here: str, split: str | None) -> str | None:
    folder, name = posixpath.split(here)
    stem = name[:-len(".txt")]
    for word, other in BESIDE.items():
        if (there := swap(here, [word], other)) and (found := with_stem(index, posixpath.dirname(there), stem)):
            return found[0]
    # the index leaves out one suffix, and a stem may have points itself
    return index.find(f"{stem}.png", PurePosixPath(folder), split, here)


def _check(fields: list[str], where: str) -> None:
    if len(fields) not in (15, 16):
        what = f"{len(fields)} columns, expected 15 (16 with a score): {' '.join(COLUMNS[:15])}"
        raise DataError(what, where=where, mend="mend that line; class names have no spaces in KITTI")
    if (place := _no_number(fields)) is not None:
        what = f"column {COLUMNS[place]!r} is not a number: {fields[place][:40]!r}"
        raise DataError(what, where=where, mend="mend that line")


def _box(fields: list[str], row: str) -> Box:
    truncated, occluded, _, left, top, right, bottom = (number(text) for text in fields[1:8])
    box = Box(fields[0], left, top, right - left, bottom - top, row)
    attributes: dict[str, Any] = {}
    if truncated != -1:
        box.truncation = truncated
    if occluded in (0, 1, 2, 3):
        box.occlusion = int(occluded)
    elif occluded != -1:
        attributes["occluded"] = fields[2]
    solid = (fields[3], *fields[8:15])
    if solid != UNKNOWN:
        attributes |= {"alpha": solid[0], "dimensions": list(solid[1:4]), "location": list(solid[4:7]),
                       "rotation_y": solid[7]}
    box.score = number(fields[15]) if len(fields) == 16 else None
    box.attributes = attributes or None
    return box
