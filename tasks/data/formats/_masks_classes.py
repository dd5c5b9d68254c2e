"""Which class a value or a colour of a mask stands for: from a list beside the masks, else from a look at them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from tasks.base.errors import DataError
from tasks.data.formats._layout import has_file
from tasks.data.formats._masks_pixels import COLOURED, IGNORED, INDEXED, Colour, grey, header, palette, values_of
from tasks.data.formats._size import header_size
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Note, Reading
from tasks.data.pictures import over_pictures, read_picture

LISTS = ("labelmap.txt", "label_map.txt", "classes.csv", "class_dict.csv", "_classes.csv", "classes.txt")
MAX_BYTES = 1 << 20
SAMPLED = 200
NUMBERED = re.compile(r"(\d+)\s*[:,\t]\s*(\S.*)")
LABEL = re.compile(r"(.*?):(\d+),(\d+),(\d+)(:.*)?")
NAMES = {"name": "name", "class": "name", "label": "name", "value": "value", "id": "value", "index": "value",
         "pixelvalue": "value", "classid": "value", "r": "r", "red": "r", "g": "g", "green": "g", "b": "b", "blue": "b"}
BINARY = frozenset({0, IGNORED})


@dataclass
class Classes:
    """The classes of masks: name → value of a pixel, and value → colour where masks are coloured."""

    ids: dict[str, int] = field(default_factory=dict)
    colours: dict[int, Colour] = field(default_factory=dict)

    def add(self, name: str, value: int, colour: Colour | None, here: str) -> None:
        """Raises DataError for a name or a value that is there already, or that no mask can have."""
        known = name in self.ids or value in self.ids.values()
        if not name.strip() or known or not 0 <= value < 256 or (colour and max(colour) > 255):
            what = "twice" if known else "and that cannot be"
            raise DataError(f"class {name!r} with value {value} is listed {what}", where=here,
                            mend="give each class a name and a value from 0 to 255 of its own")
        self.ids[name.strip()] = value
        if colour:
            self.colours[value] = colour


def list_beside(index: FolderIndex, folder: str) -> str | None:
    """The nearest list of classes: in the folder, or in one above it."""
    for parent in (PurePosixPath(folder), *PurePosixPath(folder).parents):
        for name in LISTS:
            if has_file(index, file := (parent / name).as_posix()):
                return file
    return None


def classes_of(index: FolderIndex, folder: str, masks: list[str], into: Reading) -> Classes:
    """The classes of the masks of a folder, told to `into`.

    Raises:
        DataError: the list of classes is damaged.
    """
    here = list_beside(index, folder)
    try:
        given = listed(index.root / here, here) if here else Classes()
    except csv.Error as error:
        raise DataError(f"not CSV: {error}", where=here, mend="mend or remove that file") from None
    sample = [index.root / masks[place * len(masks) // SAMPLED] for place in range(SAMPLED)]  \
        if len(masks) > SAMPLED else [index.root / mask for mask in masks]
    classes, unknown = seen(sample, given, here is not None)
    for value, path in unknown.items():
        file = path.relative_to(index.root).as_posix()
        into.notes.append(Note("unknown_class", file, "", f"value {value} is not in {here}"))
    into.labels.update(classes.ids)
    into.ids.update(classes.ids)
    if classes.colours:
        into.attributes["masks"] = {"colors": {str(value): list(rgb) for value, rgb in classes.colours.items()}}
    return classes


def flaw_of(mask: Path, picture: Path, classes: Classes) -> str | None:
    """Why a picture's mask cannot be used; None where it can."""
    try:
        mode, width, height = header(mask)
    except DataError as error:
        return error.what
    if mode not in INDEXED + COLOURED:
        return f"a mask of mode {mode}: the numbers of classes have 8 bits"
    if mode in COLOURED and not classes.colours and not grey(read_picture(mask)):
        return "a coloured mask, and no list says what its colours mean"
    size = header_size(picture)
    if size and (width, height) != size:
        return f"the mask is {width} x {height} pixels, its picture {size[0]} x {size[1]}"
    return None


def listed(path: Path, here: str) -> Classes:
    """The classes of a list: CVAT's label map, a CSV with a head, or a name a line.

    Raises:
        DataError: the list is no text, too long, or says something twice.
    """
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"a list of classes has more than {MAX_BYTES >> 20} MiB", where=here, mend="one line a class")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8: {error.reason}", where=here, mend="save it as UTF-8") from None
    classes = Classes()
    rows = _csv(text, here) if path.suffix == ".csv" else _lines(text.rstrip().splitlines())
    for name, value, colour in rows:
        classes.add(name, value, colour, here)
    return classes


def seen(masks: Sequence[Path], classes: Classes, from_list: bool) -> tuple[Classes, dict[int, Path]]:
    """The classes with what some of the masks show, and values without a class, each with a mask that has it.

    Without a list a class is called `class_<value>`. 255 counts for nothing, unless it is the only value beside 0.
    """
    colours = {colour: value for value, colour in classes.colours.items()}
    if from_list and colours:
        classes = _by_palette(masks, classes)
    first: dict[int, Path] = {}
    for path, values in zip(masks, over_pictures(lambda path: _values(path, colours), masks), strict=True):
        for value in values:
            first.setdefault(value, path)
    if not from_list:
        named = sorted(first) if set(first) <= BINARY else sorted(set(first) - {IGNORED})
        return Classes({f"class_{value}": value for value in named}), {}
    if set(first) == BINARY and list(classes.ids.values()) == [0, 1]:
        classes = Classes(dict(zip(classes.ids, (0, IGNORED), strict=True)))
    known = set(classes.ids.values()) | {IGNORED}
    return classes, {value: path for value, path in sorted(first.items()) if value not in known}


def _values(path: Path, colours: dict[Colour, int]) -> list[int]:
    try:
        return np.flatnonzero(np.bincount(values_of(path, colours).ravel(), minlength=256)).tolist()
    except DataError:  # each mask is judged where its picture is read
        return []


def _by_palette(masks: Iterable[Path], classes: Classes) -> Classes:
    """The values of listed colours where masks are indexed: the places of these colours in the first palette."""
    for path in masks:
        try:
            mode, colours = header(path)[0], palette(path)
        except DataError:
            continue
        places = {colour: place for place, colour in reversed(list(enumerate(colours)))}
        if mode in COLOURED or not places or not set(classes.colours.values()) <= places.keys():
            return classes
        return Classes({name: places[classes.colours[value]] for name, value in classes.ids.items()})
    return classes


def _lines(lines: list[str]) -> Iterable[tuple[str, int, Colour | None]]:
    rows = [line.strip() for line in lines if not line.startswith("#")]
    coloured = [LABEL.fullmatch(row) for row in rows]
    numbered = [NUMBERED.fullmatch(row) for row in rows]
    if rows and all(coloured):
        return [(found[1], place, (int(found[2]), int(found[3]), int(found[4])))
                for place, found in enumerate(coloured) if found]
    if rows and all(numbered):
        return [(found[2], int(found[1]), None) for found in numbered if found]
    return [(row, place, None) for place, row in enumerate(rows)]


def _csv(text: str, here: str) -> Iterable[tuple[str, int, Colour | None]]:
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    head = [NAMES.get(re.sub(r"[^a-z]", "", cell.lower())) for cell in rows[0]] if rows else []
    if "name" not in head:
        raise DataError(f"the head of a list of classes lacks a name: {rows[:1]}", where=here,
                        mend="begin it with  value,name  or  name,r,g,b")
    for place, row in enumerate(rows[1:]):
        told = {key: cell.strip() for key, cell in zip(head, row, strict=False) if key}
        try:
            colour = (int(told["r"]), int(told["g"]), int(told["b"])) if {"r", "g", "b"} <= told.keys() else None
            yield told.get("name", ""), int(told.get("value", place)), colour
        except ValueError:
            raise DataError(f"not a whole number: {row}", where=f"{here}#{place + 2}",
                            mend="a class has a value, or red, green and blue") from None
