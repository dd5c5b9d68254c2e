"""The folders of change detection: `A` as it was, `B` as it is, `label` with masks of what changed, names alike."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import PurePosixPath

from tasks.data.formats._layout import has_file, inside, is_picture, with_stem
from tasks.data.formats._lines import read_text
from tasks.data.formats._masks_classes import classes_of, flaw_of
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Note, Picture, Reading
from tasks.data.table import SPLITS

GOLDEN, TEST, MASKS = "A", "B", "label"


def bases(index: FolderIndex) -> list[str]:
    """Folders with `A`, `B` and `label` in which at least half of the pictures of `B` are in all three."""
    parents = sorted({posixpath.dirname(folder) for folder in map(posixpath.dirname, index.pictures())
                      if posixpath.basename(folder) == MASKS})
    return [parent or "." for parent in parents if _is_base(index, parent)]


def read_changes(index: FolderIndex, base: str, split: str | None, into: Reading) -> Iterator[Picture]:
    """The pictures of `B`; `list/train.txt` and the like give splits where they are."""
    files = [file for file in inside(index, posixpath.normpath(posixpath.join(base, TEST))) if is_picture(file)]
    masks = {file: _same(index, base, MASKS, file) for file in files}
    folder = posixpath.normpath(posixpath.join(base, MASKS))
    classes = classes_of(index, folder, [mask for mask in masks.values() if mask], into)
    given = _splits(index, base)
    for file in files:
        golden, mask = _same(index, base, GOLDEN, file), masks[file]
        if golden is None:
            into.notes.append(Note("missing_picture", file, "", f"there is no golden picture of it in {GOLDEN}", file))
        flaw = flaw_of(index.root / mask, index.root / file, classes) if mask else None
        if mask is None:
            into.notes.append(Note("unannotated", file, "", f"there is no mask of it in {MASKS}", file))
        elif flaw:
            into.notes.append(Note("bad_mask", mask, "", flaw, file))
        yield Picture(file, given.get(posixpath.basename(file), split), None, file, reference=golden,
                      mask=None if flaw else mask)


def _is_base(index: FolderIndex, parent: str) -> bool:
    files = [file for file in inside(index, posixpath.join(parent, TEST)) if is_picture(file)]
    whole = sum(all(_same(index, parent, name, file) for name in (GOLDEN, MASKS)) for file in files)
    return 0 < len(files) <= 2 * whole


def _same(index: FolderIndex, base: str, folder: str, file: str) -> str | None:
    """The picture of the same name in another of the folders; its suffix may differ."""
    there = posixpath.normpath(posixpath.join(base, folder))
    exact = posixpath.join(there, posixpath.basename(file))
    if has_file(index, exact):
        return exact
    return next(iter(with_stem(index, there, PurePosixPath(file).stem)), None)


def _splits(index: FolderIndex, base: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for split in SPLITS:
        here = posixpath.normpath(posixpath.join(base, "list", f"{split}.txt"))
        if has_file(index, here):
            lines = read_text(index.root / here, here).split("\n")
            given.update({posixpath.basename(line.strip()): split for line in lines if line.strip()})
    return given
