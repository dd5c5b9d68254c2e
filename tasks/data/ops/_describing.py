"""`dataset.json` of a version that is made from others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tasks.base.errors import DataError
from tasks.data.ops import Making, Parent
from tasks.data.table import Meta, Problem, read_meta

UNKNOWN = "unknown"
AND = " AND "


def derived(making: Making, parents: Sequence[Parent], **changes: Any) -> Meta:
    """The first parent's description under the new name; all parents are named, the store adds the recipe."""
    own = {"name": making.name, "parents": [parent.ref for parent in parents], "recipe": {}}
    return read_meta(parents[0].folder).model_copy(update=own | changes)


def only_parent(parents: Sequence[Parent], making: Making) -> Parent:
    """The one version that an operation reads.

    Raises:
        DataError: there are none or several.
    """
    if len(parents) != 1:
        raise DataError(f"this takes one version, not {len(parents)}", where=making.name,
                        mend="visionmill data merge makes one of several")
    return parents[0]


def joined(making: Making, parents: Sequence[Parent]) -> tuple[Meta, list[np.ndarray]]:
    """One description of several parents, and the new id of each class of each parent, int64 [classes].

    Classes are those of all parents, by name; the order of the parents' own list where they have one and the same.

    Raises:
        DataError: their problems differ, keypoints of a class differ, or masks would need other class ids.
    """
    metas = [read_meta(parent.folder) for parent in parents]
    lists = [meta.classes for meta in metas]
    classes = lists[0] if all(names == lists[0] for names in lists) else sorted(set().union(*lists))
    place = {name: new for new, name in enumerate(classes)}
    maps = [np.array([place[name] for name in names], np.int64) for names in lists]
    for parent, meta, ids in zip(parents, metas, maps, strict=True):
        ids_are_kept(parent, meta, ids)
    both = derived(making, parents, classes=classes, licence=_licence(metas), problem=_problem(parents, metas),
                   keypoints=_keypoints(parents, metas), attributes=_attributes(metas))
    return both, maps


def ids_are_kept(parent: Parent, meta: Meta, ids: np.ndarray) -> None:
    """Masks are pictures of class ids, which no table operation rewrites.

    Raises:
        DataError: `parent` has masks, and a class gets another id.
    """
    if meta.problem == "semantic" and not np.array_equal(ids, np.arange(len(ids))):
        raise DataError("the masks hold class ids, and these would change", where=parent.ref,
                        mend="give all versions one class list before import: ingest.classes in params.yaml")


def _licence(metas: Sequence[Meta]) -> str | None:
    """All licences once, joined by AND; `unknown` is among them where a parent does not tell."""
    if not any(meta.licence for meta in metas):
        return None
    return AND.join(sorted({name for meta in metas for name in (meta.licence or UNKNOWN).split(AND)}))


def _problem(parents: Sequence[Parent], metas: Sequence[Meta]) -> Problem:
    found = {meta.problem for meta in metas}
    if found == {"detect", "segment"}:
        return "segment"
    if len(found) > 1:
        raise DataError("versions for different problems cannot be merged",
                        where=", ".join(f"{p.ref}: {meta.problem}" for p, meta in zip(parents, metas, strict=True)),
                        mend="merge versions of one problem")
    return metas[0].problem


def _keypoints(parents: Sequence[Parent], metas: Sequence[Meta]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for parent, meta in zip(parents, metas, strict=True):
        for name, points in meta.keypoints.items():
            if found.setdefault(name, points) != points:
                raise DataError(f"class {name!r} has other keypoints than in an earlier parent", where=parent.ref,
                                mend=f"visionmill data relabel {parent.ref} --map {name}=NEW")
    return found


def _attributes(metas: Sequence[Meta]) -> dict[str, Any]:
    """What all parents that have a key say alike; `ids` are joined where they neither differ nor meet."""
    keys = {key for meta in metas for key in meta.attributes} - {"ids"}
    told = {key: [meta.attributes[key] for meta in metas if key in meta.attributes] for key in sorted(keys)}
    found = {key: values[0] for key, values in told.items() if all(value == values[0] for value in values)}
    ids = _ids([meta.attributes.get("ids") for meta in metas])
    return found | ({"ids": ids} if ids else {})


def _ids(several: Sequence[Any]) -> Mapping[str, Any]:
    given = [ids for ids in several if isinstance(ids, dict)]
    both = {name: number for ids in reversed(given) for name, number in ids.items()}
    alike = all(both[name] == number for ids in given for name, number in ids.items())
    return both if alike and len({str(number) for number in both.values()}) == len(both) else {}
