"""What every format reader yields, and the notes it takes on rows that cannot enter the table."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from tasks.base.errors import DataError

SPLIT_WORDS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}


@dataclass(frozen=True, slots=True)
class Box:
    """One object: top left corner and size in pixels (continuous, 0-based); `row` is where it stands."""

    label: str
    x: float
    y: float
    w: float
    h: float
    row: str
    area: float | None = None
    iscrowd: bool = False
    difficult: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """One annotated picture: `file` relative to the raw folder; `declared` is the size its annotation states."""

    file: str
    split: str | None
    declared: tuple[float, float] | None
    row: str
    boxes: list[Box] = field(default_factory=list)


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
    """Annotations found in a raw folder: a folder of XML files or one JSON file, and the split that its name gives."""

    format: str
    path: Path
    split: str | None


def split_in_name(path: PurePosixPath) -> str | None:
    """The split that a file's or a folder's name gives: `instances_val2017.json` → `val`, `valid/_a.json` → `val`."""
    for part in reversed(path.parts):
        found = {SPLIT_WORDS[word] for word in re.split(r"[^a-z]+", part.lower()) if word in SPLIT_WORDS}
        if len(found) == 1:
            return found.pop()
    return None


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
