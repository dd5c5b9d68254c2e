"""Writing Ground Truth's augmented manifest: a line a picture, keys that came with it written again."""

from __future__ import annotations

import json
import math
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from tasks.data.formats._groundtruth_labels import CLASS, CLASSES, DETECTION, OWN, SEGMENTATION, SIDES, VERIFICATION
from tasks.data.formats._masks_folders import Below
from tasks.data.formats._superb_json import line, mapping
from tasks.data.rows import Row

if TYPE_CHECKING:
    from tasks.data.exporting import Export

CARRIES = frozenset({"split", "labels", "mask", "attributes", "score", "source", "reviewed_by"})
NEVER = "1970-01-01T00:00:00.000000"
JOB = "visionmill"
KIND_OF_PROBLEM = {"classify": CLASSES, "semantic": SEGMENTATION}


def write(export: Export) -> None:
    """`output.manifest`, or one manifest a split (`train.manifest`, …); pictures in `images/`, masks in `masks/`.

    The original `source-ref` stays where it is known: our own reading finds the picture by the end of it.
    """
    lines = Lines(export)
    with ExitStack() as stack:
        files: dict[str, BinaryIO] = {}
        for row in export.rows():
            name = f"{row.image['split'] or 'output'}.manifest"
            if name not in files:
                files[name] = stack.enter_context((export.out / name).open("wb"))
            files[name].write(line(lines.line(row)))


class Lines:
    """One export's lines; `kind` is the type of their labels."""

    def __init__(self, export: Export) -> None:
        self.export, self.classes = export, export.meta.classes
        self.kind = KIND_OF_PROBLEM.get(export.meta.problem, DETECTION)
        self.told = mapping(export.meta.attributes.get("groundtruth"))
        self.pictures, self.masks = Below(export, "images", "file"), Below(export, "masks", "mask")
        self.ids = _ids(self.classes, export.meta.attributes.get("ids"))

    def line(self, row: Row) -> dict[str, Any]:
        """The line of a picture, which is put in its place, and so is its mask."""
        told = _parsed(row.image)
        own = told.pop(OWN, {})
        reference = self._place(row.image)
        kept = told.pop("source-ref", None)
        made: dict[str, Any] = {"source-ref": kept if isinstance(kept, str) and _ends(kept, reference) else reference}
        if own is not None or row.boxes or row.image["labels"] is not None or row.image["mask"]:
            made |= self._label(row, mapping(own))
            made |= self._reviewed(row, told, made)
        return made | {key: value for key, value in told.items() if key not in made}

    def _label(self, row: Row, own: dict[str, Any]) -> dict[str, Any]:
        name = self._name(own)
        meta = {"creation-date": NEVER, "job-name": JOB, "human-annotated": "yes"} | mapping(own.get("metadata"))
        meta["type"] = self.kind
        if self.kind == DETECTION:
            value: Any = self._boxes(row, own, meta)
        elif self.kind == SEGMENTATION:
            value = self._mask(row, own)
            meta["internal-color-map"] = self._colours()
        else:
            value = self._classes(row.image["labels"] or [], own, meta)
        return {name: value, f"{name}-metadata": meta}

    def _boxes(self, row: Row, own: dict[str, Any], meta: dict[str, Any]) -> dict[str, Any]:
        sources = {box["source"] for box in row.boxes}
        machines = sorted(sources - {"human", "import"})
        if machines:
            meta |= {"human-annotated": "no", "job-name": machines[0].removeprefix("model:")}
            if len(sources) > 1:
                self.export.lose("sources of boxes: a picture has one", len(row.boxes))
        elif sources:
            meta["human-annotated"] = "yes"
        annotations = [self._box(box) for box in row.boxes]
        meta["objects"] = [self._object(box, bool(machines)) for box in row.boxes]
        meta["class-map"] = self._class_map()
        size = {"width": row.image["width"], "height": row.image["height"], "depth": own.get("depth", 3)}
        return mapping(own.get("value")) | {"image_size": [size], "annotations": annotations}

    def _classes(self, labels: list[int], own: dict[str, Any], meta: dict[str, Any]) -> Any:
        ids = [self.ids[self.classes[number]] for number in labels]
        if own.get("single") and len(ids) == 1:
            meta |= {"type": CLASS, "class-name": self.classes[labels[0]]}
            return ids[0]
        meta["class-map"] = self._class_map()
        return ids

    def _class_map(self) -> dict[str, str]:
        return {str(number): name for name, number in self.ids.items()}

    def _box(self, box: dict[str, Any]) -> dict[str, Any]:
        rest = {key: value for key, value in _parsed(box).items() if key not in ("confidence", "object")}
        sides = dict(zip(SIDES, (_whole(box[side]) for side in "xywh"), strict=True))
        if any(isinstance(value, float) and math.isfinite(value) for value in sides.values()):
            self.export.lose("fractions of pixels: Ground Truth's tools round them")
        return rest | {"class_id": self.ids[self.classes[box["class_id"]]]} | sides

    def _object(self, box: dict[str, Any], machine: bool) -> dict[str, Any]:
        told = _parsed(box)
        confidence = told.get("confidence", 0)
        if box["score"] is not None and machine:
            confidence = float(str(np.float32(box["score"])))
        elif box["score"] is not None:
            self.export.lose("scores of boxes that a person drew")
        return mapping(told.get("object")) | {"confidence": confidence}

    def _mask(self, row: Row, own: dict[str, Any]) -> str:
        mask = row.image["mask"]
        if not mask:
            return ""
        name = self.masks(mask)
        self.export.put(self.export.pictures / mask, name)
        kept = own.get("mask")
        return kept if isinstance(kept, str) and _ends(kept, name) else name

    def _colours(self) -> dict[str, dict[str, Any]]:
        known = mapping(self.told.get("color-map"))
        return {str(number): {"confidence": 0, "hex-color": f"#{number * 2654435761 & 0xFFFFFF:06x}"}
                | mapping(known.get(str(number))) | {"class-name": name} for name, number in self.ids.items()}

    def _name(self, own: dict[str, Any]) -> str:
        """The label's name as it was, else `labels`: that of a mask ends with `-ref`, no other does."""
        reference = self.kind == SEGMENTATION
        for name in (own.get("attribute"), self.told.get("attribute")):
            sound = isinstance(name, str) and name and name != "source" and not name.endswith("-metadata")
            if sound and str(name).endswith("-ref") == reference and name != "source-ref":
                return str(name)
        return "labels-ref" if reference else "labels"

    def _reviewed(self, row: Row, told: dict[str, Any], made: dict[str, Any]) -> dict[str, Any]:
        """A verification job's label where boxes are reviewed and the line brings none."""
        reviewers = sorted({box["reviewed_by"] for box in row.boxes if box["reviewed_by"]})
        known = [str(entry.get("job-name")) for entry in map(mapping, told.values())
                 if entry.get("type") == VERIFICATION]
        if len(reviewers) > 1 or (reviewers and not all(box["reviewed_by"] for box in row.boxes)) or (
                known and not set(reviewers) <= set(known)):
            self.export.lose("reviewers of boxes: a picture has one", len(row.boxes))
        if known or not reviewers:
            return {}
        name = f"verify-{next(key for key in made if key != 'source-ref')}"
        return {name: "0", f"{name}-metadata": {
            "class-name": "good", "confidence": 0, "type": VERIFICATION, "job-name": reviewers[0],
            "human-annotated": "yes", "creation-date": NEVER}}

    def _place(self, image: dict[str, Any]) -> str:
        name = self.pictures(str(image["file"]))
        self.export.place(image, name)
        return name


def _ids(classes: list[str], told: Any) -> dict[str, int]:
    """The classes' ids as they were where they serve still, else their places."""
    known = mapping(told)
    ids = [known.get(name) for name in classes]
    sound = all(isinstance(number, int) and number >= 0 for number in ids) and len(set(ids)) == len(ids)
    return {name: known[name] if sound else place for place, name in enumerate(classes)}


def _ends(reference: str, name: str) -> bool:
    """Whether the file `name` is found by the end of `reference`."""
    return reference.rpartition("/")[2] == name.rpartition("/")[2]


def _whole(value: float) -> float | int:
    return int(value) if math.isfinite(value) and value.is_integer() else value


def _parsed(row: dict[str, Any]) -> dict[str, Any]:
    return mapping(json.loads(row["attributes"])) if row["attributes"] else {}
