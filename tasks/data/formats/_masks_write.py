"""Writing pictures and masks: masks are copied; objects with outlines are drawn, the later over the earlier."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tasks.base.errors import DataError
from tasks.data.formats._masks_pixels import IGNORED
from tasks.data.formats._names import Names
from tasks.data.pictures import MAX_PIXELS
from tasks.data.rows import Row
from tasks.data.shapes import shape_of, to_mask

if TYPE_CHECKING:
    from tasks.data.exporting import Export

# outlines are drawn; what is lost by that is counted here
CARRIES = frozenset({"split", "mask", "polygons", "rle", "iscrowd", "ignored"})
BACKGROUND = "background"


def write(export: Export) -> None:
    """`images/`, `masks/` and a list of classes; a folder for each split within them.

    Raises:
        DataError: the labels are neither masks nor objects with outlines, or there are too many classes for 8 bits.
    """
    meta = export.meta
    if meta.problem not in ("semantic", "segment"):
        raise DataError(f"masks are of classes or of outlined objects, and {meta.name!r} is for {meta.problem!r}",
                        where=export.folder, mend=f"visionmill data export {meta.name} --format coco")
    drawn = _values_of_objects(export) if meta.problem == "segment" else None
    names = Names(export)
    for row in export.rows():
        name = PurePosixPath(row.image["split"] or "", names(row.image))
        export.place(row.image, f"images/{name}")
        if drawn:
            _place_drawn(row, export, drawn, name)
        else:
            export.lose("objects beside masks", len(row.boxes))
            if mask := row.image["mask"]:
                export.put(export.pictures / mask, f"masks/{name.with_suffix(PurePosixPath(mask).suffix)}")
    write_classes(export, export.out, list(drawn or meta.classes), drawn)


def _place_drawn(row: Row, export: Export, values: dict[str, int], name: PurePosixPath) -> None:
    if row.image["width"] * row.image["height"] > MAX_PIXELS:
        export.lose("pictures too large to draw masks of")
        return
    target = export.out / "masks" / name.with_suffix(".png")
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(_draw(row, export, values)).save(target)


def _values_of_objects(export: Export) -> dict[str, int]:
    classes = export.meta.classes
    background = [name for name in (BACKGROUND, f"_{BACKGROUND}_", f"__{BACKGROUND}__") if name not in classes][:1]
    values = {name: value for value, name in enumerate([*background, *classes])}
    if len(values) > IGNORED:
        raise DataError(f"{len(classes)} classes do not fit into a mask of 8 bits", where=export.folder,
                        mend=f"visionmill data export {export.meta.name} --format coco")
    return values


def _draw(row: Row, export: Export, values: dict[str, int]) -> np.ndarray:
    """uint8 [height, width]: 0 for nothing, 255 for crowds and regions that count for nothing."""
    width, height = row.image["width"], row.image["height"]
    pixels = np.zeros((height, width), np.uint8)
    for box in row.boxes:
        try:
            shape = shape_of(box, width, height)
        except DataError:
            export.lose("masks of another size than their picture, or damaged")
            continue
        if shape is None:
            export.lose("objects without an outline")
            continue
        value = IGNORED if box["iscrowd"] else values[export.meta.classes[box["class_id"]]]
        pixels[to_mask(shape, width, height)] = value
        export.lose("objects as such: a mask says where a class is")
    for x, y, w, h in (region for region in row.image["ignored"] or () if np.isfinite(region).all()):
        pixels[max(round(y), 0):max(round(y + h), 0), max(round(x), 0):max(round(x + w), 0)] = IGNORED
    return pixels


def write_classes(export: Export, out: Path, classes: list[str], drawn: dict[str, int] | None = None) -> None:
    """Put a list of these classes into `out`; the first of two with one value counts.

    It is `classes.txt` where values count from 0, `labelmap.txt` where colours stand for them, else `classes.csv`.
    """
    ids: dict[str, Any] = drawn or export.meta.attributes.get("ids") or {}
    places = {name: place for place, name in enumerate(export.meta.classes)}
    values = {name: ids.get(name, places.get(name, 0)) for name in classes}
    first = {value: name for name, value in reversed(values.items())}
    names = [first[value] for value in sorted(first)]
    colours = (export.meta.attributes.get("masks") or {}).get("colors") or {}
    plain = [values[name] for name in names] == list(range(len(names))) and all(_one_line(name) for name in names)
    if colours and not drawn:
        told = [(name, *colours.get(str(values[name]), ("", "", ""))) for name in names]
        if plain and not any(":" in name for name in names):
            lines = ["# label:color_rgb:parts:actions", *(f"{name}:{r},{g},{b}::" for name, r, g, b in told)]
            (out / "labelmap.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        else:
            _csv(out, ("value", "name", "r", "g", "b"), ((values[row[0]], *row) for row in told))
    elif plain:
        (out / "classes.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    else:
        _csv(out, ("value", "name"), ((values[name], name) for name in names))


def _csv(out: Path, head: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    (out / "classes.csv").write_text(text.getvalue(), encoding="utf-8", newline="")


def _one_line(name: str) -> bool:
    """Whether a list with a name a line gives it back."""
    return len(name.splitlines()) == 1 and name == name.strip() and not name.startswith("#") and not name[:1].isdigit()
