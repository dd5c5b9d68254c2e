"""What YMIR adds to Pascal VOC: tags of pictures (`cks`) and of boxes, angles, scores."""

from __future__ import annotations

import math
from xml.etree.ElementTree import Element

import defusedxml.ElementTree as SafeXml

from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, Picture, number

MARKS = (b"<cks", b"<tags", b"<rotate_angle", b"<confidence")


def add_extras(index: FolderIndex, picture: Picture) -> Picture:
    """A picture of the VOC reader, with what its file says beyond VOC. `cks` become tags `name:value`."""
    content = (index.root / picture.row).read_bytes()
    if not any(mark in content for mark in MARKS):
        return picture
    root = SafeXml.fromstring(content, forbid_dtd=True)
    said = root.find("cks")
    picture.tags = list(dict.fromkeys(_tag(child) for child in said)) if said is not None and len(said) else None
    picture.attributes = _without(picture.attributes, "cks")
    for item, box in zip(root.iter("object"), picture.boxes, strict=True):
        _add_to_box(box, item)
    return picture


def _add_to_box(box: Box, item: Element) -> None:
    said = _without(box.attributes, "tags") or {}
    tags, angle = item.find("tags"), item.findtext("bndbox/rotate_angle")
    if tags is not None and len(tags):
        said["tags"] = {child.tag: (child.text or "").strip() for child in tags}
    if angle is not None:
        said["rotate_angle"] = angle.strip()
    # -1 stands for none
    if math.isfinite(score := number(said.get("confidence"))) and score >= 0:
        box.score = score
        del said["confidence"]
    box.attributes = said or None


def _tag(child: Element) -> str:
    text = (child.text or "").strip()
    return f"{child.tag}:{text}" if text else child.tag


def _without(attributes: dict[str, object] | None, name: str) -> dict[str, object] | None:
    return {key: value for key, value in (attributes or {}).items() if key != name} or None
