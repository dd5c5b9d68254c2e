"""YMIR's `index.tsv`: a picture, a tab, its annotation; one table a split, e.g. `train-index.tsv`."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from tasks.data.formats._layout import has_file, inside, is_picture, resolve
from tasks.data.formats._lines import peek, read_text
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Note, split_in_name
from tasks.data.table import SPLIT_ORDER

NAME = re.compile(r"([a-z]+[-_.])?index\.tsv")
ANNOTATIONS = (".xml", ".txt", ".json")
MAX_BYTES = 1 << 30


@dataclass
class Tables:
    """What the tables of a data set say: the split of each picture, and the picture of each annotation.

    A folder of XML files stands for these. A COCO file, which is of many pictures, has the last.
    """

    splits: dict[str, str | None]
    annotations: dict[str, str]


def tables(index: FolderIndex) -> list[str]:
    """Tables whose first rows name pictures and annotations that are there."""
    return [file for file in index.with_suffix("index.tsv") if _is_name(file) and _names_both(index, file)]


def read_tables(index: FolderIndex, home: str, notes: list[Note]) -> Tables:
    """The tables of the folder `home`, that of test first.

    Raises:
        DataError: one is not UTF-8 text, or has more than `MAX_BYTES`.
    """
    found = Tables({}, {})
    files = [file for file in inside(index, home) if _is_name(file)]
    for file in sorted(files, key=lambda file: SPLIT_ORDER[split_in_name(PurePosixPath(file))]):
        for line, cells in _rows(read_text(index.root / file, file, MAX_BYTES)):
            _add_row(index, file, line, cells, found, notes)
    return found


def _add_row(index: FolderIndex, file: str, line: int, cells: list[str], found: Tables, notes: list[Note]) -> None:
    home, split = posixpath.dirname(file), split_in_name(PurePosixPath(file))
    picture = resolve(index, [home], cells[0])
    if picture is None or not is_picture(picture):
        notes.append(Note("missing_picture", file, str(line), f"there is no picture {cells[0][:200]!r}"))
        return
    if (first := found.splits.setdefault(picture, split)) != split:
        detail = f"{picture} is listed under {first} too, which counts"
        notes.append(Note("leaked", file, str(line), detail, picture))
    annotation = resolve(index, [home], cells[1]) if len(cells) > 1 else None
    if annotation is not None and has_file(index, annotation):
        found.annotations[annotation] = picture
        if annotation.lower().endswith(".xml"):
            found.annotations[posixpath.dirname(annotation) or "."] = picture
    elif len(cells) > 1:
        notes.append(Note("dangling", file, str(line), f"there is no annotation {cells[1][:200]!r}", picture))


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, [cell.strip() for cell in line.split("\t")]


def _is_name(file: str) -> bool:
    return NAME.fullmatch(posixpath.basename(file).lower()) is not None


def _names_both(index: FolderIndex, file: str) -> bool:
    home = posixpath.dirname(file)
    for _, cells in _rows("\n".join(peek(index.root / file)[:20])):
        if len(cells) == 2 and is_picture(cells[0]) and cells[1].lower().endswith(ANNOTATIONS):
            return all((found := resolve(index, [home], cell)) and has_file(index, found) for cell in cells)
    return False
