"""A CSV file as rows, and what its columns mean."""

from __future__ import annotations

import codecs
import csv
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tasks.base.errors import DataError
from tasks.data.formats._layout import is_picture, lookup
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import number, safe_name

BOXES, LABELS, ONE_HOT = "boxes", "labels", "one hot"
MAX_LINE = 1 << 20
LOOKED_AT = 20
FLAGS = frozenset({"0", "1", "0.0", "1.0"})
# what a column may be called, in lower case and with `_` for spaces
CALLED = {
    "file": ("filename", "file", "file_name", "image", "image_path", "path", "filepath", "file_path", "image_name",
             "image_file", "img"),
    "label": ("class", "label", "labels", "classes", "class_name", "label_name", "category", "categories"),
    "split": ("split", "subset", "set"),
    "width": ("width", "image_width", "img_width"), "height": ("height", "image_height", "img_height"),
    "xmin": ("xmin", "x_min", "x1"), "ymin": ("ymin", "y_min", "y1"),
    "xmax": ("xmax", "x_max", "x2"), "ymax": ("ymax", "y_max", "y2"),
    "score": ("score", "confidence"), "iscrowd": ("iscrowd",), "difficult": ("difficult",),
    "truncation": ("truncation", "truncated"), "occlusion": ("occlusion", "occluded"),
}
CORNERS = ("xmin", "ymin", "xmax", "ymax")
OF_BOXES = frozenset({*CORNERS, "score", "iscrowd", "difficult", "truncation", "occlusion"})
RETINANET = {"file": 0, "xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4, "label": 5}


@dataclass(frozen=True)
class Table:
    """A file's layout: `columns` are places of known columns, `others` those of the rest by name."""

    path: Path
    here: str
    delimiter: str
    kind: str
    headed: bool
    columns: dict[str, int]
    others: dict[str, int]

    def rows(self) -> Iterator[Line]:
        """The rows below the header.

        Raises:
            DataError: as `lines`, or a row has another number of columns than the first.
        """
        width: int | None = None
        for line, fields in lines(self.path, self.here, self.delimiter):
            first, width = width is None, width or len(fields)
            if len(fields) != width:
                raise DataError(f"{len(fields)} columns, the first row has {width}", where=f"{self.here}:{line}",
                                mend="mend that row: a text with the delimiter in it stands in double quotes")
            if not (first and self.headed):
                yield Line(self, line, fields)


@dataclass(frozen=True, slots=True)
class Line:
    """One row: its number in the file from 1, and its cells."""

    table: Table
    number: int
    fields: list[str]

    @property
    def here(self) -> str:
        return self.table.here

    @property
    def where(self) -> str:
        return f"{self.table.here}:{self.number}"

    @property
    def row(self) -> str:
        return f"{self.table.here}#{self.number}"

    def cell(self, name: str) -> str:
        """The text of a known column as it stands, empty where there is none."""
        place = self.table.columns.get(name)
        return "" if place is None else self.fields[place]

    def text(self, name: str) -> str:
        return self.cell(name).strip()

    def others(self) -> dict[str, str]:
        """The unknown columns that say something."""
        return {name: text for name, place in self.table.others.items() if (text := self.fields[place])}

    def flags(self) -> dict[str, str]:
        """The columns of classes, each 0 or 1.

        Raises:
            DataError: one is something else.
        """
        found = {name: self.fields[place].strip() for name, place in self.table.others.items()}
        if bad := next((name for name, text in found.items() if text not in FLAGS), None):
            raise DataError(f"column {bad!r} is {found[bad][:40]!r}, expected 0 or 1", where=self.where,
                            mend="mend that row")
        return found


def table_of(index: FolderIndex, here: str, strict: bool = False) -> Table | None:
    """The layout of a CSV file that labels pictures of the folder, else None.

    Args:
        strict: raise for what cannot be read instead.

    Raises:
        DataError: `strict`, and it is no CSV, or no such table.
    """
    path, reason = index.root / here, None
    for delimiter in ",;\t":
        try:
            head = [fields for _, fields in islice(lines(path, here, delimiter), LOOKED_AT + 1)]
        except DataError as error:
            reason = reason or error
            continue
        table = _layout(path, here, delimiter, head) if head and len(head[0]) > 1 else None
        if table and (strict or _names_a_picture(index, table, head)):
            return table
    if strict:
        raise reason or DataError("no columns that name a picture and its class", where=here,
                                  mend="name them in the first row: file,label or filename,class,xmin,ymin,xmax,ymax")
    return None


def lines(path: Path, here: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the number of its last line.

    Raises:
        DataError: not CSV, not UTF-8, NUL bytes, or a line of more than `MAX_LINE` bytes.
    """
    with path.open("rb") as file:
        reader = csv.reader(_decoded(file, here), delimiter=delimiter, strict=True)
        while True:
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise DataError(f"not CSV: {error}", where=f"{here}:{reader.line_num}", mend="mend that row") from None
            if any(field.strip() for field in fields):
                yield reader.line_num, fields


def _decoded(file: BinaryIO, here: str) -> Iterator[str]:
    number = 0
    while line := file.readline(MAX_LINE):
        number += 1
        where = f"{here}:{number}"
        if len(line) == MAX_LINE:
            raise DataError(f"a line of more than {MAX_LINE:,} bytes", where=where, mend="that is no table of labels")
        if b"\0" in line:
            raise DataError("not a text file: it has NUL bytes", where=where, mend="save it as UTF-8, or remove it")
        try:
            yield (line.removeprefix(codecs.BOM_UTF8) if number == 1 else line).decode()
        except UnicodeDecodeError:
            mend = f"iconv -f LATIN1 -t UTF-8 {here}"
            raise DataError("not UTF-8 text", where=where, mend=mend) from None


def _layout(path: Path, here: str, delimiter: str, head: list[list[str]]) -> Table | None:
    if _is_retinanet(head[0]):
        return Table(path, here, delimiter, BOXES, False, RETINANET, {})
    known, others = _columns(head[0])
    if "file" not in known:
        return None
    if "label" in known:
        kind = BOXES if all(name in known for name in CORNERS) else LABELS
    elif len(others) > 1 and len(head) > 1 and _are_flags(head[1:], others):
        kind = ONE_HOT
    else:
        return None
    if kind != BOXES:
        # of a table of labels these are columns like any other
        others |= {head[0][place].strip(): place for name, place in known.items() if name in OF_BOXES}
        known = {name: place for name, place in known.items() if name not in OF_BOXES}
    return Table(path, here, delimiter, kind, True, known, others)


def _columns(header: list[str]) -> tuple[dict[str, int], dict[str, int]]:
    names = [name.strip() for name in header]
    plain = [name.lower().replace(" ", "_") for name in names]
    known = {key: plain.index(next(name for name in called if name in plain)) for key, called in CALLED.items()
             if not set(called).isdisjoint(plain)}
    others = {name: place for place, name in enumerate(names) if name and place not in known.values()}
    return known, others


def _are_flags(rows: list[list[str]], columns: dict[str, int]) -> bool:
    return all(place < len(row) and row[place].strip() in FLAGS for row in rows for place in columns.values())


def _is_retinanet(row: list[str]) -> bool:
    if len(row) != 6 or not is_picture(row[0].strip()):
        return False
    cells = [cell.strip() for cell in row[1:]]
    values = [number(cell) for cell in cells[:4]]
    return not any(cells) or (all(value == value for value in values) and bool(cells[4]))


def _names_a_picture(index: FolderIndex, table: Table, head: list[list[str]]) -> bool:
    place, near = table.columns["file"], posixpath.dirname(table.here)
    for fields in head[1 if table.headed else 0:]:
        name = fields[place] if place < len(fields) else ""
        try:
            safe_name(PurePosixPath(name).name, table.here)
        except DataError:
            continue
        try:
            if lookup(index, name, near, None, table.here):
                return True
        except DataError:
            # of several pictures one is meant, or it lies outside: reading says so
            return PurePosixPath(name).name in {PurePosixPath(file).name for file in index.pictures()}
    return False
