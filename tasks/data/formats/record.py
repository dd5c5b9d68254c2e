"""What every format reader yields, and the notes it takes on rows that cannot enter the table."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from tasks.base.errors import DataError

Pixels = Literal["corners", "inclusive"]
SPLIT_WORDS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}


@dataclass(slots=True)
class Box:
    """One object: top left corner and size in pixels (continuous, 0-based); `row` is where it stands.

    What a format does not say stays None. `polygons` are flat lists x1, y1, x2, y2, …; `rle` is (height, width,
    COCO's compressed counts); `keypoints` are x, y, visibility; `occlusion` counts from 0 (all to be seen) to 3;
    `track` is the object's name on all pictures of its film.
    """

    label: str
    x: float
    y: float
    w: float
    h: float
    row: str
    area: float | None = None
    iscrowd: bool = False
    difficult: bool = False
    truncation: float | None = None
    occlusion: int | None = None
    polygons: list[list[float]] | None = None
    rle: tuple[int, int, str] | None = None
    keypoints: list[float] | None = None
    source: str = "import"
    score: float | None = None
    uncertainty: float | None = None
    difficulty: float | None = None
    reviewed_by: str | None = None
    attributes: dict[str, Any] | None = None
    track: str | None = None


@dataclass(slots=True)
class Picture:
    """One annotated picture: `file`, `mask` and `reference` relative to the raw folder.

    `declared` is the size (width, height) that its annotation states. `labels` are classes of the whole picture, None
    where nobody has said. `ignored` are regions x, y, w, h that count for nothing. `frame` and `time` (seconds) are of
    a picture of a film, which is its `group`.
    """

    file: str
    split: str | None
    declared: tuple[float, float] | None
    row: str
    boxes: list[Box] = field(default_factory=list)
    group: str | None = None
    tags: list[str] | None = None
    labels: list[str] | None = None
    mask: str | None = None
    reference: str | None = None
    ignored: list[list[float]] | None = None
    attributes: dict[str, Any] | None = None
    frame: int | None = None
    time: float | None = None


@dataclass(slots=True)
class More:
    """More boxes of a picture that this source has yielded already: for files that list boxes after pictures."""

    file: str
    boxes: list[Box]


@dataclass(frozen=True, slots=True)
class Note:
    """Something that a reader saw and `validate` judges: kind, file, row in it, reason, and the picture it is about."""

    kind: str
    file: str
    row: str
    detail: str
    picture: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Source:
    """Annotations found in a raw folder: a folder or one file, and the split that its name gives."""

    format: str
    path: Path
    split: str | None


@dataclass
class Reading:
    """What reading fills beside the pictures, and the options that it follows.

    Attributes:
        notes: what cannot enter the table, or contradicts it.
        labels: classes that a source declares, used or not.
        ids: a declared class's id in its source, for formats that number classes.
        problem: what the labels are for, where a format says more than boxes do.
        keypoints: of a class: `names` and `edges` (pairs of 0-based positions).
        attributes: what a format says of the whole set; must be JSON-able.
        voc_pixels: how Pascal VOC corners count.
    """

    notes: list[Note] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)
    ids: dict[str, int] = field(default_factory=dict)
    problem: str | None = None
    keypoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    voc_pixels: Pixels = "corners"


def split_in_name(path: PurePosixPath) -> str | None:
    """The split that a file's or a folder's name gives: `instances_val2017.json` → `val`, `valid/_a.json` → `val`."""
    for part in reversed(path.parts):
        found = {SPLIT_WORDS[word] for word in re.split(r"[^a-z]+", part.lower()) if word in SPLIT_WORDS}
        if len(found) == 1:
            return found.pop()
    return None


def place_of(row: str) -> tuple[str, str]:
    """File and place in it of a row such as `a.json#annotations[3]`; file names may have a `#` too."""
    file, mark, place = row.rpartition("#")
    return (file, place) if mark else (row, "")


def safe_name(name: str, where: object) -> str:
    """A relative POSIX name that stays inside the folder.

    Raises:
        DataError: it is empty, absolute, or climbs out with `..`.
    """
    path = PurePosixPath(name.strip().replace("\\", "/"))
    outside = path.is_absolute() or ".." in path.parts or re.match(r"^[A-Za-z]:", str(path))
    if outside or not path.name or "\0" in name:
        mend = "write the picture's name relative to the data folder"
        raise DataError(f"picture name {name!r} leaves the data folder or is empty", where=where, mend=mend)
    return str(path)


def number(value: object) -> float:
    """A coordinate as float; NaN for what is not a number, so that `validate` finds it."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return float("nan")
    try:
        return float(value)
    except (ValueError, OverflowError):
        return float("nan")
