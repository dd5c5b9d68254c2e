"""OpenImages' boxes: CSV with ImageID, LabelName and edges as shares of the picture's sides."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import PurePosixPath

from tasks.base.errors import DataError
from tasks.data.formats._size import header_size
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, More, Note, Picture, Reading, number, safe_name, split_in_name

SUFFIX, SIGN = ".csv", b"XMin"
PEEKED = 4096
HEAD = frozenset({"ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax"})
FLAGS = ("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside")
# shares have ten digits: what is left beyond these is their rounding
DIGITS = 6
Row = dict[str, str]
Size = tuple[float, float]


def read(index: FolderIndex, here: str, into: Reading) -> Iterator[Picture | More]:
    """The pictures of one file. Names of classes are taken from `class-descriptions….csv` where it is there.

    Raises:
        DataError: it is no CSV, lacks a column, or names a picture outside the folder.
    """
    split = split_in_name(PurePosixPath(here))
    names = _descriptions(index)
    seen: dict[str, Size] = {}
    missing: set[str] = set()
    try:
        with (index.root / here).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True, restval="", restkey="?")
            lacking = HEAD - set(reader.fieldnames or ())
            if lacking:
                raise DataError(f"not OpenImages' CSV: no column {', '.join(sorted(lacking))}", where=here,
                                mend="expected ImageID,LabelName,XMin,XMax,YMin,YMax")
            for row in reader:
                yield from _row(index, here, reader.line_num, row, split, names, seen, missing, into)
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"not CSV: {error}", where=here, mend="save it as CSV, UTF-8") from None


def _row(index: FolderIndex, here: str, line: int, row: Row, split: str | None, names: dict[str, str],
         seen: dict[str, Size], missing: set[str], into: Reading) -> Iterator[Picture | More]:
    where = f"{here}#{line}"
    name = safe_name(row["ImageID"], where)
    file = index.find(name, PurePosixPath(here).parent, split, where)
    if file is None:
        if name not in missing:
            missing.add(name)
            into.notes.append(Note("missing_picture", here, str(line), f"there is no picture {name!r}"))
        return
    first = file not in seen
    if first:
        seen[file] = header_size(index.root / file) or (float("nan"), float("nan"))
    box = _box(row, names, where, *seen[file])
    yield Picture(file, split, None, where, [box]) if first else More(file, [box])


def _box(row: Row, names: dict[str, str], where: str, width: float, height: float) -> Box:
    left, right, top, bottom = (_share(row[key]) for key in ("XMin", "XMax", "YMin", "YMax"))
    x, y, w, h = (round(share * side, DIGITS) for share, side in (
        (left, width), (top, height), (right - left, width), (bottom - top, height)))
    label = row["LabelName"].strip()
    box = Box(names.get(label, label), x, y, w, h, where)
    box.iscrowd = row.get("IsGroupOf") == "1"
    told = {key: row[key] for key in ("Source", *FLAGS) if key != "IsGroupOf" and row.get(key)}
    box.occlusion = {"0": 0, "1": 1}.get(told.pop("IsOccluded", ""))
    box.attributes = told | ({"Confidence": row["Confidence"]} if row.get("Confidence") else {}) or None
    return box


def _share(text: str) -> float:
    # spreadsheets of some countries write a comma
    return number(text.strip().replace(",", "."))


def _descriptions(index: FolderIndex) -> dict[str, str]:
    """`/m/01g317` → `Person`."""
    names: dict[str, str] = {}
    for file in index.with_suffix(".csv"):
        if "class-descriptions" in PurePosixPath(file).name:
            with (index.root / file).open(encoding="utf-8-sig", errors="replace", newline="") as lines:
                try:
                    names.update({row[0]: row[1].strip() for row in csv.reader(lines) if len(row) == 2})
                except csv.Error as error:
                    raise DataError(f"not CSV: {error}", where=file, mend="fetch that file again") from None
    return names
