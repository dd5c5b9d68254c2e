"""Superb AI Suite's export: `project.json`, `labels/<id>.json`, `meta/<dataset>/<data_key>.json`; pictures lie apart.

Videos are read too: `meta` then lists `frames`, which lie as pictures in a folder of that name. Keys are snake_case
from version 0.4.0 on, camelCase before. Pictures are no part of an export: they are looked for by
`<dataset>/<data_key>`, then by `<data_key>`. See
https://github.com/Superb-AI-Suite/spb-example/tree/main/convert-suite-exports
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from tasks.base.errors import DataError
from tasks.data.formats._layout import has_file
from tasks.data.formats._size import header_size
from tasks.data.formats._superb_film import frames_of
from tasks.data.formats._superb_json import load, mapping, objects, snake
from tasks.data.formats._superb_schema import (
    detection_of,
    expect,
    is_video,
    mixed,
    options,
    project_of,
    rest_of,
    skeleton,
    tags_of,
    text,
    told_of,
)
from tasks.data.formats._superb_shapes import shape
from tasks.data.formats._superb_write import CARRIES, write
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, Note, Picture, Reading, Source, number, safe_name, split_in_name
from tasks.data.pictures import SUFFIXES

__all__ = ["CARRIES", "EXPECTED", "TITLE", "find", "read", "write"]

TITLE = "Superb AI Suite"
EXPECTED = "project.json beside labels/<id>.json and meta/<dataset>/<data_key>.json"
SIGNS = (b'"object_detection"', b'"object_tracking"', b"-siesta", b'"image-default"')
OBJECT_KEYS = frozenset({"class_id", "class_name", "annotation_type", "annotation"})


def find(index: FolderIndex) -> list[Source]:
    """Each `project.json` of Suite with a folder `meta` beside it."""
    projects = [file for file in index.files if PurePosixPath(file).name == "project.json"]
    return [Source("superb", index.root / file, None) for file in projects
            if any(sign in (index.root / file).read_bytes()[:1 << 20] for sign in SIGNS)
            and any(other.startswith(f"{file.removesuffix('project.json')}meta/") for other in index.files)]


def read(index: FolderIndex, source: Source, into: Reading) -> Iterator[Picture]:
    """The pictures of one export, by name of their `meta` files.

    Raises:
        DataError: a file is not JSON or of another schema, one is of a film and the project is not (or the other way
            round), or a name leaves the folder.
    """
    project = Project(index, source, into)
    start = f"{project.folder}meta/"
    for here in index.files:
        if here.startswith(start) and here.endswith(".json"):
            yield from project.pictures(here)


class Project:
    """One export while it is read."""

    def __init__(self, index: FolderIndex, source: Source, into: Reading) -> None:
        self.index, self.into = index, into
        here = source.path.relative_to(index.root).as_posix()
        self.folder = here.removesuffix("project.json")
        content = project_of(snake(load(source.path, here)), here)
        detection, self.films = detection_of(content), is_video(content)
        self.classes = {str(entry.get("id")): entry for entry in objects(detection.get("object_classes"))}
        into.labels.update(name for entry in self.classes.values() if (name := text(entry.get("name"))))
        graphs = {str(graph.get("id")): graph for graph in objects(detection.get("keypoints"))}
        for entry in self.classes.values():
            graph = graphs.get(str(entry.get("keypoint_interface_id")))
            if graph is not None and (name := text(entry.get("name"))):
                into.keypoints[name] = skeleton(graph)
        self.options = {} if self.classes else options(content)
        if self.options:
            into.labels.update(self.options)
            into.problem = "classify"
        into.attributes.setdefault("superb", content)

    def pictures(self, here: str) -> Iterator[Picture]:
        """The picture of one `meta` file, or the pictures of a film; none where they are missing."""
        meta = expect(snake(load(self.index.root / here, here)), here, "data_key", str)
        if ("frames" in meta) != self.films:
            raise mixed(here, film="frames" in meta)
        folder = PurePosixPath(here.removeprefix(f"{self.folder}meta/")).parts[0]
        dataset, key = text(meta.get("dataset")) or folder, safe_name(meta["data_key"], here)
        if self.films:
            yield from frames_of(self, here, meta, dataset, key)
            return
        split = split_in_name(PurePosixPath(dataset))
        file = self.find(dataset, key, split, here)
        if file is None:
            self.note("missing_picture", here, "data_key", f"there is no picture {dataset}/{key}")
            return
        info = mapping(meta.get("image_info"))
        declared = (number(info["width"]), number(info["height"])) if {"width", "height"} <= info.keys() else None
        picture = Picture(file, split, declared, here, tags=tags_of(meta), attributes=told_of(meta))
        self._label(picture, meta)
        yield picture

    def find(self, dataset: str, key: str, split: str | None, here: str) -> str | None:
        near = PurePosixPath(self.folder or ".")
        endings = ("",) if PurePosixPath(key).suffix.lower() in SUFFIXES else ("", *sorted(SUFFIXES))
        for name in (f"{folder}{key}{ending}" for folder in (f"{dataset}/", "") for ending in endings):
            try:
                file = self.index.find(name, near, split, here)
            except DataError:  # several of that name: a later form of it may be told apart
                continue
            if file and f"/{file}".endswith(f"/{name}"):
                return file
        return self.index.find(key, near, split, here)

    def _label(self, picture: Picture, meta: dict[str, Any]) -> None:
        """Fill in what the first of the picture's label files says."""
        here, label = self.first_label(meta, picture)
        told = picture.attributes or {}
        if label is None:
            told["label"] = None
        else:
            for place, entry in enumerate(label["objects"]):
                box = self.box(picture, mapping(entry), f"{here}#objects[{place}]")
                picture.boxes += [box] if box else []
            if self.options:
                picture.labels = self._labels(label)
            if rest := rest_of(label):
                told["label"] = rest
        picture.attributes = told or None
        state = meta.get("status")
        if label is None or state == "SKIPPED" or (state == "WORKING" and not (picture.boxes or picture.labels)):
            detail = "it has no label yet" if label is None else f"its status is {state}"
            self.note("unannotated", picture.row, "status", detail, picture.file)

    def first_label(self, meta: dict[str, Any], picture: Picture) -> tuple[str, dict[str, Any] | None]:
        paths = meta.get("label_path")
        if paths is not None and not (isinstance(paths, list) and all(isinstance(path, str) for path in paths)):
            raise DataError("expected `label_path` to be a list of names", where=picture.row, mend="export it again")
        if not paths:
            return "", None
        here = self.folder + safe_name(paths[0], picture.row)
        if not has_file(self.index, here):
            self.note("dangling", picture.row, "label_path", f"there is no file {paths[0]!r}", picture.file)
            return "", None
        label = snake(load(self.index.root / here, here))
        return here, None if label is None else expect(label, here, "objects", list)

    def box(self, picture: Picture, entry: dict[str, Any], row: str) -> Box | None:
        here, _, place = row.rpartition("#")
        kind, annotation = text(entry.get("annotation_type")), mapping(entry.get("annotation"))
        told = self.classes.get(str(entry.get("class_id")))
        if told is None and not self._knows(entry):
            self.note("dangling", here, place, f"class_id {entry.get('class_id')!r} is not in project.json",
                       picture.file)
            return None
        drawn = shape(kind, mapping(annotation.get("coord")), lambda: self._size(picture))
        for flaw in drawn.flaws:
            self.note("bad_mask", here, place, flaw, picture.file)
        if drawn.box is None:
            return None
        if {"polygons", "rle"} & drawn.fields.keys() and not self.options:
            self.into.problem = "segment"
        x, y, w, h = drawn.box
        made = Box(text((told or {"name": entry.get("class_name")}).get("name")), x, y, w, h, row, **drawn.fields)
        _describe(made, entry, annotation, drawn.kept, several=len(made.polygons or ()) > 1 or made.rle is not None)
        return made

    def _knows(self, entry: dict[str, Any]) -> bool:
        # objects made by hand name their class and give no id
        pair = entry.get("class_name"), entry.get("annotation_type")
        return "class_id" not in entry and any((e.get("name"), e.get("annotation_type")) == pair
                                               for e in self.classes.values())

    def _labels(self, label: dict[str, Any]) -> list[str]:
        """The classes that options of the picture name; what else its categories say stays in the label."""
        categories = mapping(label.get("categories"))
        names = {key: name for name, key in self.options.items()}
        chosen: list[str] = []
        kept = []
        for entry in objects(categories.get("properties")):
            ids = entry.get("option_ids") if isinstance(entry.get("option_ids"), list) else [entry.get("option_id")]
            found = [names.get((str(entry.get("property_id")), str(one))) for one in ids or ()]
            chosen += [name for name in found if name]
            if not all(found) or not found:
                kept.append(entry)
        label["categories"] = categories | {"properties": kept}
        return sorted(set(chosen))

    def _size(self, picture: Picture) -> tuple[int, int]:
        width, height = picture.declared or (math.nan, math.nan)
        if float(width).is_integer() and float(height).is_integer():
            return int(width), int(height)
        return header_size(self.index.root / picture.file) or (0, 0)

    def note(self, kind: str, here: str, row: str, detail: str, picture: str | None = None) -> None:
        self.into.notes.append(Note(kind, here, row, detail, picture))


def _describe(box: Box, entry: dict[str, Any], annotation: dict[str, Any], kept: dict[str, Any], several: bool) -> None:
    """Difficulty and uncertainty of a box, and what no column holds."""
    rest = {key: value for key, value in annotation.items() if key != "coord"}
    for key in ("difficulty", "uncertainty"):
        if math.isfinite(value := number(rest.get(key))):
            setattr(box, key, value)
            del rest[key]
    if rest.get("multiple") is several:
        del rest["multiple"]
    if "coord" in kept:
        rest["coord"] = kept.pop("coord")
    told = {key: value for key, value in entry.items() if key not in OBJECT_KEYS}
    if told.get("properties") == []:
        del told["properties"]
    box.attributes = told | kept | ({"annotation": rest} if rest else {}) or None
