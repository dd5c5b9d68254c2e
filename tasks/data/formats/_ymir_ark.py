"""YMIR's `ark` files: a text file a picture, a row an object, the class by its number."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from tasks.base.errors import DataError
from tasks.data.formats._layout import below, swap, with_stem
from tasks.data.formats._lines import peek, read_text
from tasks.data.formats._ymir_labels import Aliases
from tasks.data.formats._ymir_tables import Tables
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, Note, Picture, Reading, number

EXPECTED = "class, xmin, ymin, xmax, ymax, quality, angle"
# what stands where nobody has said
UNSAID = {"box_quality": -1.0, "rotate_angle": 0.0}
LOOKED_AT = 20


def ark_files(index: FolderIndex, folders: Iterable[str], listed: Tables) -> list[str]:
    """Text files that tables list, and those in `folders` if the first of them hold ark rows."""
    found = {file for file in listed.annotations if file.lower().endswith(".txt")}
    for folder in folders:
        files = [file for file in below(index, folder) if file.lower().endswith(".txt")]
        rows = [_fields(line) for file in files[:LOOKED_AT] for line in peek(index.root / file)[:1] if line.strip()]
        if rows and all(map(_looks_right, rows)):
            found.update(files)
    return sorted(found)


def read_ark(index: FolderIndex, here: str, picture: str | None, aliases: Aliases, into: Reading) -> Picture | None:
    """The boxes of one file; None, and a note, where there is no picture for it.

    Args:
        picture: what a table says; else it is found by name.

    Raises:
        DataError: a row has another number of columns.
    """
    file = picture or _picture(index, here)
    if file is None:
        into.notes.append(Note("missing_picture", here, "", f"there is no picture for {here!r}"))
        return None
    found = Picture(file, None, None, here)
    for line, text in enumerate(read_text(index.root / here, here).split("\n"), 1):
        if not text.strip():
            continue
        fields = _fields(text)
        if not 5 <= len(fields) <= 7:
            raise DataError(f"{len(fields)} columns, expected {EXPECTED}", where=f"{here}:{line}", mend="mend that row")
        label = _label(fields[0], aliases)
        if label is None:
            detail = f"labels.yaml has no class {fields[0][:40]!r}"
            into.notes.append(Note("unknown_class", here, str(line), detail, file))
        else:
            into.labels.add(label)
            found.boxes.append(_box(label, fields, 1 if into.voc_pixels == "inclusive" else 0, f"{here}#{line}"))
    return found


def _picture(index: FolderIndex, here: str) -> str | None:
    folder, name = posixpath.split(here)
    stem = posixpath.splitext(name)[0]
    for by in ("images", "JPEGImages", "jpegimages", "Images"):
        swapped = swap(here, ("gt", "annotations"), by)
        if swapped and (found := with_stem(index, posixpath.dirname(swapped), stem)):
            return found[0]
    return index.find(f"{stem}.png", PurePosixPath(folder), None, here)


def _fields(line: str) -> list[str]:
    return [field.strip() for field in line.strip().rstrip(",").split(",")]


def _looks_right(fields: list[str]) -> bool:
    return 5 <= len(fields) <= 7 and fields[0].isdecimal() and all(number(text) == number(text) for text in fields[1:])


def _label(text: str, aliases: Aliases) -> str | None:
    """The class of a number; the number itself where no classes are declared."""
    if not re.fullmatch(r"[0-9]{1,9}", text):
        return None
    return aliases.by_id.get(int(text)) if aliases.by_id else str(int(text))


def _box(label: str, fields: list[str], shift: int, row: str) -> Box:
    left, top, right, bottom = (number(text) for text in fields[1:5])
    left, top = left - shift, top - shift
    said = {name: text for (name, unsaid), text in zip(UNSAID.items(), fields[5:], strict=False)
            if number(text) != unsaid}
    return Box(label, left, top, right - left, bottom - top, row, attributes=said or None)
