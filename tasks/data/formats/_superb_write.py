"""Writing Superb AI Suite's export, version 0.4: the same ids for the same names, kept ones where they are known."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import numpy as np

from tasks.base.errors import DataError
from tasks.data.formats._superb_film_write import FILM, is_film, lose_film, write_films
from tasks.data.formats._superb_json import mapping, save
from tasks.data.formats._superb_project import NewProject
from tasks.data.formats._superb_schema import NAMESPACE
from tasks.data.formats._superb_shapes import BOX_KEYS, Rings, draw, enclosing, enclosing_rotated, points
from tasks.data.formats.record import safe_name, split_in_name
from tasks.data.pictures import SUFFIXES

if TYPE_CHECKING:
    from tasks.data.exporting import Export

CARRIES = frozenset({"split", "tags", "labels", "attributes", "polygons", "rle", "keypoints", "uncertainty",
                     "difficulty", *(name for _, name in FILM)})
ID = re.compile(r"[0-9A-Za-z-]{1,64}")
# of a file name, in bytes
LONGEST = 255
NEVER = "1970-01-01T00:00:00.000Z"


def write(export: Export) -> None:
    """`project.json`, `labels/`, `meta/<dataset>/<data_key>.json`; the pictures as `images/<dataset>/<data_key>`.

    Where all pictures are of films and labels have tracks, it is a project of videos.

    Raises:
        DataError: the labels are masks of whole pictures, or two pictures would have one key.
    """
    if export.meta.problem == "semantic":
        raise DataError(f"Superb AI Suite holds objects, and {export.meta.name!r} has masks of whole pictures",
                        where=export.folder, mend=f"visionmill data export {export.meta.name} --format masks")
    project = NewProject(export)
    if is_film(export):
        write_films(export, project)
        return
    lose_film(export)
    for row in export.rows():
        told = _parsed(row.image)
        dataset = _dataset(told, row.image["split"])
        key = _key(told, row.image, export.out, dataset)
        label_id = _label_id(told, f"{dataset}/{key}", export)
        boxes = [_object(box, uuid5(NAMESPACE, f"{label_id}/{place}"), project)
                 for place, box in enumerate(row.boxes)]
        label: dict[str, Any] | None = {"objects": boxes} | project.rest(told.get("label"), row.image["labels"])
        if "label" in told and told["label"] is None and not boxes and row.image["labels"] is None:
            label = None
        save(export.out / f"labels/{label_id}.json", label)
        save(export.out / _meta_name(dataset, key), _meta(row.image, told, dataset, key, label_id))
        suffix = "" if PurePosixPath(key).suffix.lower() in SUFFIXES else PurePosixPath(row.image["file"]).suffix
        export.place(row.image, f"images/{dataset}/{key}{suffix}")
    save(export.out / "project.json", project.content())


def _parsed(row: dict[str, Any]) -> dict[str, Any]:
    return mapping(json.loads(row["attributes"])) if row["attributes"] else {}


def _dataset(told: dict[str, Any], split: str | None) -> str:
    """The dataset's name: the picture's own where it gives the same split, else one that gives it."""
    own = told.get("dataset")
    names = [safe_name(str(own), "dataset")] if _fits(own) else []
    if split:
        names += [f"{name}_{split}" for name in names]
    names.append(split or "pictures")
    return next(name for name in names if split_in_name(PurePosixPath(name)) == split)


def _key(told: dict[str, Any], image: dict[str, Any], out: Path, dataset: str) -> str:
    own, file = told.get("data_key"), str(image["file"])
    keys = [safe_name(str(own), file), file] if _fits(own) else [file]
    for key in keys:
        if not (out / _meta_name(dataset, key)).exists():
            return key
    raise DataError(f"two pictures would have the key {keys[0]!r}", where=file,
                    mend="export to a format that keeps folders: coco")


def _fits(name: Any) -> bool:
    """Whether a text can name a file inside the folder: a key of that name may say anything."""
    if not isinstance(name, str) or any(len(part.encode()) >= LONGEST - 5 for part in name.split("/")):
        return False
    with suppress(DataError):
        return bool(safe_name(name, ""))
    return False


def _meta_name(dataset: str, key: str) -> str:
    """A name that is too long as a file is replaced by its id: the key itself stands in the file."""
    path = PurePosixPath(key)
    name = f"{path.name}.json"
    if len(name.encode()) > LONGEST:
        name = f"{uuid5(NAMESPACE, path.name)}.json"
    return (PurePosixPath("meta", dataset) / path.parent / name).as_posix()


def _label_id(told: dict[str, Any], name: str, export: Export) -> str:
    own = told.get("label_id")
    if isinstance(own, str) and ID.fullmatch(own) and not (export.out / f"labels/{own}.json").exists():
        return own
    return str(uuid5(NAMESPACE, name))


def _meta(image: dict[str, Any], told: dict[str, Any], dataset: str, key: str, label_id: str) -> dict[str, Any]:
    defaults = {"last_updated_date": NEVER, "work_assignee": "", "status": "SUBMITTED", "info": {},
                "related_labels": {"consensus_labeling": []}}
    rest = {name: value for name, value in told.items() if name not in ("label", "image_info", "tags")}
    more = told["tags"] if isinstance(told.get("tags"), list) else []
    info = mapping(told.get("image_info")) | {"width": image["width"], "height": image["height"]}
    return defaults | rest | {
        "data_key": key, "dataset": dataset, "label_id": label_id, "label_path": [f"labels/{label_id}.json"],
        "tags": [*(image["tags"] or ()), *more], "image_info": info}


def _object(box: dict[str, Any], fresh: UUID, project: NewProject) -> dict[str, Any]:
    """One annotation: keypoints go before masks, and masks before the box."""
    told = _parsed(box)
    kind, coord, several = _shape(box, told, project.lose)
    rest = mapping(told.pop("annotation", None))
    annotation = ({} if several is None else {"multiple": several}) | rest
    annotation["coord"] = mapping(rest.get("coord")) | coord
    if kind == "keypoint":
        annotation["coord"] = {"points": project.points(box)}
    for name in ("difficulty", "uncertainty"):
        if box[name] is not None:
            annotation[name] = _shortest(box[name])
    own = told.pop("id", None)
    return {"properties": []} | told | {
        "id": own if isinstance(own, str) else str(fresh), "class_id": project.class_id(box["class_id"], kind),
        "class_name": project.classes[box["class_id"]], "annotation_type": kind, "annotation": annotation}


def _shape(box: dict[str, Any], told: dict[str, Any],
           lose: Callable[[str], None]) -> tuple[str, dict[str, Any], bool | None]:
    """(annotation type, coordinates, `multiple`) of a box. What it was read from is used while it fits the box."""
    place = tuple(box[side] for side in "xywh")
    rotated, rings = told.pop("rbox", None), _rings(told.pop("rings", None))
    if box["keypoints"]:
        if box["polygons"] or box["rle"]:
            lose("masks of objects with keypoints")
        return "keypoint", {}, None
    if box["polygons"]:
        if not _close(enclosing(box["polygons"]), place):
            lose("boxes that differ from their polygons")
        return "polygon", *_polygons([[ring] for ring in box["polygons"]])
    if box["rle"] and rings and draw(rings, box["rle"]["w"], box["rle"]["h"]) == box["rle"]:
        return "polygon", {"points": [[points(ring) for ring in face] for face in rings]}, True
    if box["rle"]:
        lose("masks as run lengths")
    if isinstance(rotated, dict):
        if _close(enclosing_rotated(rotated), place):
            return "rbox", rotated, None
        lose("angles of boxes that were moved")
    return "box", dict(zip(BOX_KEYS, place, strict=True)), False


def _rings(value: Any) -> Rings:
    """Faces of rings as the reader kept them; none where it is something else."""
    def sound(ring: Any) -> bool:
        return isinstance(ring, list) and len(ring) > 5 and not len(ring) % 2 and all(
            isinstance(v, int | float) for v in ring)

    faces = value if isinstance(value, list) else []
    return faces if all(isinstance(face, list) and face and all(map(sound, face)) for face in faces) else []


def _polygons(faces: list[list[list[float]]]) -> tuple[dict[str, Any], bool]:
    if len(faces) == 1:
        return {"points": points(faces[0][0])}, False
    return {"points": [[points(ring) for ring in face] for face in faces]}, True


def _close(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(abs(a - b) <= 0.01 for a, b in zip(one, other, strict=True))


def _shortest(value: float) -> float | int:
    """The number that a 32-bit one was read from: 0.0045, not 0.004499999806106091."""
    short = float(str(np.float32(value)))
    return int(short) if short.is_integer() and math.isfinite(short) else short
