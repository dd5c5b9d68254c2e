"""Where the files of a raw folder stand, by bisection in its sorted index."""

from __future__ import annotations

import posixpath
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import SPLIT_WORDS, safe_name
from tasks.data.pictures import SUFFIXES

DEEPEST = 16


def is_picture(name: str) -> bool:
    return posixpath.splitext(name)[1].lower() in SUFFIXES


def has_file(index: FolderIndex, name: str) -> bool:
    place = bisect_left(index.files, name)
    return place < len(index.files) and index.files[place] == name


def has_folder(index: FolderIndex, folder: str) -> bool:
    return next(_with_prefix(index, _prefix(folder)), None) is not None


def below(index: FolderIndex, folder: str) -> Iterator[str]:
    """Every file below a folder (`.` is the root), sorted."""
    return _with_prefix(index, _prefix(folder))


def inside(index: FolderIndex, folder: str) -> Iterator[str]:
    """The files of a folder, without those of its folders."""
    start = len(_prefix(folder))
    return (file for file in below(index, folder) if "/" not in file[start:])


def with_stem(index: FolderIndex, folder: str, stem: str) -> list[str]:
    """The pictures of a folder that are called `stem`, whatever their suffix."""
    start = f"{_prefix(folder)}{stem}."
    return [file for file in _with_prefix(index, start) if is_picture(file) and file.rfind(".") == len(start) - 1]


def lookup(index: FolderIndex, name: str, near: str, split: str | None, where: object) -> str | None:
    """The picture that a file in the folder `near` calls `name`: as written, by `resolve`, else as the index finds it.

    Raises:
        DataError: the name leaves the folder, or several pictures are meant.
    """
    exact = posixpath.normpath(posixpath.join(near, name))
    for file in (exact, resolve(index, [near], name)):
        if file and is_picture(file) and has_file(index, file):
            return file
    return index.find(safe_name(name, where), PurePosixPath(near), split, where)


def resolve(index: FolderIndex, bases: Iterable[str], name: str) -> str | None:
    """The file or folder of the index that a path from some machine means.

    Taken as it is below each of `bases`; then without `..`, and without its first folders as long as those are no
    split's: `/home/me/data/images/val` → `images/val`, never `images/train` → `images`.
    """
    text, bases = name.strip().replace("\\", "/"), list(bases)
    for base in bases:
        plain = posixpath.normpath(posixpath.join(base, text))
        if not plain.startswith(("/", "../")) and plain != ".." and _exists(index, plain):
            return plain
    parts = [part for part in text.split("/") if part not in ("", ".", "..")][-DEEPEST:]
    for start in range(len(parts)):
        for base in bases:
            if _exists(index, plain := posixpath.normpath(posixpath.join(base, *parts[start:]))):
                return plain
        if parts[start].lower() in SPLIT_WORDS:
            break
    return None


def swap(file: str, words: Iterable[str], by: str) -> str | None:
    """A path with the last of its folders that is one of `words` called `by` instead; None where there is none."""
    parts, wanted = file.split("/"), frozenset(words)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place].lower() in wanted:
            return "/".join([*parts[:place], by, *parts[place + 1:]])
    return None


def _exists(index: FolderIndex, name: str) -> bool:
    return has_file(index, name) or has_folder(index, name)


def _prefix(folder: str) -> str:
    return "" if folder in ("", ".") else f"{folder}/"


def _with_prefix(index: FolderIndex, prefix: str) -> Iterator[str]:
    for place in range(bisect_left(index.files, prefix), len(index.files)):
        if not index.files[place].startswith(prefix):
            return
        yield index.files[place]
