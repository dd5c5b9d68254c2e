"""Format → table → the same format, for the tests of one format: a small builder that needs nothing but its reader."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa

from tasks.data.exporting import Export
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, Picture, Reading
from tasks.data.pictures import measure
from tasks.data.spool import area_of
from tasks.data.sql import write_version
from tasks.data.table import ANNOTATIONS, IMAGES, Meta

BOX_COLUMNS = ("x", "y", "w", "h", "iscrowd", "difficult", "source", "score", "uncertainty", "difficulty",
               "reviewed_by", "row", "truncation", "occlusion", "polygons", "keypoints", "track")
PICTURE_COLUMNS = ("file", "split", "group", "tags", "mask", "reference", "ignored", "frame", "time")


def round_trip(module: ModuleType, folder_in: Path, tmp_path: Path,
               only: str = "") -> tuple[list[Picture], list[Picture]]:
    """What `folder_in` says, and what it says after it was written and read again; both in the order of the pictures'
    bytes. Compare them by `plain`: names of files and rows may differ.

    Args:
        only: part of the path of the sources to read; all where it is empty.
    """
    made = exported(module, folder_in, tmp_path, only)
    before, _ = read_all(module, folder_in, only)
    after, _ = read_all(module, made.out)
    return _by_bytes(before, folder_in), _by_bytes(after, made.out)


def exported(module: ModuleType, folder_in: Path, tmp_path: Path, only: str = "") -> Export:
    """The folder `tmp_path/out` in the module's format, made of what `folder_in` says; `.losses` were counted."""
    pictures, into = read_all(module, folder_in, only)
    return export_of(module, pictures, into, folder_in, tmp_path)


def export_of(module: ModuleType, pictures: list[Picture], into: Reading, raw: Path, tmp_path: Path) -> Export:
    """The folder `tmp_path/out` in the module's format, made of these pictures, whose files are relative to `raw`."""
    out = tmp_path / "out"
    out.mkdir(parents=True)
    made = Export(make_table(pictures, into, raw, tmp_path / "table"), raw, out, _meta(pictures, into))
    module.write(made)
    return made


def read_all(module: ModuleType, root: Path, only: str = "") -> tuple[list[Picture], Reading]:
    """Every source of the module's format in `root`; boxes that came later are put to their pictures.

    Of a picture that comes twice the first counts, as in the builder.
    """
    index, into = FolderIndex(root), Reading()
    pictures: dict[str, tuple[int, Picture]] = {}
    for number, source in enumerate(source for source in module.find(index) if only in source.path.as_posix()):
        for item in module.read(index, source, into):
            if isinstance(item, Picture):
                pictures.setdefault(item.file, (number, item))
            elif pictures[item.file][0] == number:
                pictures[item.file][1].boxes.extend(item.boxes)
    return [picture for _, picture in pictures.values()], into


def plain(picture: Picture) -> dict[str, Any]:
    """A picture as a dictionary without what a round trip may change: names of files and of rows. Areas are as in
    the table: where none is given, that of the box."""
    # not `asdict`: it copies every point of every polygon
    told = {one.name: getattr(picture, one.name) for one in fields(picture)}
    for name in ("file", "row", "mask", "reference"):
        del told[name]
    return told | {"boxes": [_plain_box(box) for box in picture.boxes]}


def _plain_box(box: Box) -> dict[str, Any]:
    told = {one.name: getattr(box, one.name) for one in fields(box) if one.name != "row"}
    numbers = {name: told[name] for name in "xywh"} | {"area": area_of(box)}
    # NaN is not equal to itself
    return told | {name: None if math.isnan(value) else value for name, value in numbers.items()}


def make_table(pictures: list[Picture], into: Reading, raw: Path, folder: Path) -> Path:
    """The dataset folder of these pictures, as the builder would write it."""
    meta = _meta(pictures, into)
    ordered = sorted(pictures, key=lambda picture: picture.file)
    images = [_image(number, picture, raw, meta) for number, picture in enumerate(ordered)]
    boxes = [(owner, box) for owner, picture in enumerate(ordered) for box in picture.boxes if box.label]
    annotations = [_annotation(number, owner, box, meta) for number, (owner, box) in enumerate(boxes)]
    folder.mkdir(parents=True)
    rows = (pa.Table.from_pylist(annotations, ANNOTATIONS),)
    write_version(folder, [pa.Table.from_pylist(images, IMAGES)], rows, meta)
    return folder


def _meta(pictures: list[Picture], into: Reading) -> Meta:
    seen = {box.label for picture in pictures for box in picture.boxes if box.label}
    named = {name for picture in pictures for name in picture.labels or ()}
    problem: Any = into.problem or "detect"
    return Meta(name="trip", problem=problem, classes=sorted(into.labels | seen | named), keypoints=into.keypoints,
                attributes={"ids": into.ids, **into.attributes})


def _image(number: int, picture: Picture, raw: Path, meta: Meta) -> dict[str, Any]:
    measured = measure(raw / picture.file)
    labels = None if picture.labels is None else [meta.classes.index(name) for name in picture.labels]
    return {"image_id": number, "width": measured.width, "height": measured.height, "digest": measured.digest,
            "bytes": measured.bytes, "orientation": measured.orientation, "labels": labels,
            "attributes": _text(picture.attributes)} | {name: getattr(picture, name) for name in PICTURE_COLUMNS}


def _annotation(number: int, owner: int, box: Box, meta: Meta) -> dict[str, Any]:
    rle = None if box.rle is None else dict(zip(("h", "w", "counts"), box.rle, strict=True))
    return {"annotation_id": number, "image_id": owner, "class_id": meta.classes.index(box.label), "area": area_of(box),
            "rle": rle, "attributes": _text(box.attributes)} | {name: getattr(box, name) for name in BOX_COLUMNS}


def _text(attributes: dict[str, Any] | None) -> str | None:
    return json.dumps(attributes, sort_keys=True, ensure_ascii=False) if attributes else None


def _by_bytes(pictures: list[Picture], root: Path) -> list[Picture]:
    return sorted(pictures, key=lambda picture: (measure(root / picture.file).digest, picture.file))
