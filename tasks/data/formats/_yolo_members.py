"""The pictures of a YOLO data set, each with its split and its label file."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from tasks.data.formats._layout import below, has_file, inside, is_picture, resolve, swap, with_stem
from tasks.data.formats._lines import FIELD, peek, read_text
from tasks.data.formats._yolo_layout import NAMES_FILES, Layout, looks_right
from tasks.data.formats.index import PICTURE_FOLDERS, FolderIndex
from tasks.data.formats.record import Note, split_in_name


class Member(NamedTuple):
    """A picture, its split, and its label file if there is one."""

    picture: str
    split: str | None
    label: str | None


def members(index: FolderIndex, layout: Layout, notes: list[Note]) -> Iterator[Member]:
    """Every picture once; `notes` takes pictures listed twice or missing, and folders that are not there.

    Raises:
        DataError: a list is not UTF-8 text, or a name is that of several pictures.
    """
    seen: dict[str, str | None] = {}
    found = _parts(index, layout, notes) if layout.parts else _beside_labels(index, layout, notes)
    for member, row in found:
        if member.picture not in seen:
            seen[member.picture] = member.split
            yield member
        elif (first := seen[member.picture]) is not None:
            kind = "leaked" if first != member.split else "duplicate_id"
            detail = f"{member.picture} is listed under {first} too, which counts"
            notes.append(Note(kind, layout.here, row, detail, member.picture))


def _parts(index: FolderIndex, layout: Layout, notes: list[Note]) -> Iterator[tuple[Member, str]]:
    for split, entry in layout.parts:
        target = resolve(index, layout.bases, entry)
        row = f"{split or 'unsplit'}: {entry[:200]}"
        if target is None:
            notes.append(Note("dangling", layout.here, row, f"{entry[:200]!r} is not there"))
        elif not has_file(index, target):
            for picture in filter(is_picture, below(index, target)):
                yield Member(picture, split, _label(index, picture)), row
            notes += _orphans(index, target)
        elif is_picture(target):
            yield Member(target, split, _label(index, target)), row
        else:
            yield from _listed(index, layout, target, split, notes)


def _listed(index: FolderIndex, layout: Layout, here: str, split: str | None,
            notes: list[Note]) -> Iterator[tuple[Member, str]]:
    """The pictures of a list file, a name a line; names are relative to it, or to the data set."""
    near = posixpath.dirname(here)
    for number, line in enumerate(read_text(index.root / here, here).split("\n"), 1):
        if not (name := line.strip()):
            continue
        found = resolve(index, [near, *layout.bases], name)
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        if (found is None or not has_file(index, found)) and parts:
            found = index.find("/".join(parts), PurePosixPath(near), split, f"{here}:{number}")
        if found is None or not is_picture(found):
            notes.append(Note("missing_picture", here, str(number), f"there is no picture {name[:200]!r}"))
        else:
            label = _label(index, found) or _label_of_listed(index, near, "/".join(parts))
            yield Member(found, split, label), f"{here}:{number}"


def _label(index: FolderIndex, picture: str) -> str | None:
    """The text file of a picture: in `labels` for `images`, else beside it."""
    text = f"{posixpath.splitext(picture)[0]}.txt"
    swapped = (swap(text, words, "labels") for words in (("images",), PICTURE_FOLDERS))
    return next((file for file in (*swapped, text) if file and has_file(index, file)), None)


def _label_of_listed(index: FolderIndex, near: str, name: str) -> str | None:
    # CVAT's lists name pictures beside the labels although they are elsewhere
    text = f"{posixpath.splitext(name)[0]}.txt"
    found = resolve(index, [near], swap(text, ("images",), "labels") or text) or resolve(index, [near], text)
    return found if found and has_file(index, found) else None


def _orphans(index: FolderIndex, folder: str) -> Iterator[Note]:
    """Label files without a picture, of the folder of labels beside a folder of pictures."""
    labels = swap(f"{folder}/_", PICTURE_FOLDERS, "labels")
    if labels is None:
        return
    start = posixpath.dirname(labels)
    for file in below(index, start):
        inner, name = posixpath.split(posixpath.relpath(file, start))
        stem, suffix = posixpath.splitext(name)
        if suffix.lower() == ".txt" and name.lower() not in NAMES_FILES and \
                not with_stem(index, posixpath.normpath(posixpath.join(folder, inner)), stem):
            yield Note("missing_picture", file, "", f"there is no picture for {file!r}")


def _beside_labels(index: FolderIndex, layout: Layout, notes: list[Note]) -> Iterator[tuple[Member, str]]:
    for folder in layout.labels:
        for file in _text_files(index, folder, layout.here):
            split = split_in_name(PurePosixPath(folder))
            picture = _picture(index, file, split)
            if picture is not None:
                yield Member(picture, split or split_in_name(PurePosixPath(picture).parent), file), file
            elif _is_label(index, file, len(layout.names)):
                notes.append(Note("missing_picture", file, "", f"there is no picture for {file!r}"))


def _text_files(index: FolderIndex, folder: str, names: str) -> Iterable[str]:
    return (file for file in inside(index, folder) if file.lower().endswith(".txt") and file != names)


def _is_label(index: FolderIndex, file: str, classes: int) -> bool:
    return any(looks_right(FIELD.findall(line), classes) for line in peek(index.root / file))


def _picture(index: FolderIndex, label: str, split: str | None) -> str | None:
    folder, name = posixpath.split(label)
    stem = posixpath.splitext(name)[0]
    swapped = swap(label, ("labels", "label"), "images")
    for there in (folder, posixpath.dirname(swapped) if swapped else None):
        if there is not None and (found := with_stem(index, there, stem)):
            return found[0]
    return index.find(f"{stem}.png", PurePosixPath(folder), split, label)
