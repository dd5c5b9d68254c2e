"""Writing Pascal VOC: `Annotations/*.xml`, `JPEGImages/`, and a list a split in `ImageSets/Main`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from tasks.data.formats._coco_masks import area_inside
from tasks.data.formats._names import Names, refuse_other_problems
from tasks.data.formats._voc_object import BOX_TAGS, PICTURE_TAGS

if TYPE_CHECKING:
    from tasks.data.exporting import Export

CARRIES = frozenset({"split", "difficult", "truncation", "occlusion", "polygons", "attributes"})
TAG = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
# characters that XML 1.0 has no way to write
UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# in a list of stems, and as XML text, these would not come back
FRAGILE = re.compile(r"^\s|\s$|[\x00-\x1f\ufffe\uffff]")


def write(export: Export) -> None:
    """One XML file a picture, corners as continuous coordinates: `xmax = x + w`.

    Whole numbers have no point, others as many digits as tell them from every other number.
    """
    refuse_other_problems(export, "Pascal VOC")
    names = Names(export, within="1")
    (export.out / "Annotations").mkdir()
    with ExitStack() as stack:
        lists: dict[str, IO[str]] = {}
        for row in export.rows():
            name = PurePosixPath(names(row.image))
            if FRAGILE.search(name.stem):
                name = PurePosixPath(row.image["digest"] + name.suffix)
            root = _annotation(name.name, row.image, row.boxes, export)
            ElementTree(root).write(export.out / "Annotations" / f"{name.stem}.xml", encoding="utf-8")
            export.place(row.image, f"JPEGImages/{name}")
            if split := row.image["split"]:
                if split not in lists:
                    lists[split] = stack.enter_context(_list(export, split))
                lists[split].write(f"{name.stem}\n")


def _list(export: Export, split: str) -> IO[str]:
    path = export.out / "ImageSets" / "Main" / f"{re.sub(r'[^0-9A-Za-z]+', '_', split)}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("w", encoding="utf-8")


def _annotation(name: str, image: Mapping[str, Any], boxes: list[dict[str, Any]], export: Export) -> Element:
    root = Element("annotation")
    SubElement(root, "folder").text = "JPEGImages"
    SubElement(root, "filename").text = name
    size = SubElement(root, "size")
    for tag, value in (("width", image["width"]), ("height", image["height"]), ("depth", 3)):
        SubElement(size, tag).text = str(value)
    SubElement(root, "segmented").text = str(int(any(box["polygons"] for box in boxes)))
    _add_texts(root, image["attributes"], PICTURE_TAGS, export)
    for box in boxes:
        _add_object(root, box, export)
    indent(root, "\t")
    return root


def _add_object(root: Element, box: Mapping[str, Any], export: Export) -> None:
    item = SubElement(root, "object")
    SubElement(item, "name").text = _text(export.meta.classes[box["class_id"]], export)
    _add_texts(item, box["attributes"], BOX_TAGS - _flags(box), export)
    if box["truncation"] is not None:
        SubElement(item, "truncated").text = str(int(box["truncation"] > 0.5))
        export.lose("truncation as a share", int(box["truncation"] not in (0, 1)))
    if box["occlusion"] is not None:
        SubElement(item, "occluded").text = str(int(box["occlusion"] > 0))
        export.lose("occlusion as a level", int(box["occlusion"] > 1))
    SubElement(item, "difficult").text = str(int(box["difficult"]))
    corners = SubElement(item, "bndbox")
    for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), corners_of(box), strict=True):
        SubElement(corners, tag).text = digits(value)
    polygons = box["polygons"] or ()
    area = sum(map(area_inside, polygons)) if polygons else box["w"] * box["h"]
    export.lose("areas other than their outline's", int(not math.isclose(area, box["area"]) and area == area))
    for points in polygons:
        polygon = SubElement(item, "polygon")
        for place, value in enumerate(points):
            SubElement(polygon, f"{'xy'[place % 2]}{place // 2 + 1}").text = digits(value)


def corners_of(box: Mapping[str, Any]) -> tuple[float, float, float, float]:
    x, y = box["x"], box["y"]
    return x, y, far_end(x, box["w"]), far_end(y, box["h"])


def far_end(start: float, length: float) -> float:
    """`start + length` by the shortest number from which `start` leaves exactly `length`, where there is one."""
    end = start + length
    return next((short for places in range(17) if (short := round(end, places)) - start == length), end)


def digits(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1 << 53 else repr(value)


def _flags(box: Mapping[str, Any]) -> frozenset[str]:
    """Flags that no column says: what an attribute of their name holds is written."""
    columns = {"truncated": "truncation", "occluded": "occlusion"}
    return frozenset(tag for tag, column in columns.items() if box[column] is None)


def _add_texts(element: Element, attributes: str | None, taken: frozenset[str], export: Export) -> None:
    for tag, value in (json.loads(attributes) if attributes else {}).items():
        values = value if isinstance(value, list) and value else [value]
        plain = all(isinstance(item, str | int | float) for item in values)
        if tag in taken or not TAG.fullmatch(tag) or not plain:
            export.lose("attributes that are no plain text")
            continue
        for item in values:
            SubElement(element, tag).text = _text(str(item), export)


def _text(value: str, export: Export) -> str:
    text = UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", value)
    export.lose("characters that XML cannot hold", int(text != value))
    return text
