"""Class folders: every picture lies in a folder that is called as its class, maybe below a folder for each split."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Set
from typing import TYPE_CHECKING, NamedTuple

from tasks.base.errors import DataError
from tasks.data.formats._layout import below, is_picture
from tasks.data.formats._names import Names, splits_of
from tasks.data.formats.index import PICTURE_FOLDERS, FolderIndex
from tasks.data.formats.record import SPLIT_WORDS, Note, Picture, Reading, Source

if TYPE_CHECKING:
    from tasks.data.exporting import Export

TITLE = "class folders"
EXPECTED = "<class>/*.jpg for two classes or more, or train/<class>/*.jpg and val/<class>/*.jpg"
CARRIES = frozenset({"split", "labels"})
# folders of these names are parts of other layouts
RESERVED = PICTURE_FOLDERS | {
    "masks", "mask", "labels", "label", "annotations", "annotation", "gt", "gts", "gtfine", "ground-truth",
    "ground_truth", "segmentation", "segmentationclass", "segmentationobject", "depth", "pred", "preds", "input",
    "target", "image_2", "image_3", "label_2"}
SPLITS: dict[str, str | None] = SPLIT_WORDS | {"unsplit": None}
MAX_NAME = 255
NO_NAME = re.compile(r"[/\\\0]|^\.|^$")


class Place(NamedTuple):
    """A picture, and what its folders say."""

    file: str
    split: str | None
    label: str | None


def find(index: FolderIndex) -> list[Source]:
    """The folder whose folders are classes, if there are two or more and none has another meaning."""
    base = _base(index)
    labels = {place.label for place in _places(index, base)} - {None}
    return [Source("folders", index.root / base, None)] if len(labels) > 1 else []


def read(index: FolderIndex, source: Source, into: Reading) -> Iterator[Picture]:
    """Pictures with the class that their folder is called; those in no class folder are noted."""
    into.problem = "classify"
    for file, split, label in _places(index, source.path.relative_to(index.root).as_posix()):
        if label is None:
            into.notes.append(Note("unannotated", file, "", "it lies in no class folder", file))
            yield Picture(file, split, None, file)
        else:
            into.labels.add(label)
            yield Picture(file, split, None, file, labels=[label])


def write(export: Export) -> None:
    """`<split>/<class>/<name>`, without the first where a picture has no split; by the first of its labels.

    Raises:
        DataError: the pictures have no labels, or two classes would have one folder.
    """
    if export.meta.problem != "classify":
        raise DataError(f"{export.meta.name!r} is for {export.meta.problem!r}: its pictures have no class of their own",
                        where=export.folder, mend=f"visionmill data export {export.meta.name} --format coco")
    names, splits = Names(export, "split, labels[1]"), splits_of(export)
    folders = _folders(export, RESERVED if any(splits) else RESERVED | SPLITS.keys())
    for row in export.rows():
        image, labels = row.image, row.image["labels"] or []
        export.lose("labels beyond the first", max(len(labels) - 1, 0))
        export.lose("pictures said to show none of the classes", image["labels"] == [])
        export.lose("annotations", len(row.boxes))
        folder = folders[labels[0]] if labels else ""
        export.lose("class names that no folder can have", bool(labels) and folder != export.meta.classes[labels[0]])
        split = image["split"] or ("unsplit" if any(splits) else "")
        export.place(image, posixpath.join(split, folder, names(image)))


def _folders(export: Export, reserved: Set[str]) -> list[str]:
    """A folder's name for each class."""
    names = [NO_NAME.sub("_", name) for name in export.meta.classes]
    names = [f"{name}_class" if name.lower() in reserved or _word(name) in reserved & SPLITS.keys() else name
             for name in names]
    for place, name in enumerate(names):
        if name in names[:place] or len(name.encode()) > MAX_NAME:
            old = export.meta.classes[place]
            raise DataError(f"class {old[:80]!r} cannot have a folder of its own", where=export.folder,
                            mend=f"visionmill data relabel {export.meta.name} --map '{old[:80]}=another name'")
    return names


def _base(index: FolderIndex) -> str:
    """The folder that all pictures have in common."""
    return posixpath.commonpath({posixpath.dirname(file) for file in index.pictures()} or {""}) or "."


def _word(folder: str) -> str:
    """`val` for `val2017`."""
    return folder.lower().rstrip("0123456789_-")


def _places(index: FolderIndex, base: str) -> list[Place]:
    """The pictures below `base` with split and class; none where a folder says that this is another layout."""
    start = 0 if base == "." else len(base) + 1
    parts = [(file, file[start:].split("/")[:-1]) for file in below(index, base) if is_picture(file)]
    tops = {folders[0] for _, folders in parts if folders}
    here = _word(posixpath.basename(base))
    given = SPLITS.get(here)
    if tops and all(_word(top) in SPLITS for top in tops):
        places = [Place(file, SPLITS[_word(folders[0])] if folders else given, folders[1] if folders[1:] else None)
                  for file, folders in parts]
    elif here not in SPLITS and any(_word(top) in SPLITS for top in tops):
        return []
    else:
        places = [Place(file, given, folders[0] if folders else None) for file, folders in parts]
    return [] if any(place.label and place.label.lower() in RESERVED for place in places) else places
