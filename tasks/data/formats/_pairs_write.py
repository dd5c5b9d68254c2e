"""Writing pairs: `pairs.csv`, and what it names in `images/`, `references/`, `labels/` and `masks/`."""

from __future__ import annotations

import csv
import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from tasks.base.errors import DataError
from tasks.data.formats._lines import decimal
from tasks.data.formats._masks_folders import Below
from tasks.data.formats._masks_write import write_classes
from tasks.data.formats._names import Names
from tasks.data.formats._pairs_boards import TYPES
from tasks.data.formats._pairs_table import COLUMNS, NAME, TYPE_NAMES
from tasks.data.rows import Row

if TYPE_CHECKING:
    from tasks.data.exporting import Export

KNOWN = {name: number for number, name in TYPES.items()}
CARRIES = frozenset({"split", "group", "labels", "mask", "reference"})


def write(export: Export) -> None:
    """A row a pair; boxes as DeepPCB writes them, with `classes.txt` where the classes are not its own.

    Raises:
        DataError: the pictures have no references, or a class's name has several lines.
    """
    meta = export.meta
    if meta.problem != "pairs":
        raise DataError(f"pairs need a golden picture each, and {meta.name!r} is for {meta.problem!r}",
                        where=export.folder, mend=f"visionmill data export {meta.name} --format coco")
    types = _types(export)
    names, golden = Names(export, "true"), Golden(export)
    masked, boxed = False, set[str](types if types == KNOWN else ())
    with (export.out / NAME).open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        for row in export.rows():
            name = names(row.image)
            export.place(row.image, f"images/{name}")
            table.writerow({
                "test": f"images/{name}", "reference": golden.place(row.image["reference"]),
                "label": _boxes(row, export, types, name), "mask": _mask(row, export, name),
                "class": _classes(row.image["labels"], meta.classes), "split": row.image["split"] or "",
                "group": row.image["group"] or ""})
            masked = masked or bool(row.image["mask"])
            boxed.update(meta.classes[box["class_id"]] for box in row.boxes)
    if masked:
        write_classes(export, export.out / "masks", [name for name in meta.classes if name not in boxed])


class Golden:
    """References, each placed once, however many pictures are compared with it."""

    def __init__(self, export: Export) -> None:
        self.export, self.name, self.placed = export, Below(export, "references", "reference"), set[str]()

    def place(self, reference: str | None) -> str:
        """The name of a reference in the export; empty for none."""
        if not reference:
            return ""
        name = self.name(reference)
        if reference not in self.placed:
            self.export.put(self.export.pictures / reference, name)
            self.placed.add(reference)
        return name


def _types(export: Export) -> dict[str, int]:
    """The number of each class in files of boxes."""
    classes = export.meta.classes
    with pq.ParquetFile(export.folder / "annotations.parquet") as table:
        used = {number for batch in table.iter_batches(columns=["class_id"])
                for number in batch.column(0).unique().to_pylist()}
    if {classes[number] for number in used} <= KNOWN.keys():
        return KNOWN
    if any(len(name.splitlines()) != 1 or name != name.strip() for name in classes):
        raise DataError("a class's name has blanks around it or several lines", where=export.folder,
                        mend=f"visionmill data relabel {export.meta.name} --map old=new")
    (export.out / TYPE_NAMES).write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")
    return {name: place for place, name in enumerate(classes, 1)}


def _boxes(row: Row, export: Export, types: dict[str, int], name: str) -> str:
    if not row.boxes and (row.image["mask"] or row.image["labels"] is not None):
        return ""
    label = PurePosixPath("labels", name).with_suffix(".txt")
    lines = [f"{' '.join(_corners(box))} {types[export.meta.classes[box['class_id']]]}\n" for box in row.boxes]
    (export.out / "labels").mkdir(exist_ok=True)
    (export.out / label).write_text("".join(lines), encoding="utf-8")
    return label.as_posix()


def _corners(box: dict[str, Any]) -> list[str]:
    """x1, y1, x2, y2 as text that gives back place and size."""
    x, y, w, h = (box[side] for side in "xywh")
    return [decimal(x, x.__eq__, 0), decimal(y, y.__eq__, 0), _far(x, w), _far(y, h)]


def _far(near: float, size: float) -> str:
    return decimal(near + size, lambda value: value - near == size, 0)


def _mask(row: Row, export: Export, name: str) -> str:
    mask = row.image["mask"]
    if not mask:
        return ""
    target = PurePosixPath("masks", name).with_suffix(PurePosixPath(mask).suffix).as_posix()
    export.put(export.pictures / mask, target)
    return target


def _classes(labels: list[int] | None, classes: list[str]) -> str:
    if labels is None:
        return ""
    names = [classes[number] for number in labels]
    plain = len(names) == 1 and not names[0].startswith("[")
    return names[0] if plain else json.dumps(names, ensure_ascii=False)
