"""Pictures and semantic masks by name: `images/` beside `masks/`, or `<stem>_mask.png` beside the picture.

A mask's pixels are numbers of classes, 255 for none; coloured masks need a list of colours. Masks of 16 bits number
objects, not classes, and are left alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from tasks.base.errors import DataError
from tasks.data.formats._masks_classes import classes_of, flaw_of, list_beside
from tasks.data.formats._masks_pixels import COLOURED, INDEXED, grey, header, read_mask
from tasks.data.formats._masks_write import CARRIES, write
from tasks.data.formats.index import PICTURE_FOLDERS, FolderIndex
from tasks.data.formats.record import Note, Picture, Reading, Source, split_in_name
from tasks.data.pictures import read_picture
from tasks.data.table import SPLITS

__all__ = ["CARRIES", "EXPECTED", "TITLE", "find", "read", "read_mask", "write"]

TITLE = "pictures and masks"
EXPECTED = "images/*.jpg and masks/*.png of the same names, with classes.txt or labelmap.txt"
FOLDERS = frozenset({"masks", "mask", "labels", "label", "annotations", "annotation", "segmentationclass", "gt", "gts",
                     "segmentation", "ground_truth", "groundtruth"})
LOSSLESS = frozenset({".png", ".bmp", ".tif", ".tiff"})
ENDING = "_mask"
LOOKED_AT, MOST_FOLDERS = 20, 8


class Pair(NamedTuple):
    """A mask, and its picture where there is one; `folder` is what holds the masks."""

    mask: str
    picture: str | None
    folder: str


def find(index: FolderIndex) -> list[Source]:
    """Folders of masks of which at least half have a picture, and which are masks by their headers."""
    by_folder: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs(index):
        by_folder[pair.folder].append(pair)
    good = [folder for folder, found in by_folder.items()
            if 2 * sum(pair.picture is not None for pair in found) >= len(found)
            and _are_masks(index, folder, [pair.mask for pair in found])]
    if len(good) > MOST_FOLDERS:  # one for each patient, say
        return [Source("masks", index.root, None)]
    return [Source("masks", index.root / folder, split_in_name(PurePosixPath(folder))) for folder in sorted(good)]


def read(index: FolderIndex, source: Source, into: Reading) -> Iterator[Picture]:
    """The pictures of one folder of masks, by name of their masks.

    Raises:
        DataError: the list of classes is damaged.
    """
    inside = [pair for pair in pairs(index) if (index.root / pair.mask).is_relative_to(source.path)]
    folder = source.path.relative_to(index.root).as_posix()
    classes = classes_of(index, folder, [pair.mask for pair in inside], into)
    into.problem = "semantic"
    splits = _lists(index)
    for mask, picture, _ in inside:
        if picture is None:
            into.notes.append(Note("missing_picture", mask, "", "there is no picture of this mask"))
            continue
        split = splits.get(PurePosixPath(picture).stem) or split_in_name(PurePosixPath(picture).parent)
        flaw = flaw_of(index.root / mask, index.root / picture, classes)
        if flaw:
            into.notes.append(Note("bad_mask", mask, "", flaw, picture))
        yield Picture(picture, split or source.split, None, mask, mask=None if flaw else mask)


def pairs(index: FolderIndex) -> Iterator[Pair]:
    """Every file that may be a mask by its name, with the picture whose name differs by the folder alone."""
    pictures: dict[str, str] = {}
    for file in index.pictures():
        if _key_of_mask(file)[0] is None:
            pictures.setdefault(_key_of_picture(file), file)
    for file in index.pictures():
        key, folder = _key_of_mask(file)
        if key is not None:
            yield Pair(file, pictures.get(key) or pictures.get(key.removesuffix(ENDING)), folder)


def _key_of_mask(file: str) -> tuple[str | None, str]:
    """What a mask and its picture share, and the folder of the masks; None where the name is not of a mask."""
    path = PurePosixPath(file)
    if path.suffix.lower() not in LOSSLESS:
        return None, ""
    parts = (path.parent / path.stem).parts
    for place in range(len(parts) - 2, -1, -1):
        if parts[place].lower() in PICTURE_FOLDERS:
            break
        if parts[place].lower() in FOLDERS:
            return _without(PICTURE_FOLDERS, parts[:place] + parts[place + 1:]), "/".join(parts[:place + 1])
    if path.stem.endswith(ENDING):
        return _without(PICTURE_FOLDERS, parts).removesuffix(ENDING), str(path.parent)
    return None, ""


def _key_of_picture(file: str) -> str:
    path = PurePosixPath(file)
    return _without(PICTURE_FOLDERS, (path.parent / path.stem).parts)


def _without(words: frozenset[str], parts: tuple[str, ...]) -> str:
    """A path without the last of its folders that is one of `words`."""
    place = next((i for i in range(len(parts) - 2, -1, -1) if parts[i].lower() in words), None)
    return "/".join(parts if place is None else parts[:place] + parts[place + 1:])


def _are_masks(index: FolderIndex, folder: str, masks: list[str]) -> bool:
    """Whether the first of them are: indexed, or coloured beside a list of colours, or grey."""
    coloured = list_beside(index, folder) is not None
    for mask in masks[:LOOKED_AT]:
        try:
            mode = header(index.root / mask)[0]
            if mode in COLOURED and not coloured and not grey(read_picture(index.root / mask)):
                return False
        except DataError:  # a damaged one among them is noted when it is read
            continue
        if mode not in INDEXED + COLOURED:
            return False
    return True


def _lists(index: FolderIndex) -> dict[str, str]:
    """Splits by stem, from `ImageSets/Segmentation/train.txt` and the like; test goes before val, val before train."""
    splits: dict[str, str] = {}
    for split in SPLITS:
        for file in (file for file in index.files if f"/{file}".endswith(f"/ImageSets/Segmentation/{split}.txt")):
            lines = (index.root / file).read_text(encoding="utf-8", errors="replace").splitlines()
            splits.update({PurePosixPath(line.strip()).stem: split for line in lines if line.strip()})
    return splits
