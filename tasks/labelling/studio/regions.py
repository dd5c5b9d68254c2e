"""Boxes as regions of Label Studio and back, by the reader and the writer of its export format."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from tasks.data.formats._labelstudio_regions import kind_of, names_in, read_results
from tasks.data.formats._labelstudio_shapes import regions_of
from tasks.data.formats.record import number
from tasks.labelling.studio.questions import asked_of_box

# the writer's name of a region, which people's changes keep
OURS = re.compile(r"a(\d{1,15})")
TAKEN = ("rectangle", "polygon")
# how much the shape of a picture may differ from ours before its shares mean other pixels
SHAPE = 0.01
UNUSED = ("attributes", "score", "uncertainty", "difficulty", "reviewed_by", "truncation", "occlusion", "keypoints",
          "rle")


def results_of(boxes: Sequence[Mapping[str, Any]], size: tuple[int, int], classes: list[str]) -> list[dict[str, Any]]:
    """The regions of a picture's boxes, each with its score, named by its annotation_id; one in question says so.

    Args:
        boxes: rows of the table of annotations; size: width and height in pixels.
    """
    into = SimpleNamespace(meta=SimpleNamespace(classes=classes, keypoints={}), lose=lambda what, count=1: None)
    found = []
    for box in boxes:
        # what a box carries beside stays in the version: it is found again by the region's name
        plain = dict(box) | dict.fromkeys(UNUSED) | {"iscrowd": False, "difficult": False, "source": "import",
                                                     "row": f"annotation {box['annotation_id']}"}
        parts = list(regions_of(plain, size, cast(Any, into)))
        for part in parts:
            part.get("meta", {}).pop("source", None)
        if asked := asked_of_box(box.get("attributes")):
            # Label Studio shows it beside the region that is chosen
            parts[0].setdefault("meta", {})["text"] = [asked]
        if box.get("score") is not None:
            parts[0]["score"] = round(float(box["score"]), 4)
        found += parts
    return found


@dataclass
class Read:
    """One annotation: a row a box, to which pre-label each goes back, and why something cannot be taken."""

    boxes: list[dict[str, Any]] = field(default_factory=list)
    before: list[int | None] = field(default_factory=list)
    flaws: list[str] = field(default_factory=list)


def read_annotation(results: Any, size: tuple[int, int]) -> Read:
    """The boxes of one annotation; `label` of each row is the class's name. They may reach over the edge or have no
    area: whoever makes labels of them clips or leaves them out, for all desks alike.

    Args:
        size: the picture's, as we know it: Label Studio's coordinates are shares of it.
    """
    read = Read()
    if not isinstance(results, list) or not all(isinstance(one, dict) for one in results):
        read.flaws.append("its result is no list of objects")
        return read
    for place, (name, group) in enumerate(_regions(results)):
        if flaw := next((told for one in group if (told := _flaw(one, size))), None):
            read.flaws.append(f"region {place + 1}: {flaw}")
            continue
        found = read_results([_sized(one, size) for one in group], size, "", {})
        read.flaws += [f"region {place + 1}: {reason}" for _, reason in found.flaws]
        for box in found.boxes:
            ours = OURS.fullmatch(name)
            read.before.append(int(ours[1]) if ours else None)
            read.boxes.append({"label": box.label, "x": box.x, "y": box.y, "w": box.w, "h": box.h,
                               "polygons": box.polygons})
    return read


def _regions(results: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Results in groups: a region with the parts of it that name it as their parent."""
    groups: dict[str, list[dict[str, Any]]] = {}
    known = {str(one.get("id")) for one in results if one.get("id")}
    for place, one in enumerate(results):
        name = str(one.get("id") or f"#{place}")
        meta = one.get("meta")
        parent = str(one.get("parentID") or "") if isinstance(meta, dict) and meta.get("part") is True else ""
        groups.setdefault(parent if parent in known else name, []).append(one)
    return list(groups.items())


def _flaw(result: dict[str, Any], size: tuple[int, int]) -> str | None:
    """Why a region cannot become a box of ours."""
    kind, value = kind_of(result), result.get("value")
    if kind not in TAKEN or not isinstance(value, dict):
        return f"{str(result.get('type'))[:40]!r} is no box and no polygon"
    turn, view = number(value.get("rotation", 0)), number(result.get("image_rotation", 0) or 0)
    if turn % 360 != 0:
        return f"a box that is turned by {turn:g}°; boxes stand upright here: turn it back, or draw a polygon"
    if view % 360 != 0:
        return f"the picture was turned by {view:g}° when it was drawn; turn the picture back and draw it again"
    width, height = (number(result.get(f"original_{side}", known)) for side, known in
                     zip(("width", "height"), size, strict=True))
    if not abs(width * size[1] - height * size[0]) <= SHAPE * width * size[1]:
        return f"it was drawn on a picture of {width:g} x {height:g} pixels, this one has {size[0]} x {size[1]}"
    names = names_in(result)
    if len(names) != 1 or not names[0]:
        return "it has no class" if not any(names) else f"it has {len(names)} classes"
    return None


def _sized(result: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    return result | {"original_width": size[0], "original_height": size[1]}
