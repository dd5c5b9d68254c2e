"""YMIR: `images/` beside `gt/`, with Pascal VOC files, one COCO file or `ark` text files, and aliases of classes.

What YMIR 2.5 imports and exports (`mir/tools/annotations.py` and `data_writer.py` of IndustryEssentials/ymir): VOC with
`box_quality`, `tags`, `cks`, `image_quality` and `rotate_angle`; `index.tsv` with a picture and its annotation a line,
as its containers take it; `ark` rows `class, xmin, ymin, xmax, ymax, quality, angle`. Corners count as `voc_pixels`
says; YMIR itself includes the last pixel.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import PurePosixPath

from tasks.data.formats import coco, voc
from tasks.data.formats._layout import below, is_picture
from tasks.data.formats._ymir_ark import ark_files, read_ark
from tasks.data.formats._ymir_labels import Aliases, read_labels
from tasks.data.formats._ymir_tables import Tables, read_tables, tables
from tasks.data.formats._ymir_write import CARRIES, write
from tasks.data.formats._ymir_xml import add_extras
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import More, Picture, Reading, Source, split_in_name

__all__ = ["CARRIES", "EXPECTED", "TITLE", "find", "read", "write"]

TITLE = "YMIR"
EXPECTED = "images/ beside gt/ with VOC XML files or one COCO JSON file; or index.tsv with ark files"
PICTURES = ("images", "jpegimages")


def find(index: FolderIndex) -> list[Source]:
    """Folders with pictures in `images` and annotations in `gt`, and those whose `index.tsv` names both."""
    homes = {posixpath.dirname(folder) for folder in _folders_called(index, "gt") if _is_ground_truth(index, folder)}
    homes |= {posixpath.dirname(table) for table in tables(index)}
    return [Source("ymir", index.root / home, split_in_name(PurePosixPath(home))) for home in sorted(homes)]


def read(index: FolderIndex, source: Source, into: Reading) -> Iterator[Picture | More]:
    """The pictures of one data set. Predictions beside the ground truth (`pred/`) are no labels: they are counted.

    Raises:
        DataError: as the readers of VOC and COCO; or labels.yaml, an index or an ark row is not what it should be.
    """
    home = source.path.relative_to(index.root).as_posix().removeprefix(".")
    aliases, listed = read_labels(index, home, into), read_tables(index, home, into.notes)
    if left := sum(1 for folder in _folders_called(index, "pred") if posixpath.dirname(folder) == home
                   for _ in below(index, folder)):
        into.attributes["ymir"] = into.attributes.get("ymir", {}) | {"predictions left out": left}
    inner = Reading(notes=into.notes, voc_pixels=into.voc_pixels)
    for item in _items(index, source, home, listed, aliases, inner):
        for box in item.boxes:
            box.label = aliases.main(box.label)
        if isinstance(item, Picture):
            item.split = listed.splits.get(item.file, item.split or source.split)
        yield item
    _take_over(into, inner, aliases)


def _items(index: FolderIndex, source: Source, home: str, listed: Tables, aliases: Aliases,
           inner: Reading) -> Iterator[Picture | More]:
    homes = {folder for folder in _folders_called(index, "gt") if posixpath.dirname(folder) == home}
    for part in [*voc.find(index), *coco.find(index)]:
        here = part.path.relative_to(index.root).as_posix()
        if here not in listed.annotations and not any(f"{here}/".startswith(f"{folder}/") for folder in homes):
            continue
        if part.format == "voc":
            yield from (add_extras(index, picture) for picture in voc.read(index, part, inner))
        else:
            yield from coco.read(index, part, inner)
    for file in ark_files(index, homes, listed):
        picture = read_ark(index, file, listed.annotations.get(file), aliases, inner)
        if picture is not None:
            yield picture


def _take_over(into: Reading, inner: Reading, aliases: Aliases) -> None:
    into.labels |= {aliases.main(name) for name in inner.labels}
    for name, number in inner.ids.items():
        into.ids.setdefault(aliases.main(name), number)
    for name, points in inner.keypoints.items():
        into.keypoints.setdefault(aliases.main(name), points)
    into.problem = inner.problem or into.problem
    into.attributes |= inner.attributes


def _is_ground_truth(index: FolderIndex, folder: str) -> bool:
    home = posixpath.dirname(folder)
    beside = [other for name in PICTURES for other in _folders_called(index, name) if posixpath.dirname(other) == home]
    if not any(map(is_picture, (file for other in beside for file in below(index, other)))):
        return False
    sources = (part.path.relative_to(index.root).as_posix() for part in (*voc.find(index), *coco.find(index)))
    return any(f"{here}/".startswith(f"{folder}/") for here in sources) or \
        bool(ark_files(index, {folder}, Tables({}, {})))


def _folders_called(index: FolderIndex, name: str) -> set[str]:
    """Folders of that name, in any case."""
    found = set()
    for file in index.files:
        place = f"/{file}".lower().find(f"/{name}/")
        if place >= 0:
            found.add(file[:place + len(name)])
    return found
