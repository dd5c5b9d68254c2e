"""CVAT 1.1: one XML file of `<image>` elements, read one at a time, or of a film's `<track>` elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import IO
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree as SafeXml
import numpy as np
from defusedxml.common import DefusedXmlException

from tasks.base.errors import DataError
from tasks.data.formats._others_cvat_film import Film
from tasks.data.formats._superb_shapes import enclosing, enclosing_rotated
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, Note, Picture, Reading, number, safe_name, split_in_name
from tasks.data.pictures import MAX_PIXELS
from tasks.data.runs import encode

SUFFIX, SIGN = ".xml", b"<annotations"
PEEKED = 4096
KNOWN = frozenset({"label", "occluded", "source", "xtl", "ytl", "xbr", "ybr", "points", "rotation", "rle", "left",
                   "top", "width", "height"})


def read(index: FolderIndex, here: str, into: Reading) -> Iterator[Picture]:
    """The pictures of one file.

    Raises:
        DataError: it is malformed, hostile (entities), has tracks beside pictures, or names a picture outside the
            folder.
    """
    try:
        with (index.root / here).open("rb") as file:
            yield from _pictures(index, here, file, into)
    except DefusedXmlException as error:
        reason = type(error).__name__.replace("Forbidden", "")
        raise DataError(f"refused XML with a document type or entities ({reason})", where=here,
                        mend="remove the <!DOCTYPE …> and what it declares") from None
    except (ParseError, ValueError, LookupError, RecursionError) as error:
        raise DataError(f"not XML of CVAT: {error}", where=here, mend="export it again") from None


def _pictures(index: FolderIndex, here: str, file: IO[bytes], into: Reading) -> Iterator[Picture]:
    root: Element | None = None
    film, shown = Film(index, here, into, lambda item, row, size: _shape(item, row, size, into)), False
    for event, element in SafeXml.iterparse(file, events=("start", "end"), forbid_dtd=True):
        if root is None:
            root = element
            if root.tag != "annotations":
                raise DataError(f"not CVAT's XML: expected <annotations>, found <{root.tag}>", where=here,
                                mend="export the task as 'CVAT for images'")
        elif event == "end" and element.tag == "label":
            if name := (element.findtext("name") or "").strip():
                into.labels.add(name)
        elif event == "end" and element.tag in ("source", "original_size"):
            film.learn(element)
        elif event == "end" and element.tag in ("track", "image"):
            shown = shown or element.tag == "image"
            if shown and (film.tracks or element.tag == "track"):
                raise DataError("films are not read beside pictures: <track> and <image> are in one file", where=here,
                                mend="export the task as 'CVAT for images', or as 'CVAT for video'")
            if element.tag == "track":
                film.track(element)
            else:
                yield from _picture(index, here, element, into)
            root.clear()
    yield from film.pictures()


def _picture(index: FolderIndex, here: str, element: Element, into: Reading) -> Iterator[Picture]:
    row = f"{here}#image {element.get('id', '?')}"
    name = safe_name(element.get("name") or "", row)
    subset = element.get("subset")
    split = split_in_name(PurePosixPath(subset)) if subset else split_in_name(PurePosixPath(name).parent)
    file = index.find(name, PurePosixPath(here).parent, split, row)
    if file is None:
        into.notes.append(Note("missing_picture", here, row.rpartition("#")[2], f"there is no picture {name!r}"))
        return
    width, height = number(element.get("width")), number(element.get("height"))
    picture = Picture(file, split, (width, height) if "width" in element.attrib else None, row)
    for place, item in enumerate(element):
        if item.tag == "tag":
            picture.labels = sorted({*(picture.labels or ()), _label(item)})
            continue
        box = _shape(item, f"{row}, shape {place}", (width, height), into)
        if isinstance(box, str):
            into.notes.append(Note("bad_mask", here, f"{row.rpartition('#')[2]}, shape {place}", box, file))
        else:
            picture.boxes.append(box)
    if picture.labels is not None and into.problem is None and not picture.boxes:
        into.problem = "classify"
    yield picture


def _shape(item: Element, row: str, size: tuple[float, float], into: Reading) -> Box | str:
    box = _box(item, row, size)
    if isinstance(box, Box) and (box.polygons or box.rle):
        into.problem = "segment"
    return box


def _box(item: Element, row: str, size: tuple[float, float]) -> Box | str:
    """One shape; the reason where it is none that is read."""
    draw = SHAPES.get(item.tag)
    if draw is None:
        return f"a {item.tag} is not read: a box, polygon, mask or points are"
    box = Box(_label(item), *enclosing([]), row)
    flaw = draw(item, box, size)
    box.occlusion = {"0": 0, "1": 1}.get(item.get("occluded", ""))
    source = item.get("source")
    box.source = "human" if source == "manual" else "import"
    told = {key: value for key, value in item.attrib.items() if key not in KNOWN}
    told |= {part.get("name", "?"): part.text or "" for part in item.findall("attribute")}
    if source not in (None, "manual"):
        told["source"] = source
    if told.get("z_order") == "0":
        del told["z_order"]
    box.attributes = (box.attributes or {}) | told or None
    return flaw or box


def _rectangle(item: Element, box: Box, size: tuple[float, float]) -> None:
    left, top, right, bottom = (number(item.get(key)) for key in ("xtl", "ytl", "xbr", "ybr"))
    box.x, box.y, box.w, box.h = left, top, right - left, bottom - top
    angle = number(item.get("rotation", "0"))
    if angle:
        turned = {"cx": left + box.w / 2, "cy": top + box.h / 2, "width": box.w, "height": box.h, "angle": angle}
        box.x, box.y, box.w, box.h = enclosing_rotated(turned)
        box.attributes = {"rotation": item.get("rotation"), "rbox": turned} if math.isfinite(angle) else None


def _polygon(item: Element, box: Box, size: tuple[float, float]) -> str | None:
    flat = _points(item)
    if len(flat) < 6 or not all(map(math.isfinite, flat)):
        return f"a polygon of {len(flat) // 2} points, or with one that is no number"
    box.polygons = [flat]
    box.x, box.y, box.w, box.h = enclosing([flat])
    return None


def _keypoints(item: Element, box: Box, size: tuple[float, float]) -> None:
    flat = _points(item)
    box.keypoints = [value for x, y in zip(flat[::2], flat[1::2], strict=True) for value in (x, y, 2.0)]
    box.x, box.y, box.w, box.h = enclosing([flat] if flat else [])


def _mask(item: Element, box: Box, size: tuple[float, float]) -> str | None:
    """Runs along the rows of a window, the first of them background."""
    left, top, width, height = (number(item.get(key)) for key in ("left", "top", "width", "height"))
    runs = [number(part) for part in (item.get("rle") or "").split(",")]
    numbers = (left, top, width, height, *size, *runs)
    if not all(math.isfinite(value) and value.is_integer() and value >= 0 for value in numbers):
        return "a mask whose runs or window are no whole numbers"
    outside = left + width > size[0] or top + height > size[1]
    if outside or size[0] * size[1] > MAX_PIXELS or sum(runs) != width * height:
        return "a mask whose runs do not fill its window, or that lies outside its picture"
    pixels = np.zeros((int(size[1]), int(size[0])), bool)
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, np.array(runs, np.int64)).reshape(int(height), int(width))
    pixels[int(top):int(top + height), int(left):int(left + width)] = inside
    rle = encode(pixels)
    box.rle, box.area = (rle["h"], rle["w"], rle["counts"]), float(np.count_nonzero(inside))
    box.x, box.y, box.w, box.h = left, top, width, height
    return None


SHAPES: dict[str, Callable[[Element, Box, tuple[float, float]], str | None]] = {
    "box": _rectangle, "polygon": _polygon, "points": _keypoints, "mask": _mask}


def _label(item: Element) -> str:
    return (item.get("label") or "").strip()


def _points(item: Element) -> list[float]:
    """`x1,y1;x2,y2` as a flat list."""
    pairs = [pair.split(",") for pair in (item.get("points") or "").split(";") if pair.strip()]
    return [number(part) for pair in pairs for part in (*pair[:2], *["?"] * (2 - len(pair)))]
