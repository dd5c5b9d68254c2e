"""All files of a raw folder, listed once, and the search for the picture that an annotation names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

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
            raise DataError(what, where=root, mend="put pictures and their annotations there (Pascal VOC or COCO JSON)")
        self._pictures: dict[str, list[str]] = {}
        for file in self.files:
            path = PurePosixPath(file)
            if path.suffix.lower() in SUFFIXES:
                self._pictures.setdefault(path.name, []).append(file)
                self._pictures.setdefault("stem:" + path.stem, []).append(file)

    def with_suffix(self, suffix: str) -> list[str]:
        return [file for file in self.files if file.lower().endswith(suffix)]

    def pictures(self) -> list[str]:
        """Every picture file, sorted."""
        return sorted(file for name, found in self._pictures.items() if not name.startswith("stem:") for file in found)

    def find(self, name: str, near: PurePosixPath, split: str | None, where: object) -> str | None:
        """The picture file called `name` (relative, maybe with folders), nearest to the folder `near`.

        Raises:
            DataError: several pictures have that name and nothing tells which is meant.
        """
        path = PurePosixPath(name)
        found = self._pictures.get(path.name) or self._pictures.get("stem:" + path.stem, [])
        narrowed = [file for file in found if f"/{file}".endswith(f"/{path}")] or _not_of(split_in_name(path), found)
        if len(narrowed) > 1:
            narrowed = _nearest(narrowed, near, split)
        if len(narrowed) > 1:
            mend = "give the folder too in the picture's name, or keep one of them"
            raise DataError(f"picture {name!r} is there {len(narrowed)} times: {', '.join(narrowed[:3])}",
                            where=where, mend=mend)
        return narrowed[0] if narrowed else None


def _walk(root: Path) -> Iterator[str]:
    for folder, inner, files in os.walk(root, followlinks=False):
        inner[:] = [name for name in inner if not name.startswith(".")]
        here = Path(folder).relative_to(root).as_posix()
        yield from (name if here == "." else f"{here}/{name}" for name in files if not name.startswith("."))


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
