"""The labels of one line of a Ground Truth manifest."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tasks.base.errors import DataError
from tasks.data.formats._superb_json import mapping, objects
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, Note, Picture, Reading, Source, number

DETECTION, SEGMENTATION = "groundtruth/object-detection", "groundtruth/semantic-segmentation"
CLASS, CLASSES = "groundtruth/image-classification", "groundtruth/image-classification-multilabel"
VERIFICATION = "groundtruth/label-verification"
SIDES = ("left", "top", "width", "height")
# kept under this name: the job whose labels are in the columns
OWN = "ground-truth"


@dataclass
class Labels:
    """One manifest while it is read.

    Attributes:
        kinds: types of the labels that were used.
        maps: class id → name as each label attribute has said so far.
    """

    index: FolderIndex
    source: Source
    into: Reading
    here: str
    kinds: set[str] = field(default_factory=set)
    maps: dict[str, dict[str, str]] = field(default_factory=dict)

    def note(self, kind: str, picture: Picture, place: str, detail: str) -> None:
        """Takes a note on a picture's line, or on a place in it."""
        line = picture.row.rpartition("#")[2]
        self.into.notes.append(Note(kind, self.here, f"{line}{place}", detail, picture.file))

    def names(self, attribute: str, told: dict[str, str]) -> None:
        """Takes the classes that a label declares."""
        known = self.maps.setdefault(attribute, {})
        for key, name in told.items():
            known.setdefault(key, name)
            if name:
                self.into.labels.add(name)
                if key.isdecimal() and len(key) < 10:
                    self.into.ids.setdefault(name, int(key))

    def finish(self) -> None:
        """Says what the labels were for, when all lines are read."""
        if DETECTION not in self.kinds and self.kinds:
            self.into.problem = "semantic" if SEGMENTATION in self.kinds else "classify"


def choose(line: dict[str, Any]) -> str | None:
    """The label attribute of a line that goes into columns; None where none is there."""
    for kinds in ((DETECTION,), (SEGMENTATION,), (CLASS, CLASSES)):
        named = [name for name in line if kind_of(line, name) in kinds]
        latest = [name for name in named if f"adjusted-{name}" not in named]
        if latest:
            return max(latest, key=lambda name: (_date(line, name), "adjustment-status" in _meta(line, name), name))
    return None


def kind_of(line: dict[str, Any], name: str) -> str | None:
    """The type that a label attribute's metadata state."""
    kind = _meta(line, name).get("type")
    if isinstance(kind, str):
        return kind
    return DETECTION if "annotations" in mapping(line[name]) else None


def fill(picture: Picture, line: dict[str, Any], chosen: str | None, labels: Labels,
         locate: Callable[[str], str | None]) -> None:
    """Put the chosen label into the picture's columns, and everything else into its attributes."""
    rest = {key: value for key, value in line.items() if key not in (chosen, f"{chosen}-metadata")}
    picture.attributes = rest | {OWN: None}
    if chosen is None:
        failed = [entry["failure-reason"] for entry in map(mapping, line.values()) if "failure-reason" in entry]
        labels.note("unannotated", picture, "", f"the job failed: {failed[0]}" if failed else "it has no label yet")
        return
    kind, meta = str(kind_of(line, chosen)), dict(_meta(line, chosen))
    labels.kinds.add(kind)
    labels.into.attributes.setdefault("groundtruth", {}).setdefault("attribute", chosen)
    kept: dict[str, Any] = {"attribute": chosen}
    if kind == DETECTION:
        kept |= _detection(picture, line[chosen], meta, chosen, labels)
        _conflicts(picture, line, chosen, labels)
        _verification(picture, line, chosen)
    elif kind == SEGMENTATION:
        kept |= _segmentation(picture, line[chosen], meta, chosen, labels, locate)
    else:
        _classification(picture, line[chosen], meta, chosen, labels, kind)
        kept |= {"single": True} if kind == CLASS else {}
    meta.pop("type", None)
    picture.attributes[OWN] = kept | ({"metadata": meta} if meta else {})


def _detection(picture: Picture, value: Any, meta: dict[str, Any], chosen: str, labels: Labels) -> dict[str, Any]:
    annotations = mapping(value).get("annotations")
    if not isinstance(annotations, list):
        raise DataError(f"{chosen!r} is of object detection: expected an object with a list 'annotations'",
                        where=picture.row, mend="mend or remove that line")
    size = next(iter(objects(value.get("image_size"))), {})
    if {"width", "height"} <= size.keys():
        picture.declared = number(size["width"]), number(size["height"])
    names = _class_map(meta.pop("class-map", None))
    labels.names(chosen, names)
    given = meta.pop("objects", None)
    told = [mapping(entry) for entry in given] if isinstance(given, list) else []
    human = meta.get("human-annotated") != "no"
    source = "human" if human else f"model:{meta.get('job-name')}"
    for place, entry in enumerate(map(mapping, annotations)):
        name = names.get(_key(entry.get("class_id")))
        if name is None:
            detail = f"class_id {entry.get('class_id')!r} is not in the class-map of {chosen!r}"
            labels.note("dangling", picture, f", box {place}", detail)
            continue
        more = told[place] if place < len(told) else {}
        picture.boxes.append(_box(entry, more, name, f"{picture.row}, box {place}", human, source))
    rest = {key: part for key, part in value.items() if key not in ("annotations", "image_size")}
    depth = {"depth": size["depth"]} if size.get("depth", 3) != 3 else {}
    return depth | ({"value": rest} if rest else {})


def _box(entry: dict[str, Any], told: dict[str, Any], name: str, row: str, human: bool, source: str) -> Box:
    x, y, w, h = (number(entry.get(key)) for key in SIDES)
    box = Box(name, x, y, w, h, row, source=source)
    rest = {key: value for key, value in entry.items() if key not in (*SIDES, "class_id")}
    more = {key: value for key, value in told.items() if key != "confidence"}
    confidence = told.get("confidence", 0)
    # a person's confidence says how alike several workers drew, and is 0 for a single one
    if not human and math.isfinite(number(confidence)):
        box.score = number(confidence)
    elif human and confidence == 0:
        confidence = None
    if box.score is None and confidence is not None:
        rest["confidence"] = confidence
    box.attributes = rest | ({"object": more} if more else {}) or None
    return box


def _conflicts(picture: Picture, line: dict[str, Any], chosen: str, labels: Labels) -> None:
    mine = labels.maps[chosen]
    for name in line:
        if name == chosen or kind_of(line, name) != DETECTION or name in labels.maps:
            continue
        theirs = labels.maps[name] = _class_map(_meta(line, name).get("class-map"))
        differ = sorted(key for key in mine.keys() & theirs.keys() if mine[key] != theirs[key])
        if differ:
            detail = (f"{chosen!r} counts; in {name!r} class {differ[0]} is {theirs[differ[0]]!r}, "
                      f"not {mine[differ[0]]!r}")
            labels.note("duplicate_id", picture, "", detail)


def _verification(picture: Picture, line: dict[str, Any], chosen: str) -> None:
    """Boxes that a job verified are reviewed by it, whatever it found; the verdict stays in the attributes."""
    others = {f"verify-{name}" for name in line if name != chosen}
    named = [name for name in line if kind_of(line, name) == VERIFICATION and name not in others]
    if named:
        last = max(named, key=lambda name: (_date(line, name), name))
        job = _meta(line, last).get("job-name")
        for box in picture.boxes:
            box.reviewed_by = str(job or last)


def _segmentation(picture: Picture, value: Any, meta: dict[str, Any], chosen: str, labels: Labels,
                  locate: Callable[[str], str | None]) -> dict[str, Any]:
    colours = {str(key): mapping(entry) for key, entry in mapping(meta.pop("internal-color-map", None)).items()}
    labels.names(chosen, {key: _name(entry.get("class-name")) for key, entry in colours.items()})
    picture.mask = locate(value) if isinstance(value, str) else None
    if picture.mask is None:
        labels.note("bad_mask", picture, "", f"there is no mask {value!r}")
    known = labels.into.attributes["groundtruth"].setdefault("color-map", {})
    for key, entry in colours.items():
        known.setdefault(key, {name: part for name, part in entry.items() if name != "class-name"})
    return {"mask": value}


def _classification(picture: Picture, value: Any, meta: dict[str, Any], chosen: str, labels: Labels,
                    kind: str) -> None:
    if kind == CLASS:
        names, keys = {_key(value): _name(meta.pop("class-name", None))}, [_key(value)]
    else:
        names = _class_map(meta.pop("class-map", None))
        keys = [_key(part) for part in value] if isinstance(value, list) else ["?"]
    labels.names(chosen, names)
    picture.labels = sorted({names[key] for key in keys if names.get(key)})
    for key in sorted(set(keys)):
        if not names.get(key):
            labels.note("dangling", picture, "", f"class {key} of {chosen!r} has no name")


def _class_map(value: Any) -> dict[str, str]:
    return {str(key): _name(name) for key, name in mapping(value).items()}


def _key(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value).strip()


def _name(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _meta(line: dict[str, Any], name: str) -> dict[str, Any]:
    return mapping(line.get(f"{name}-metadata"))


def _date(line: dict[str, Any], name: str) -> str:
    return str(_meta(line, name).get("creation-date", ""))
