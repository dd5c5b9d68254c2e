"""Writing COCO JSON: one file a split, pictures below `images/`; rows go to disk as they come."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING, Any

from tasks.data import sql
from tasks.data.formats._coco_rows import BOX_KEYS, CATEGORY_KEYS, IMAGE_KEYS, OWN, plain, shortest
from tasks.data.formats._jsonstream import JsonRows
from tasks.data.formats._names import class_ids, refuse_other_problems
from tasks.data.table import Meta

if TYPE_CHECKING:
    from tasks.data.exporting import Export

CARRIES = OWN | {"split", "group", "tags", "iscrowd", "difficult", "polygons", "rle", "keypoints", "attributes"}
PICTURES = ("images", "pictures", "visionmill_pictures")
CLASH = "attributes whose names mean something else in COCO"


def write(export: Export) -> None:
    """`annotations/instances_<split>.json` (`instances.json` for pictures without one), each with all categories.

    An image's id is its `image_id`, an annotation's is `annotation_id + 1` (pycocotools takes 0 for "not matched"), a
    category's is the one that it came with, where all classes have one.
    """
    refuse_other_problems(export, "COCO")
    folder = _folder(export)
    ids = class_ids(export) or list(range(1, len(export.meta.classes) + 1))
    with ExitStack() as stack:
        files: dict[str | None, tuple[JsonRows, JsonRows]] = {}
        for row in export.rows():
            split = row.image["split"]
            if split not in files:
                files[split] = stack.enter_context(_file(export, split, ids))
            images, annotations = files[split]
            images.add(_image(row.image, export))
            for box in row.boxes:
                annotations.add(_annotation(box, ids, export))
            export.place(row.image, f"{folder}/{row.image['file']}")
        if not files:
            stack.enter_context(_file(export, None, ids))


@contextmanager
def _file(export: Export, split: str | None, ids: list[int]) -> Iterator[tuple[JsonRows, JsonRows]]:
    """Annotations wait in a file of their own until all images are written."""
    name = f"instances_{re.sub(r'[^0-9A-Za-z]+', '_', split)}" if split else "instances"
    path = export.out / "annotations" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    aside = path.with_suffix(".part")
    with path.open("w", encoding="utf-8") as file:
        _write_head(file, export.meta, ids)
        with aside.open("w+", encoding="utf-8") as waiting:
            yield JsonRows(file), JsonRows(waiting)
            waiting.seek(0)
            file.write('\n],\n"annotations": [')
            shutil.copyfileobj(waiting, file)
            file.write("\n]\n}\n")
    aside.unlink()


def _write_head(file: IO[str], meta: Meta, ids: list[int]) -> None:
    kept = meta.attributes.get("coco") or {}
    more = {key: value for key, value in kept.items() if key not in ("info", "licenses", "categories")}
    licences = [{"id": 1, "name": meta.licence}] if meta.licence else []
    head = {"info": kept.get("info") or {"description": meta.name}, "licenses": kept.get("licenses") or licences} | more
    file.write("{\n")
    for key, value in head.items():
        file.write(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False, allow_nan=False)},\n")
    file.write('"categories": [')
    rows = JsonRows(file)
    for number, name in zip(ids, meta.classes, strict=True):
        rows.add(_category(number, name, meta, kept.get("categories") or {}))
    file.write('\n],\n"images": [')


def _category(number: int, name: str, meta: Meta, more: Mapping[str, Any]) -> dict[str, Any]:
    row = {"id": number, "name": name}
    if points := meta.keypoints.get(name):
        row["keypoints"] = points.get("names") or []
        row["skeleton"] = [[a + 1, b + 1] for a, b in points.get("edges") or []]
    return row | {key: value for key, value in (more.get(name) or {}).items() if key not in CATEGORY_KEYS}


def _image(image: Mapping[str, Any], export: Export) -> dict[str, Any]:
    row = {"id": image["image_id"], "file_name": image["file"], "width": image["width"], "height": image["height"]}
    row |= {name: image[name] for name in ("tags", "group") if image[name] is not None}
    return _with_attributes(row, image["attributes"], IMAGE_KEYS, export)


def _annotation(box: Mapping[str, Any], ids: list[int], export: Export) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": box["annotation_id"] + 1, "image_id": box["image_id"], "category_id": ids[box["class_id"]],
        "bbox": [_number(box[name]) for name in "xywh"], "area": _number(box["area"]), "iscrowd": int(box["iscrowd"]),
        "segmentation": _segmentation(box)}
    if box["difficult"]:
        row["ignore"] = 1
    if box["keypoints"]:
        row["keypoints"] = [_number(value) for value in box["keypoints"]]
        row["num_keypoints"] = sum(value > 0 for value in box["keypoints"][2::3])
    row |= {name: shortest(box[name]) for name in sorted(OWN) if box[name] is not None and box[name] != "import"}
    return _with_attributes(row, box["attributes"], BOX_KEYS - OWN, export)


def _segmentation(box: Mapping[str, Any]) -> Any:
    if box["polygons"] is not None:
        return [[_number(value) for value in polygon] for polygon in box["polygons"]]
    rle = box["rle"]
    return [] if rle is None else {"size": [rle["h"], rle["w"]], "counts": rle["counts"]}


def _with_attributes(row: dict[str, Any], text: str | None, taken: frozenset[str], export: Export) -> dict[str, Any]:
    more = plain(json.loads(text), export.folder) if text else {}
    clashes = [name for name in more if name in row or name in taken]
    if clashes:
        export.lose(CLASH, len(clashes))
    return row | {name: value for name, value in more.items() if name not in clashes}


def _number(value: float) -> float | int | None:
    """Whole numbers without a point; null for what JSON has no number for, which is read as NaN."""
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) < 1 << 53 else value


def _folder(export: Export) -> str:
    """The pictures' folder: with one called `images`, `images/a.jpg` of a set that has `a.jpg` too would be both."""
    with sql.tables(it=export.folder) as connection:
        for name in PICTURES:
            found = connection.execute("SELECT count(*) FROM it_images a JOIN it_images b ON a.file = ? || b.file",
                                       [f"{name}/"]).fetchone()
            if not found or not found[0]:
                return name
    return PICTURES[-1]
