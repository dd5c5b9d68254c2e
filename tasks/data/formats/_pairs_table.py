"""`pairs.csv`: a row a pair."""

from __future__ import annotations

import csv
import json
import posixpath
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tasks.base.errors import DataError
from tasks.data.formats._layout import has_file, is_picture
from tasks.data.formats._lines import peek, read_text
from tasks.data.formats._masks_classes import Classes, classes_of, flaw_of
from tasks.data.formats._pairs_boards import TYPES, boxes_of
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Note, Picture, Reading, safe_name, split_in_name

NAME, TYPE_NAMES = "pairs.csv", "classes.txt"
COLUMNS = ("test", "reference", "label", "mask", "class", "split", "group")
Cells = dict[str, str]


def is_table(path: Path) -> bool:
    """Whether the head names test pictures and references."""
    head = next(iter(peek(path)), "")
    return {"test", "reference"} <= {cell.strip().strip('"').lower() for cell in head.split(",")}


def read_table(index: FolderIndex, here: str, into: Reading) -> Iterator[Picture]:
    """The pairs of a table, names relative to its folder.

    `label` is a file of boxes, a mask, or a class of the whole picture; `class` may be a JSON list of classes.
    """
    base = posixpath.dirname(here)
    types = _types(index, base, into)
    named = {cells["mask"] for _, cells in rows(index.root / here, here) if cells["mask"]}
    masks = [found for name in sorted(named) if (found := _find(index, base, name, None, here))]
    classes = classes_of(index, posixpath.dirname(masks[0]) or ".", masks, into) if masks else None
    for place, cells in rows(index.root / here, here):
        row = f"{here}#{place}"
        split = split_in_name(PurePosixPath(cells["split"])) if cells["split"] else None
        test = _find(index, base, cells["test"], split, row)
        if test is None:
            into.notes.append(Note("missing_picture", here, str(place), f"there is no picture {cells['test']!r}"))
            continue
        golden = _find(index, base, cells["reference"], split, row) if cells["reference"] else None
        if golden is None:
            what = f"there is no golden picture {cells['reference']!r}"
            into.notes.append(Note("missing_picture", here, str(place), what, test))
        picture = Picture(test, split, None, row, reference=golden, group=cells["group"] or None)
        _label(index, base, picture, cells, types, into)
        picture.mask = _find(index, base, cells["mask"], split, row) if cells["mask"] else None
        flaw = _flaw_of_mask(index, picture, cells, classes)
        if flaw:
            picture.mask = None
            into.notes.append(Note("bad_mask", here, str(place), flaw, test))
        yield picture


def rows(path: Path, here: str) -> Iterator[tuple[int, Cells]]:
    """Number of its line and cells of each row; columns that are missing are empty.

    Raises:
        DataError: it is no CSV, or a row has more cells than the head.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            head = [cell.strip().lower() for cell in next(reader, [])]
            for cells in reader:
                if not any(cells):
                    continue
                if len(cells) > len(head):
                    raise DataError(f"{len(cells)} cells under {len(head)} columns", where=f"{here}:{reader.line_num}",
                                    mend="put names with commas into quotes")
                found = {name: cell.strip() for name, cell in zip(head, cells, strict=False)}
                found = {name: found.get(name, "") for name in COLUMNS}
                if is_picture(found["label"]) and not found["mask"]:
                    found |= {"mask": found["label"], "label": ""}
                yield reader.line_num, found
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"not CSV: {error}", where=here, mend="save it as CSV, UTF-8") from None


def _types(index: FolderIndex, base: str, into: Reading) -> dict[int, str]:
    """Types of boxes: the lines of `classes.txt`, counted from 1; without it DeepPCB's."""
    here = posixpath.join(base, TYPE_NAMES)
    if not has_file(index, here):
        return TYPES
    names = [line.strip() for line in read_text(index.root / here, here).rstrip().split("\n")]
    types = {place: name for place, name in enumerate(names, 1) if name}
    into.labels.update(types.values())
    into.ids.update({name: place for place, name in types.items()})
    return types


def _label(index: FolderIndex, base: str, picture: Picture, cells: Cells, types: dict[int, str],
           into: Reading) -> None:
    label = cells["label"]
    if label.lower().endswith(".txt"):
        file = posixpath.normpath(posixpath.join(base, safe_name(label, picture.row)))
        if has_file(index, file):
            picture.boxes = boxes_of(index, file, types, into)
            if types is TYPES and picture.boxes:
                into.labels.update(TYPES.values())
                into.ids.update({name: number for number, name in TYPES.items()})
        else:
            here, _, place = picture.row.rpartition("#")
            into.notes.append(Note("unannotated", here, place, f"there is no file {label!r}", picture.file))
    told = cells["class"] or ("" if label.lower().endswith(".txt") else label)
    if told:
        picture.labels = _names(told)


def _names(cell: str) -> list[str]:
    if cell.startswith("["):
        try:
            names = json.loads(cell)
        except (ValueError, RecursionError):
            return [cell]
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return names
    return [cell]


def _flaw_of_mask(index: FolderIndex, picture: Picture, cells: Cells, classes: Classes | None) -> str | None:
    if not cells["mask"]:
        return None
    if picture.mask is None or classes is None:
        return f"there is no mask {cells['mask']!r}"
    return flaw_of(index.root / picture.mask, index.root / picture.file, classes)


def _find(index: FolderIndex, base: str, name: str, split: str | None, where: str) -> str | None:
    safe = safe_name(name, where)
    exact = posixpath.normpath(posixpath.join(base, safe))
    if is_picture(exact) and has_file(index, exact):
        return exact
    return index.find(safe, PurePosixPath(base), split, where)
