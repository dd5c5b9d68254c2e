"""YOLO: one text file a picture, a line an object, all numbers as shares of the picture's width and height.

Three layouts: Ultralytics' and Roboflow's `data.yaml` with `images/` beside `labels/`, Darknet's `obj.data` with
`obj.names` and lists of pictures, and a bare `classes.txt` above the labels. Layouts and rows are those of
https://docs.ultralytics.com/datasets/: boxes, polygons, and keypoints where `kpt_shape` says so.
"""

from __future__ import annotations

from collections.abc import Iterator

from tasks.data.formats._lines import numbered
from tasks.data.formats._size import header_size
from tasks.data.formats._yolo_layout import Layout, describe, find_darknet, find_names, find_yaml
from tasks.data.formats._yolo_lines import box_of
from tasks.data.formats._yolo_members import members
from tasks.data.formats._yolo_write import CARRIES, write
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, Note, Picture, Reading, Source

__all__ = ["CARRIES", "EXPECTED", "TITLE", "find", "read", "write"]

TITLE = "YOLO"
EXPECTED = "data.yaml with names and train/val/test, images/ beside labels/*.txt; or obj.data; or classes.txt"


def find(index: FolderIndex) -> list[Source]:
    """Each `data.yaml`; else each Darknet `.data` file; else each list of names with YOLO's rows below it."""
    for look in (find_yaml, find_darknet, find_names):
        if found := look(index):
            return [Source("yolo", index.root / file, None) for file in found]
    return []


def read(index: FolderIndex, source: Source, into: Reading) -> Iterator[Picture]:
    """The pictures of one layout, those of test first; pixels come from the sizes in the pictures' headers.

    Raises:
        DataError: the description or a row is not what the format says; a name is that of several pictures.
    """
    layout = describe(index, source.path.relative_to(index.root).as_posix())
    _declare(layout, into)
    for member in members(index, layout, into.notes):
        if member.label is None:
            into.notes.append(Note("unannotated", member.picture, "", "there is no text file for it", member.picture))
            yield Picture(member.picture, member.split, None, member.picture)
        else:
            boxes = _boxes(index, member.picture, member.label, layout, into)
            yield Picture(member.picture, member.split, None, member.label, boxes)


def _declare(layout: Layout, into: Reading) -> None:
    for number, name in layout.names.items():
        if name in into.ids and into.ids[name] != number:
            detail = f"class {name!r} is number {into.ids[name]} too"
            into.notes.append(Note("duplicate_id", layout.here, f"names[{number}]", detail))
        elif name:
            into.labels.add(name)
            into.ids[name] = number
            if layout.points:
                into.keypoints[name] = {"names": [str(k) for k in range(layout.points[0])], "edges": []}
    if layout.more:
        into.attributes["yolo"] = layout.more


def _boxes(index: FolderIndex, picture: str, label: str, layout: Layout, into: Reading) -> list[Box]:
    rows = list(numbered(index.root / label, label))
    size = header_size(index.root / picture) if rows else None
    if rows and size is None:
        detail = f"the size of {picture} cannot be read, so its {len(rows)} labels have no place"
        into.notes.append(Note("missing_picture", label, "", detail, picture))
        return []
    boxes = []
    for line, fields in rows:
        box = box_of(fields, layout.names, size or (0, 0), layout.points, f"{label}#{line}")
        if isinstance(box, Note):
            into.notes.append(box)
        else:
            boxes.append(box)
            into.problem = "segment" if box.polygons else into.problem
    return boxes
