"""A version is a recipe: operation, parameters, parents. Made twice, it is the same table."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from tasks.base.errors import DataError, UserError, nearest
from tasks.base.params import Params, check
from tasks.data.ops import OPERATIONS, Making
from tasks.data.store.layout import Store, Version, table_digest
from tasks.data.table import full_disk_is_told

MODULES: dict[str, Callable[[], ModuleType]] = {
    "merge": lambda: import_module("tasks.data.ops.merge"),
    "exclude": lambda: import_module("tasks.data.ops.exclude"),
    "filter": lambda: import_module("tasks.data.ops.filter"),
    "sample": lambda: import_module("tasks.data.ops.sample"),
    "relabel": lambda: import_module("tasks.data.ops.relabel"),
    "subset": lambda: import_module("tasks.data.ops.subset"),
    "tile": lambda: import_module("tasks.data.ops.tile"),
    "augment": lambda: import_module("tasks.data.ops.augment"),
    "tighten": lambda: import_module("tasks.data.ops.tighten"),
    "interpolate": lambda: import_module("tasks.data.ops.interpolate"),
    "dedup": lambda: import_module("tasks.data.ops.dedup"),
}


def operation(name: str) -> ModuleType:
    """The module of an operation.

    Raises:
        UserError: none is called so.
    """
    if name not in OPERATIONS:
        guess = nearest(name, OPERATIONS)
        raise UserError(f"no operation is called {name!r}", mend=f"did you mean {guess!r}?" if guess else
                        f"one of: {', '.join(OPERATIONS)}")
    return MODULES[name]()


def make(store: Store, name: str, parents: Sequence[Version], params: dict[str, Any], *, out: str,
         owner: str) -> tuple[Version, bool]:
    """The version that operation `name` makes of its parents, and whether it is new.

    When the latest version of `out` has this very recipe, that one is it.

    Raises:
        UserError: unknown operation, wrong parameters, a parent that is not on this machine.
        DataError: what the operation refuses, or a full disk. Nothing is listed then.
    """
    module = operation(name)
    checked: Params = check(module.Params, params, f"data {name}")
    recipe = {"operation": name, "parameters": checked.model_dump(mode="json"),
              "parents": [{"ref": parent.ref, "digest": parent.digest} for parent in parents]}
    with store.locked(), full_disk_is_told(store.root):
        latest = store.latest(out)
        if latest and latest.here and latest.meta.recipe == recipe:
            return latest, False
        making = store.begin(out, owner)
        module.apply(checked, [store.parent(parent) for parent in parents], making)
        return store.publish(making, recipe, owner, facts()), True


def facts() -> dict[str, Any]:
    """What is noted of a version and never compared."""
    return {"created": datetime.now(UTC).isoformat(timespec="seconds")}


def replay(store: Store, version: Version) -> str:
    """Make a version again from its parents, beside the store, and compare; returns the digest of both.

    Raises:
        UserError: it was imported, so there is nothing to replay.
        DataError: a parent changed, or another table came out.
    """
    recipe = version.meta.recipe
    if "operation" not in recipe:
        made = f"labelled by {recipe['labels'].get('by', 'people')}" if "labels" in recipe else "imported"
        raise UserError(f"{version.ref} was {made}: its origin is not a recipe",
                        mend=f"visionmill data show {version.ref} tells where it came from")
    parents = [store.find(parent["ref"]) for parent in recipe["parents"]]
    for parent, known in zip(parents, recipe["parents"], strict=True):
        if parent.digest != known["digest"]:
            raise DataError(f"{parent.ref} is not the table that {version.ref} was made of", where=parent.folder,
                            mend="visionmill data pull, or make it anew")
    module = operation(recipe["operation"])
    with tempfile.TemporaryDirectory(prefix="visionmill-") as folder:
        making = Making(version.name, Path(folder) / "tables", Path(folder) / "pictures",
                        f"{version.name}-{version.number}")
        making.folder.mkdir()
        making.pictures.mkdir()
        module.apply(check(module.Params, recipe["parameters"], version.ref),
                     [store.parent(parent) for parent in parents], making)
        found = table_digest(making.folder)
    if found != version.digest:
        raise DataError(f"{version.ref} does not replay: {found[:12]} instead of {version.digest[:12]}",
                        where=version.folder, mend="it was made by another version of visionmill; keep it as it is")
    return found
