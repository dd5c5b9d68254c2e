"""CSV: a row a box (file, class and corners, as TensorFlow's and RetinaNet's tools write it), or a row a picture.

A row a picture is for classification: `file,label` with several labels apart by `|` or `;`, or a column of 0 and 1 for
each class, as Roboflow's `_classes.csv` has them. Columns are known by their names; those that are not become
attributes. A `classes.csv` beside it (class, number) declares classes.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from tasks.data.formats._csv_table import BOXES, ONE_HOT, Line, Table, lines, table_of
from tasks.data.formats._csv_write import CARRIES, write
from tasks.data.formats._layout import has_file, lookup
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import (
    SPLIT_WORDS,
    Box,
    More,
    Note,
    Picture,
    Reading,
    Source,
    number,
    split_in_name,
)

__all__ = ["CARRIES", "EXPECTED", "TITLE", "find", "read", "write"]

TITLE = "CSV"
EXPECTED = "labels.csv with columns file and label, or boxes.csv with filename, class, xmin, ymin, xmax, ymax"
SEPARATORS = re.compile(r"[|;]")
TRUE = frozenset({"1", "1.0", "true", "yes"})


def find(index: FolderIndex) -> list[Source]:
    """CSV and TSV files with columns that name pictures of the folder and their classes."""
    return [Source("csv", index.root / file, split_in_name(PurePosixPath(file)))
            for file in index.files if file.lower().endswith((".csv", ".tsv")) and table_of(index, file)]


def read(index: FolderIndex, source: Source, into: Reading) -> Iterator[Picture | More]:
    """The pictures of one file.

    Raises:
        DataError: it is not CSV, not UTF-8, a row has another number of columns than the first, or a name leaves the
            folder or is that of several pictures.
    """
    here = source.path.relative_to(index.root).as_posix()
    table = table_of(index, here, strict=True)
    if table is None:
        return
    _declare(index, here, into)
    if table.kind == BOXES:
        yield from _boxes(index, table, source.split, into)
    else:
        into.problem = "classify"
        into.labels.update(table.others if table.kind == ONE_HOT else ())
        yield from _labelled(index, table, source.split, into).values()


def _declare(index: FolderIndex, here: str, into: Reading) -> None:
    file = posixpath.join(posixpath.dirname(here), "classes.csv")
    for _, fields in lines(index.root / file, file, ",") if has_file(index, file) and file != here else ():
        if len(fields) == 2 and fields[0].strip() and re.fullmatch(r"\s*\d{1,6}\s*", fields[1]):
            into.labels.add(fields[0].strip())
            into.ids.setdefault(fields[0].strip(), int(fields[1]))


def _boxes(index: FolderIndex, table: Table, split: str | None, into: Reading) -> Iterator[Picture | More]:
    """Rows of one picture that follow each other come together; those that come later are more of it."""
    seen: dict[str, str | None] = {}
    waiting: Picture | More | None = None
    for line in table.rows():
        file = _picture(index, line, split, into)
        if file is None:
            continue
        if waiting is None or waiting.file != file:
            if waiting is not None:
                yield waiting
            waiting = More(file, []) if file in seen else _new(line, file, split)
            seen.setdefault(file, waiting.split if isinstance(waiting, Picture) else None)
        _note_other_split(line, file, split, seen[file], into)
        box = _box(line)
        if box.label or any(line.text(name) for name in ("xmin", "ymin", "xmax", "ymax")):
            waiting.boxes.append(box)
            into.labels.update([box.label] if box.label else [])
    if waiting is not None:
        yield waiting


def _labelled(index: FolderIndex, table: Table, split: str | None, into: Reading) -> dict[str, Picture]:
    """Pictures with their labels, from one row or several."""
    found: dict[str, Picture] = {}
    for line in table.rows():
        file = _picture(index, line, split, into)
        if file is None:
            continue
        picture = found.get(file) or _new(line, file, split)
        _note_other_split(line, file, split, picture.split, into)
        labels = _labels(line)
        into.labels.update(labels or ())
        again = file in found and (not labels or not set(labels).isdisjoint(picture.labels or ()))
        if labels is None or again:
            kind = "duplicate_id" if again else "unannotated"
            detail = "the same label is there twice" if again else "the row has no label"
            into.notes.append(Note(kind, line.here, str(line.number), f"{detail}: {file}", file))
        if labels is not None:
            picture.labels = list(dict.fromkeys([*(picture.labels or ()), *labels]))
        if table.kind != ONE_HOT:
            picture.attributes = (picture.attributes or {}) | line.others() or None
        found[file] = picture
    return found


def _picture(index: FolderIndex, line: Line, split: str | None, into: Reading) -> str | None:
    name = line.cell("file")
    near = posixpath.dirname(line.here)
    file = lookup(index, name, near, _split(line) or split, line.where) if name.strip() else None
    if file is None:
        into.notes.append(Note("missing_picture", line.here, str(line.number), f"there is no picture {name[:200]!r}"))
    return file


def _new(line: Line, file: str, split: str | None) -> Picture:
    declared = (number(line.text("width")), number(line.text("height"))) if line.text("width") else None
    split = _split(line) or split or split_in_name(PurePosixPath(file).parent)
    return Picture(file, split, declared, line.row)


def _split(line: Line) -> str | None:
    return SPLIT_WORDS.get(line.text("split").lower())


def _note_other_split(line: Line, file: str, given: str | None, first: str | None, into: Reading) -> None:
    split = _split(line) or given
    if split is not None and split != first:
        detail = f"{file} is in {first or 'no split'} too, which counts"
        into.notes.append(Note("leaked", line.here, str(line.number), detail, file))


def _labels(line: Line) -> list[str] | None:
    """Classes of a row; None where its label is empty."""
    if line.table.kind == ONE_HOT:
        return [name for name, text in line.flags().items() if text in TRUE]
    return [name for part in SEPARATORS.split(line.text("label")) if (name := part.strip())] or None


def _box(line: Line) -> Box:
    left, top, right, bottom = (number(line.text(name)) for name in ("xmin", "ymin", "xmax", "ymax"))
    box = Box(line.text("label"), left, top, right - left, bottom - top, line.row)
    box.iscrowd, box.difficult = (line.text(name).lower() in TRUE for name in ("iscrowd", "difficult"))
    said: dict[str, Any] = line.others()
    box.truncation, box.score = (number(line.text(name)) if line.text(name) else None
                                 for name in ("truncation", "score"))
    if (hidden := line.text("occlusion")) in ("0", "1", "2", "3"):
        box.occlusion = int(hidden)
    elif hidden:
        said["occlusion"] = hidden
    box.attributes = said or None
    return box
