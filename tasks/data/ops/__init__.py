"""Operations that make a dataset version from others: one module each, with its `Params` and `apply`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

OPERATIONS = {
    "merge": "pictures and labels of several versions together",
    "exclude": "a version without the pictures of others",
    "filter": "pictures and labels that an expression keeps",
    "sample": "some of the pictures, by number or rate",
    "relabel": "classes renamed, joined or dropped",
    "subset": "the pictures of one split",
    "tile": "large pictures cut into overlapping tiles",
    "augment": "new pictures by random operations, labels carried along",
    "tighten": "boxes shrunk to their masks",
    "interpolate": "boxes between the labelled frames of a film, by track",
    "dedup": "a version without copies and near-copies",
}


@dataclass(frozen=True)
class Parent:
    """A version that an operation reads: `ref` is `name@number`, `folder` has its tables.

    `pictures` is the folder that the column `file` is relative to.
    """

    ref: str
    folder: Path
    pictures: Path


@dataclass(frozen=True)
class Making:
    """A version in the making: `folder` is empty and takes the tables, `pictures` is empty and takes new pictures.

    A new picture `pictures/a.png` stands in the table as `<origin>/a.png`.
    """

    name: str
    folder: Path
    pictures: Path
    origin: str
