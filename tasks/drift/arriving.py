"""The pictures that arrived: any folder tree, nothing assumed. What cannot be read is listed, and stops nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.base.errors import UserError
from tasks.base.files import digest_value
from tasks.data.pictures import SUFFIXES, measure
from tasks.drift.measures import Entry


@dataclass(frozen=True)
class Arrived:
    """Pictures of a folder tree.

    Attributes:
        found: how many picture files there are; `entries` are at most `most` of them, drawn by the seed.
        unreadable: (file, reason).
        others: files that are no pictures by their name.
    """

    folder: Path
    found: int
    entries: list[Entry]
    unreadable: list[tuple[str, str]]
    others: int


def arrived(folder: Path, most: int, seed: int) -> Arrived:
    """Look into a folder tree; links to folders are not followed.

    Args:
        most: pictures that are opened at most.

    Raises:
        UserError: it is no folder.
    """
    names, others = _names(folder)
    chosen = names
    if len(names) > most:
        places = np.random.default_rng(seed).permutation(len(names))[:most]
        chosen = [names[i] for i in np.sort(places)]
    entries, unreadable = [], []
    for name in chosen:
        entry = _entry(folder, name)
        if isinstance(entry, Entry):
            entries.append(entry)
        else:
            unreadable.append((plain(name), entry))
    return Arrived(folder, len(names), entries, unreadable, others)


def state_of(folder: Path) -> str:
    """A digest of the names, sizes and times of all pictures: whether anything arrived since, without reading any.

    Raises:
        UserError: it is no folder.
    """
    facts = []
    for name in _names(folder)[0]:
        try:
            told = (folder / name).stat()
            facts.append([plain(name), told.st_size, told.st_mtime_ns])
        except OSError:
            facts.append([plain(name), None, None])
    return digest_value(facts)


def plain(name: str) -> str:
    """A file's name as text that can be written: names are bytes, and not all of them are UTF-8."""
    return name.encode("utf-8", "replace").decode("utf-8")


def _names(folder: Path) -> tuple[list[str], int]:
    if not folder.is_dir():
        raise UserError("this is no folder of pictures", where=folder,
                        mend="visionmill drift FOLDER; site.retrain.incoming in conf/site/")
    files = list(_walk(folder))
    names = sorted(name for name in files if Path(name).suffix.lower() in SUFFIXES)
    return names, len(files) - len(names)


def _walk(folder: Path) -> Iterator[str]:
    """All files below; hidden ones are half-copied files and notes of programs."""
    for base, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith("."):
                yield (Path(base) / name).relative_to(folder).as_posix()


def _entry(folder: Path, name: str) -> Entry | str:
    try:
        told = measure(folder / name)
    except OSError as error:
        return error.strerror or str(error)
    if not told.width or not told.height:
        return "the file has 0 bytes" if not told.bytes else "it is no picture that can be read"
    return Entry(plain(name), folder / name, told.digest, told.width, told.height)
