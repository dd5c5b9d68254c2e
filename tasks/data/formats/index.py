"""All files of a raw folder, listed once, and the search for the picture that an annotation names."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from tasks.base.errors import DataError
from tasks.data.formats.record import split_in_name
from tasks.data.pictures import SUFFIXES

# masks and depth maps often carry the picture's name, in a folder beside these
PICTURE_FOLDERS = frozenset({"images", "image", "imgs", "img", "jpegimages", "pictures", "photos"})


class FolderIndex:
    """The files below `root` as sorted relative POSIX names; hidden ones are left out.

    Raises:
        DataError: the folder is missing or has no file.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = sorted(_walk(root))
        if not self.files:
            what = "empty folder" if root.is_dir() else "no such folder"
            raise DataError(what, where=root, mend="put pictures and their annotations there")
        self._numbers = [i for i, file in enumerate(self.files) if _suffix(file) in SUFFIXES]

    # what annotations call a picture: its name, its name with its folder, its name without the suffix
    @cached_property
    def _by_name(self) -> _Lookup:
        return _Lookup(self.files, self._numbers, lambda file: file.rpartition("/")[2])

    @cached_property
    def _by_two(self) -> _Lookup:
        return _Lookup(self.files, self._numbers, lambda file: "/".join(file.rsplit("/", 2)[-2:]))

    @cached_property
    def _by_stem(self) -> _Lookup:
        return _Lookup(self.files, self._numbers, lambda file: PurePosixPath(file).stem)

    def number(self, file: str) -> int:
        """The place of a file of this folder in `files`."""
        place = bisect_left(self.files, file)
        if place == len(self.files) or self.files[place] != file:
            raise DataError("no such file", where=self.root / file, mend="a reader named a picture that is not there")
        return place

    def with_suffix(self, suffix: str) -> list[str]:
        return [file for file in self.files if file.lower().endswith(suffix)]

    def pictures(self) -> list[str]:
        """Every picture file, sorted."""
        return [self.files[number] for number in self._numbers]

    def find(self, name: str, near: PurePosixPath, split: str | None, where: object) -> str | None:
        """The picture file called `name` (relative, maybe with folders), nearest to the folder `near`.

        Raises:
            DataError: several pictures have that name and nothing tells which is meant.
        """
        path = PurePosixPath(name)
        found = self._by_two.get("/".join(path.parts[-2:])) if len(path.parts) > 1 else []
        narrowed = [file for file in found if f"/{file}".endswith(f"/{path}")]
        if not narrowed:
            found = self._by_name.get(path.name) or self._by_stem.get(path.stem)
            narrowed = _not_of(split_in_name(path), found)
        if len(narrowed) > 1:
            narrowed = _nearest(narrowed, near, split)
        if len(narrowed) > 1:
            mend = "give the folder too in the picture's name, or keep one of them"
            raise DataError(f"picture {name!r} is there {len(narrowed)} times: {', '.join(narrowed[:3])}",
                            where=where, mend=mend)
        return narrowed[0] if narrowed else None


def _suffix(file: str) -> str:
    # a path object for each of a million names costs seconds
    return file[file.rfind("."):].lower()


class _Lookup:
    """Which of many files have a key, in 12 bytes a file: a dictionary of names takes 300."""

    def __init__(self, files: list[str], numbers: list[int], key: Callable[[str], str]) -> None:
        self.files, self.key = files, key
        hashes = np.fromiter((hash(key(files[number])) for number in numbers), np.int64, len(numbers))
        order = np.argsort(hashes, kind="stable")
        self.hashes, self.numbers = hashes[order], np.array(numbers, np.int32)[order]

    def get(self, name: str) -> list[str]:
        """The files with that key, sorted."""
        wanted = np.int64(hash(name))
        start, end = (int(np.searchsorted(self.hashes, wanted, side)) for side in ("left", "right"))
        return [file for file in (self.files[i] for i in self.numbers[start:end]) if self.key(file) == name]


def _walk(root: Path) -> Iterator[str]:
    for folder, inner, files in os.walk(root, followlinks=False):
        inner[:] = [name for name in inner if not name.startswith(".")]
        here = Path(folder).relative_to(root).as_posix()
        for name in (name for name in files if not name.startswith(".")):
            if not name.isascii() and name != name.encode("utf-8", "replace").decode():
                raise DataError(f"file name {name.encode('utf-8', 'surrogateescape')!r} is not UTF-8", where=folder,
                                mend="rename it; convmv does so for whole folders")
            yield name if here == "." else f"{here}/{name}"


def _not_of(split: str | None, files: list[str]) -> list[str]:
    # `train/1.jpg` must not become `val/1.jpg`, another picture
    return [file for file in files if split is None or split_in_name(PurePosixPath(file).parent) in (split, None)]


def _nearest(files: list[str], near: PurePosixPath, split: str | None) -> list[str]:
    def distance(file: str) -> tuple[bool, int, bool]:
        folder = PurePosixPath(file).parent
        shared = len(os.path.commonprefix([folder.parts, near.parts]))
        wrong_split = split is not None and split_in_name(folder) not in (split, None)
        steps = len(folder.parts) + len(near.parts) - 2 * shared
        return wrong_split, steps, PICTURE_FOLDERS.isdisjoint(map(str.lower, folder.parts))

    best = min(map(distance, files))
    return [file for file in files if distance(file) == best]
