"""Writing KITTI text files."""

from __future__ import annotations

import json
import math
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.base.errors import DataError
from tasks.data import sql
from tasks.data.formats._lines import decimal
from tasks.data.formats._names import Names, refuse_other_problems
from tasks.data.formats.record import number

if TYPE_CHECKING:
    from tasks.data.exporting import Export

CARRIES = frozenset({"split", "truncation", "occlusion", "ignored", "score", "attributes"})
# what the development kit writes where nobody knows: alpha, dimensions, location, rotation_y
UNKNOWN = ("-10", "-1", "-1", "-1", "-1000", "-1000", "-1000", "-10")
FOLDERS = {"train": "training/", "val": "validation/", "test": "testing/", None: ""}
SOLID = ("alpha", "dimensions", "location", "rotation_y")
KNOWN = frozenset({*SOLID, "occluded"})


def write(export: Export) -> None:
    """Pictures to `image_2`, labels to `label_2`, below a folder for each split.

    Raises:
        DataError: two classes would have one name without their spaces, or one is called `DontCare`.
    """
    refuse_other_problems(export, "KITTI")
    names, classes, scored = Names(export), _classes(export), _all_scored(export)
    for row in export.rows():
        folder, name = FOLDERS[row.image["split"]], names(row.image)
        export.place(row.image, f"{folder}image_2/{name}")
        lines = [_line(export, box, classes, scored) for box in row.boxes]
        lines += [_dont_care(*region) for region in row.image["ignored"] or ()]
        export.lose("images.attributes", row.image["attributes"] is not None)
        label = export.out / folder / "label_2" / f"{PurePosixPath(name).stem}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _classes(export: Export) -> list[str]:
    names = [re.sub(r"[ \t\r\n\f\v]+", "_", name) for name in export.meta.classes]
    bad = next((old for k, (old, name) in enumerate(zip(export.meta.classes, names, strict=True))
                if name in names[:k] or name.lower() == "dontcare"), None)
    if bad is not None:
        raise DataError(f"KITTI cannot tell the class {bad!r} from another", where=export.folder,
                        mend=f"visionmill data relabel {export.meta.name} --map '{bad}=another name'")
    return names


def _all_scored(export: Export) -> bool:
    # readers of ground truth take 15 columns and no more
    with sql.tables(it=export.folder) as connection:
        found = connection.execute("SELECT count(*), count(score) FROM it_annotations").fetchone() or (0, 0)
    if 0 < found[1] < found[0]:
        export.lose("annotations.score", found[1])
    return bool(found[0]) and found[0] == found[1]


def _line(export: Export, box: dict[str, Any], classes: list[str], scored: bool) -> str:
    name = classes[box["class_id"]]
    said: dict[str, Any] = json.loads(box["attributes"]) if box["attributes"] else {}
    solid = _solid(said)
    export.lose("spaces in class names", name != export.meta.classes[box["class_id"]])
    export.lose("annotations.attributes", bool(said.keys() - KNOWN))
    truncated = "-1" if box["truncation"] is None else exact(box["truncation"])
    occluded = _number_of(said.get("occluded")) or "-1" if box["occlusion"] is None else str(box["occlusion"])
    score = [str(np.float32(box["score"]))] if scored else []
    return " ".join([name, truncated, occluded, solid[0], *_corners(box["x"], box["y"], box["w"], box["h"]),
                     *solid[1:], *score])


def _solid(said: dict[str, Any]) -> tuple[str, ...]:
    """Alpha, three dimensions, three coordinates and rotation, as they were written; unknown if not all are there."""
    values = [said.get(name) for name in SOLID]
    flat = [_number_of(part) for value in values for part in (value if isinstance(value, list) else [value])]
    return tuple(map(str, flat)) if len(flat) == len(UNKNOWN) and all(flat) else UNKNOWN


def _number_of(value: object) -> str | None:
    """The text of a number as it stands in the table's attributes; None for anything else."""
    return str(value).strip() if math.isfinite(number(value)) else None


def _dont_care(x: float, y: float, w: float, h: float) -> str:
    return " ".join(["DontCare", "-1", "-1", UNKNOWN[0], *_corners(x, y, w, h), *UNKNOWN[1:]])


def _corners(x: float, y: float, w: float, h: float) -> tuple[str, ...]:
    return (exact(x), exact(y), decimal(x + w, lambda right: right - x == w, 2),
            decimal(y + h, lambda bottom: bottom - y == h, 2))


def exact(value: float) -> str:
    """Two decimals as KITTI has them, more where they would change the value."""
    return decimal(value, lambda read: read == value, 2)
