"""One `object` of a Pascal VOC file."""

from __future__ import annotations

import re
from typing import Any
from xml.etree.ElementTree import Element

from tasks.data.formats._coco_masks import area_inside, sound_polygons
from tasks.data.formats.record import Box, Pixels, number

PICTURE_TAGS = frozenset({"folder", "filename", "path", "source", "owner", "size", "segmented", "object"})
BOX_TAGS = frozenset({"name", "bndbox", "difficult", "truncated", "occluded", "polygon"})
POINT = re.compile(r"[xy]([0-9]{1,9})")


def box_of(item: Element, row: str, pixels: Pixels) -> tuple[Box, str | None]:
    """The object's box, and what is wrong with those of its polygons that were left out.

    Args:
        pixels: `corners`, coordinates are continuous; `inclusive`, pixels are counted from 1 to the last.
    """
    shift = 1 if pixels == "inclusive" else 0
    left, top, right, bottom = (number(item.findtext(f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax"))
    left, top = left - shift, top - shift
    label, difficult = (item.findtext("name") or "").strip(), (item.findtext("difficult") or "0").strip() == "1"
    box = Box(label, left, top, right - left, bottom - top, row, difficult=difficult,
              attributes=texts_of(item, BOX_TAGS))
    _add_flags(box, item)
    box.polygons, flaw = sound_polygons(_points(part, shift) for part in item.findall("polygon"))
    box.area = sum(map(area_inside, box.polygons)) if box.polygons else None
    return box, flaw


def texts_of(element: Element, known: frozenset[str]) -> dict[str, Any] | None:
    """Children that hold nothing but text, by their tag; several of one tag as a list. None where there are none."""
    found: dict[str, Any] = {}
    for child in element:
        if isinstance(child.tag, str) and child.tag not in known and not len(child):
            text = (child.text or "").strip()
            before = found.get(child.tag)
            found[child.tag] = text if before is None else [*(before if isinstance(before, list) else [before]), text]
    return found or None


def _add_flags(box: Box, item: Element) -> None:
    """`truncated` is 0 or 1, or a share; `occluded` is 0 or 1, or a level up to 3; anything else is an attribute."""
    for tag, column in (("truncated", "truncation"), ("occluded", "occlusion")):
        text = item.findtext(tag)
        value = number(text)
        if column == "truncation" and 0 <= value <= 1:
            box.truncation = value
        elif column == "occlusion" and value in (0, 1, 2, 3):
            box.occlusion = int(value)
        elif text is not None:
            box.attributes = (box.attributes or {}) | {tag: text.strip()}


def _points(element: Element, shift: int) -> list[float]:
    """x1, y1, x2, y2, … in the order of their numbers."""
    places = [(int(found[1]), child) for child in element
              if isinstance(child.tag, str) and (found := POINT.fullmatch(child.tag))]
    return [number(child.text) - shift for _, child in sorted(places, key=lambda place: (place[0], place[1].tag))]
