"""What `datumaro` reads, as our records. It is an extra: it wants pandas below 3 and brings OpenCV."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from tasks.base.errors import DataError, UserError
from tasks.data.formats._superb_shapes import enclosing, enclosing_rotated
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, Note, Picture, Reading, Source, number, split_in_name
from tasks.data.runs import encode

# our name → datumaro's. Formats that it keeps as pickles, of films or of points in space are not among them
NAMES = {
    "ade20k2017": "ade20k2017", "ade20k2020": "ade20k2020", "camvid": "camvid", "celeba": "celeba",
    "cityscapes": "cityscapes", "datumaro": "datumaro", "dota": "dota", "icdar-localization": "icdar_text_localization",
    "icdar-segmentation": "icdar_text_segmentation", "imagenet": "imagenet", "imagenet-list": "imagenet_txt",
    "labelme-xml": "label_me", "lfw": "lfw", "mapillary": "mapillary_vistas", "mot": "mot_seq", "mots": "mots",
    "mpii": "mpii_json", "mvtec": "mvtec", "openimages-full": "open_images", "roboflow-createml": "roboflow_create_ml",
    "synthia": "synthia_rand", "vggface2": "vgg_face2", "vott-csv": "vott_csv", "vott-json": "vott_json",
    "widerface": "wider_face"}
MEND = "pip install 'visionmill[formats]'"
BACKGROUND = "background"


def read_datumaro(index: FolderIndex, source: Source, name: str, into: Reading) -> Iterator[Picture]:
    """The pictures that `datumaro` finds in a folder; it holds all their labels in memory.

    Raises:
        UserError: it is not installed.
        DataError: it cannot read the folder.
    """
    try:
        import datumaro
    except ImportError:
        raise UserError(f"the format {source.format!r} is read by datumaro, which is not installed",
                        mend=MEND) from None
    try:
        dataset = datumaro.Dataset.import_from(str(source.path), name)
        labels = _labels(dataset)
        into.labels.update(label for label in labels if label and label != BACKGROUND)
        items = iter(dataset)
    except Exception as error:  # its readers raise what their parsers do
        raise _refused(error, source, index) from None
    while True:
        try:
            item = next(items, None)
        except Exception as error:
            raise _refused(error, source, index) from None
        if item is None:
            return
        yield from picture_of(index, source, item, labels, into)


def picture_of(index: FolderIndex, source: Source, item: Any, labels: list[str], into: Reading) -> Iterator[Picture]:
    """One item of datumaro; none where its picture is missing.

    Args:
        labels: names of its classes by number.
    """
    here = source.path.relative_to(index.root).as_posix()
    split = split_in_name(PurePosixPath(str(item.subset)))
    file = _file(index, here, item, split)
    if file is None:
        into.notes.append(Note("missing_picture", here, str(item.id), f"there is no picture {item.id!r}"))
        return
    picture = Picture(file, split, None, f"{here}#{item.id}", attributes=_plain(item.attributes) or None)
    groups: dict[tuple[int, str], Box] = {}
    for place, shape in enumerate(item.annotations):
        kind, label = shape.type.name, _label(shape, labels)
        if kind == "label":
            picture.labels = sorted({*(picture.labels or ()), label})
        elif not (kind == "mask" and label == BACKGROUND):  # what no object covers is no object
            box = Box(label, *enclosing([]), f"{picture.row}, {kind} {place}")
            if flaw := _draw(box, shape, kind):
                into.notes.append(Note("bad_mask", here, f"{item.id}, {kind} {place}", flaw, file))
                continue
            _describe(box, shape)
            _add(picture, box, groups, shape.group)
    if any(box.polygons or box.rle for box in picture.boxes):
        into.problem = "segment"
    elif picture.labels is not None and not picture.boxes and into.problem is None:
        into.problem = "classify"
    yield picture


def _label(shape: Any, labels: list[str]) -> str:
    number = getattr(shape, "label", None)
    return labels[number] if number is not None and number < len(labels) else ""


def _add(picture: Picture, box: Box, groups: dict[tuple[int, str], Box], group: int) -> None:
    """Shapes of one group and class are one object."""
    first = groups.setdefault((group, box.label), box) if group else box
    if first is box:
        picture.boxes.append(box)
    else:
        _join(first, box)


def _refused(error: Exception, source: Source, index: FolderIndex) -> DataError:
    inner: BaseException = error
    while inner.__cause__ or inner.__context__:
        inner = inner.__cause__ or inner.__context__ or inner
    reason = str(inner).replace(f"{index.root}/", "").strip() or type(inner).__name__
    return DataError(f"datumaro cannot read this as {source.format.partition(':')[2]}: {reason}", where=source.path,
                     mend="lay the folder out as that format does, or name another one")


def _labels(dataset: Any) -> list[str]:
    found = next((part for kind, part in dataset.categories().items() if kind.name == "label"), None)
    return [str(label.name).strip() for label in found.items] if found else []


def _file(index: FolderIndex, here: str, item: Any, split: str | None) -> str | None:
    path = getattr(item.media, "path", None)
    if path and Path(path).is_file() and Path(path).resolve().is_relative_to(index.root.resolve()):
        return Path(path).resolve().relative_to(index.root.resolve()).as_posix()
    name = PurePosixPath(str(path or item.id).replace("\\", "/")).name
    return index.find(name, PurePosixPath(here), split, f"{here}#{item.id}") if name else None


def _draw(box: Box, shape: Any, kind: str) -> str | None:
    """Fills place and form; the reason where it is none that is read."""
    if kind == "bbox":
        box.x, box.y, box.w, box.h = (float(value) for value in shape.get_bbox())
    elif kind == "polygon":
        flat = [float(value) for value in shape.points]
        if len(flat) < 6 or not all(map(math.isfinite, flat)):
            return f"a polygon of {len(flat) // 2} points, or with one that is no number"
        box.polygons = [flat]
        box.x, box.y, box.w, box.h = enclosing([flat])
    elif kind == "mask":
        rle = encode(np.asarray(shape.image, bool))
        box.rle, box.area = (rle["h"], rle["w"], rle["counts"]), float(shape.get_area())
        box.x, box.y, box.w, box.h = (float(value) for value in shape.get_bbox())
    elif kind == "rotated_bbox":
        turned = {"cx": shape.cx, "cy": shape.cy, "width": shape.w, "height": shape.h, "angle": shape.r}
        box.x, box.y, box.w, box.h = enclosing_rotated(turned)
        box.attributes = {"rbox": turned}
    elif kind == "points":
        pairs = zip(shape.points[::2], shape.points[1::2], shape.visibility, strict=True)
        # absent, hidden, visible: as COCO numbers them
        box.keypoints = [float(value) for x, y, seen in pairs for value in (x, y, getattr(seen, "value", seen))]
        box.x, box.y, box.w, box.h = (float(value) for value in shape.get_bbox())
    else:
        return f"a {kind} is not read: a box, polygon, mask or points are"
    return None


def _describe(box: Box, shape: Any) -> None:
    told = _plain(shape.attributes)
    box.iscrowd = bool(told.pop("is_crowd", False))
    box.difficult = bool(told.pop("difficult", False))
    for key, column in (("occluded", "occlusion"), ("truncated", "truncation")):
        if isinstance(told.get(key), bool):
            setattr(box, column, int(told.pop(key)))
    if math.isfinite(number(told.get("score"))):
        box.score = number(told.pop("score"))
    box.attributes = (box.attributes or {}) | told or None


def _join(first: Box, more: Box) -> None:
    """Its polygons together; its own box where it has one."""
    if more.polygons or more.rle:
        own = not (first.polygons or first.rle or first.keypoints)
        first.polygons = [*(first.polygons or ()), *(more.polygons or ())] or None
        first.rle = first.rle or more.rle
        if not own and first.polygons:
            first.x, first.y, first.w, first.h = enclosing(first.polygons)
    elif not more.keypoints:
        first.x, first.y, first.w, first.h = more.x, more.y, more.w, more.h
    first.keypoints = first.keypoints or more.keypoints


def _plain(attributes: Any) -> dict[str, Any]:
    """Attributes as JSON has them."""
    return {str(key): value if isinstance(value, str | int | float | bool | None) else str(value)
            for key, value in dict(attributes or {}).items()}
