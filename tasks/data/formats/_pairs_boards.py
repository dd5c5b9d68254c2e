"""DeepPCB's folders: boards as they should be and as they are, with boxes around what differs."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from tasks.base.errors import DataError
from tasks.data.formats._layout import below, has_file, is_picture
from tasks.data.formats._lines import read_text
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, Note, Picture, Reading, number, safe_name

TEST, TEMP = "_test", "_temp"
# as the publisher numbers them; 0 is the background, which no box has
TYPES = {1: "open", 2: "short", 3: "mousebite", 4: "spur", 5: "copper", 6: "pin-hole"}
# test goes before val, val before train
LISTS = {"test.txt": "test", "val.txt": "val", "train.txt": "train", "trainval.txt": "train"}
GAP = re.compile(r"(?<=\S)[ \t]+(?=\S)")
FIELDS = re.compile(r"[^\s,]+")


class Board(NamedTuple):
    """A pair without the ends of its names, its file of boxes, and the list that names it."""

    stem: str
    suffix: str
    label: str
    split: str | None
    here: str
    place: str

    def name(self, end: str) -> str:
        """The file of one of the two pictures."""
        return f"{self.stem}{end}{self.suffix}"


def read_boards(index: FolderIndex, base: str, into: Reading) -> Iterator[Picture]:
    """The boards of the lists of a folder, then those that no list names.

    A board in two lists has the split of the first of test, val and train; the other is noted as `leaked`.
    """
    into.labels.update(TYPES.values())
    into.ids.update({name: number for number, name in TYPES.items()})
    seen: dict[str, str | None] = {}
    for board in (*_listed(index, base), *_unlisted(index, base)):
        name = board.name("")
        if name not in seen:
            yield from _picture(index, base, board, into)
            seen[name] = board.split
        elif board.split and seen[name] != board.split:
            detail = f"it is listed under {seen[name]} too, which counts"
            into.notes.append(Note("leaked", board.here, board.place, detail, _find(index, board, TEST)))


def listed(line: str) -> tuple[str, str] | None:
    """A picture and its file of boxes as a list names them. Where blanks leave a choice their stems are alike."""
    cuts = [(line[:gap.start()].strip(), line[gap.end():].strip()) for gap in GAP.finditer(line)]
    fit = [cut for cut in cuts if is_picture(cut[0]) and cut[1].lower().endswith(".txt")]
    alike = [cut for cut in fit if PurePosixPath(cut[0]).stem == PurePosixPath(cut[1]).stem]
    return next(iter(alike or fit), None)


def boxes_of(index: FolderIndex, here: str, types: Mapping[int, str], into: Reading) -> list[Box]:
    """The rows `x1 y1 x2 y2 type` of a file, apart by blanks or commas; a type without a name is noted.

    Raises:
        DataError: a row has another number of columns.
    """
    boxes = []
    for place, line in enumerate(read_text(index.root / here, here).split("\n"), 1):
        fields = FIELDS.findall(line)
        if not fields:
            continue
        if len(fields) != 5:
            raise DataError(f"expected x1 y1 x2 y2 type, found {len(fields)} columns: {line.strip()[:60]!r}",
                            where=f"{here}:{place}", mend="mend or remove that row")
        left, top, right, bottom = map(number, fields[:4])
        kind = int(fields[4]) if fields[4].isascii() and fields[4].isdigit() and len(fields[4]) < 10 else None
        if kind is None or kind not in types:
            known = f"{min(types, default=0)} to {max(types, default=0)}"
            into.notes.append(Note("unknown_class", here, str(place), f"type {fields[4]!r} is none of {known}"))
        else:
            boxes.append(Box(types[kind], left, top, right - left, bottom - top, f"{here}#{place}"))
    return boxes


def _listed(index: FolderIndex, base: str) -> Iterator[Board]:
    for name, split in LISTS.items():
        here = posixpath.normpath(posixpath.join(base, name))
        if not has_file(index, here):
            continue
        for place, line in enumerate(read_text(index.root / here, here).split("\n"), 1):
            if not line.strip():
                continue
            found = listed(line)
            if found is None:
                raise DataError(f"expected a picture and its .txt, found {line.strip()[:80]!r}",
                                where=f"{here}:{place}", mend="mend or remove that line")
            picture, label = (posixpath.normpath(posixpath.join(base, safe_name(part, f"{here}:{place}")))
                              for part in found)
            stem, suffix = posixpath.splitext(picture)
            yield Board(stem, suffix, label, split, here, str(place))


def _unlisted(index: FolderIndex, base: str) -> Iterator[Board]:
    for file in below(index, base):
        stem, suffix = posixpath.splitext(file)
        if stem.endswith(TEST) and has_file(index, f"{stem.removesuffix(TEST)}{TEMP}{suffix}"):
            stem = stem.removesuffix(TEST)
            folder, name = posixpath.split(stem)
            yield Board(stem, suffix, f"{folder}_not/{name}.txt", None, file, "")


def _picture(index: FolderIndex, base: str, board: Board, into: Reading) -> Iterator[Picture]:
    test, temp = (_find(index, board, end) for end in (TEST, TEMP))
    for found, what, end in ((test, "picture", TEST), (temp, "golden picture", TEMP)):
        if found is None:
            detail = f"there is no {what} {board.name(end)}"
            into.notes.append(Note("missing_picture", board.here, board.place, detail, test))
    if test is None:
        return
    start = PurePosixPath(board.stem).relative_to(base) if base != "." else PurePosixPath(board.stem)
    row = f"{board.here}#{board.place}" if board.place else board.here
    picture = Picture(test, board.split, None, row, reference=temp,
                      group=start.parts[0] if len(start.parts) > 1 else None)
    if has_file(index, board.label):
        picture.boxes = boxes_of(index, board.label, TYPES, into)
    else:
        detail = f"there is no file {board.label}"
        into.notes.append(Note("unannotated", board.here, board.place, detail, test))
    yield picture


def _find(index: FolderIndex, board: Board, end: str) -> str | None:
    name = board.name(end)
    near = PurePosixPath(posixpath.dirname(name))
    return name if has_file(index, name) else index.find(name, near, board.split, f"{board.here}:{board.place}")
