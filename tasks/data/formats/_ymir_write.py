"""Writing YMIR: `images/`, `gt/*.xml`, `labels.yaml`, and a table of both for each split."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

import numpy as np

from tasks.data.formats import _voc_write as voc
from tasks.data.formats._names import Names, counted_ids, hashed, refuse_other_problems
from tasks.data.formats._yaml import quoted

if TYPE_CHECKING:
    from tasks.data.exporting import Export

CARRIES = voc.CARRIES | {"tags", "score"}


def write(export: Export) -> None:
    """One VOC file a picture, with YMIR's additions.

    Raises:
        DataError: the labels are no boxes.
    """
    refuse_other_problems(export, "YMIR")
    names = Names(export, within="true")
    (export.out / "gt").mkdir()
    with ExitStack() as stack:
        tables: dict[str | None, IO[str]] = {}
        for row in export.rows():
            name, split = PurePosixPath(names(row.image)), row.image["split"]
            if voc.FRAGILE.search(name.stem):
                name = PurePosixPath(hashed(row.image))
            root = _annotation(name.name, row.image, row.boxes, export)
            ElementTree(root).write(export.out / "gt" / f"{name.stem}.xml", encoding="utf-8")
            export.place(row.image, f"images/{name}")
            if split not in tables:
                path = export.out / (f"{split}-index.tsv" if split else "index.tsv")
                tables[split] = stack.enter_context(path.open("w", encoding="utf-8"))
            tables[split].write(f"images/{name}\tgt/{name.stem}.xml\n")
    (export.out / "labels.yaml").write_text(_labels(export), encoding="utf-8")


def _annotation(name: str, image: dict[str, Any], boxes: list[dict[str, Any]], export: Export) -> Element:
    extras = [_extras(box) for box in boxes]
    plain = [box | {"attributes": json.dumps(said) if said else None}
             for box, (said, _, _) in zip(boxes, extras, strict=True)]
    root = voc._annotation(name, image, plain, export)
    if image["tags"]:
        _add_tags(SubElement(root, "cks"), [tuple(tag.partition(":")[::2]) for tag in image["tags"]], export)
    for item, (_, tags, angle) in zip(root.iter("object"), extras, strict=True):
        corners = item.find("bndbox")
        if angle is not None and corners is not None:
            SubElement(corners, "rotate_angle").text = angle
        if tags:
            _add_tags(SubElement(item, "tags"), list(tags.items()), export)
    indent(root, "\t")
    return root


def _extras(box: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str], str | None]:
    """A box's attributes without its tags and its angle, and these."""
    said: dict[str, Any] = json.loads(box["attributes"]) if box["attributes"] else {}
    tags, angle = said.get("tags"), said.get("rotate_angle")
    ours = isinstance(tags, dict) and all(isinstance(value, str) for value in tags.values())
    if box["score"] is not None:
        said["confidence"] = str(np.float32(box["score"]))
    told = isinstance(angle, str | int | float)
    drop = {name for name, known in (("tags", ours), ("rotate_angle", told)) if known}
    return ({name: value for name, value in said.items() if name not in drop}, tags if isinstance(tags, dict) and ours
            else {}, str(angle) if told else None)


def _add_tags(element: Element, tags: list[tuple[str, ...]], export: Export) -> None:
    for name, value in tags:
        if voc.TAG.fullmatch(name):
            SubElement(element, name).text = voc._text(value, export) or None
        else:
            export.lose("tags that cannot be names in XML")


def _labels(export: Export) -> str:
    given = export.meta.attributes.get("ymir")
    said = given.get("aliases") if isinstance(given, dict) else None
    aliases: dict[str, Any] = said if isinstance(said, dict) else {}
    lines = ["labels:"] if export.meta.classes else ["labels: []"]
    for number, name in sorted(zip(counted_ids(export), export.meta.classes, strict=True)):
        lines += [f"- id: {number}", f"  name: {quoted(name)}", f"  aliases: {quoted(aliases.get(name, []))}"]
    return "\n".join(lines) + "\n"
