"""Classes renamed, joined or dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from tasks.base.errors import DataError, nearest
from tasks.base.params import Params as Section
from tasks.data.ops import Making, Parent
from tasks.data.ops._describing import derived, ids_are_kept, only_parent
from tasks.data.ops._taking import Taking, fill, ids_below
from tasks.data.sql import tables
from tasks.data.table import Meta

DROPPED = ("", "-")

EXAMPLES = "  visionmill data relabel cells --map rbc=RBC dust=- --out cells"


class Params(Section):
    """Parameters of `relabel`. Names change at once: `a=b` and `b=a` exchange two classes."""

    map: dict[str, str] = Field(default={}, description="old=new; several old names to one new name are joined; "
                                "old= or old=- drops the class with its labels")
    aliases: dict[str, str] = Field(default={}, description="like map, for names that a version need not have, and "
                                    "after it")
    drop_unused: bool = Field(default=False, description="drop classes that no label has afterwards")

    @model_validator(mode="after")
    def _does_something(self) -> Params:
        if not (self.map or self.aliases or self.drop_unused):
            raise ValueError("give map, aliases or drop_unused")
        return self


def apply(params: Params, parents: Sequence[Parent], making: Making) -> None:
    """Write the version under the new names; classes stand by name. A picture that loses its labels stays.

    Raises:
        DataError: more than one parent, an old name that there is not, classes with different keypoints joined, or
            masks that would need other class ids.
    """
    parent = only_parent(parents, making)
    meta = derived(making, parents)
    pictures, counts = _counts(parent, len(meta.classes))
    names = _new_names(params, meta, parent)
    if params.drop_unused:
        used = {name for name, count in zip(names, counts, strict=True) if count}
        names = [name if name in used else None for name in names]
    left = dict.fromkeys(name for name in names if name is not None)
    classes = list(left) if meta.problem == "semantic" else sorted(left)
    place: dict[str | None, int] = {name: number for number, name in enumerate(classes)}
    ids = np.array([place.get(name, -1) for name in names], np.int64)
    ids_are_kept(parent, meta, ids)
    changed = meta.model_copy(update={"classes": classes, "keypoints": _keypoints(meta, names, parent),
                                      "attributes": _attributes(meta, names)})
    fill(making.folder, [Taking(parent.folder, np.arange(pictures), ids)], changed)
    for old, new, count in zip(meta.classes, names, counts, strict=True):
        if old != new:
            print(f"{old}: {'dropped' if new is None else f'now {new}'}, {count:,} labels")


def _new_names(params: Params, meta: Meta, parent: Parent) -> list[str | None]:
    """The new name of each class, None for one that is dropped."""
    for old in params.map:
        if old not in meta.classes:
            guess = nearest(old, meta.classes)
            raise DataError(f"no class is called {old!r}", where=parent.ref, mend=f"did you mean {guess!r}?" if guess
                            else f"there are: {', '.join(meta.classes)}")
    renamed = [params.map.get(name, name) for name in meta.classes]
    final = [params.aliases.get(name, name) for name in renamed]
    return [None if name in DROPPED else name for name in final]


def _counts(parent: Parent, classes: int) -> tuple[int, np.ndarray]:
    """The number of pictures, and of labels of each class."""
    with tables(it=parent.folder) as connection:
        pictures = connection.sql("SELECT count(*) FROM it_images").fetchall()[0][0]
        rows = connection.sql("SELECT COALESCE(class_id, -1) AS class_id, count(*) AS rows FROM ("
                              "SELECT class_id FROM it_annotations UNION ALL SELECT unnest(labels) FROM it_images"
                              ") GROUP BY 1").fetchnumpy()
    counts = np.zeros(classes, np.int64)
    counts[ids_below(rows["class_id"], classes, parent.folder)] = rows["rows"]
    return pictures, counts


def _keypoints(meta: Meta, names: Sequence[str | None], parent: Parent) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for old, new in zip(meta.classes, names, strict=True):
        points = meta.keypoints.get(old)
        if new is not None and points is not None and found.setdefault(new, points) != points:
            raise DataError(f"{old!r} cannot be joined to {new!r}: their keypoints differ", where=parent.ref,
                            mend="give them different names")
    return found


def _attributes(meta: Meta, names: Sequence[str | None]) -> Mapping[str, Any]:
    """Ids in the source go with the names; of joined classes that of the one whose name stays, else the first."""
    if not isinstance(ids := meta.attributes.get("ids"), dict):
        return meta.attributes
    new: dict[str, Any] = {}
    for old, name in sorted(zip(meta.classes, names, strict=True), key=lambda pair: pair[0] != pair[1]):
        if name is not None and old in ids:
            new.setdefault(name, ids[old])
    return {**meta.attributes, "ids": new}
