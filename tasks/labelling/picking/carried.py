"""The pre-labels that picked pictures carry to people."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tasks.base.errors import UserError
from tasks.data.store.layout import Store, Version
from tasks.data.table import ANNOTATIONS
from tasks.labels.difficulty import SHOWN

if TYPE_CHECKING:
    from tasks.labelling.prelabelling import Prelabels

CARRIED = ("image_id", "class_id", "x", "y", "w", "h", "score", "uncertainty", "difficulty", "polygons")
SAID = ("score", "uncertainty", "difficulty", "corrections", "boxes", "easy", "medium", "hard")


def prelabels_of(pool: Version, store: Store, workspace: Path,
                 model: str | None = None) -> tuple[Version, Prelabels | None]:
    """A pool and its newest pre-labels, None where it has none. Of a version that `label auto` has written from a pool,
    such as `pool-auto`, it is that pool.

    Args:
        model: by this model: its name in the column `source` (`cells@3`), or as `label auto --model` takes it.

    Raises:
        UserError: that model has not looked at the pool.
    """
    newest = import_module("tasks.labelling.prelabelling").newest
    model = None if model is None else _name_of(model, workspace)
    for version in (pool, *_origin(pool, store)):
        try:
            return version, newest(version, workspace, model)
        except UserError as error:
            refused = error
    if model is not None:
        raise refused
    return pool, None


def _name_of(model: str, workspace: Path) -> str:
    from tasks.registry.versions import is_address

    if not is_address(model) and not Path(model).exists():
        return model
    found = import_module("tasks.labelling.teachers.finding").find_place(model, workspace)
    return str(found.name)


def _origin(pool: Version, store: Store) -> list[Version]:
    """The pool that pre-labels were made of, where it is still that table."""
    recipe = pool.meta.recipe
    if "model_digest" not in recipe.get("labels", {}):
        return []
    parent = recipe["parents"][0]
    return [one for one in store.of(parent["ref"].partition("@")[0]) if one.here and one.digest == parent["digest"]]


def shown(prelabels: Prelabels, ids: np.ndarray) -> tuple[pa.Table, dict[int, dict[str, Any]]]:
    """The boxes of some pictures that are worth showing, as annotations, and what is said of each picture.

    Args:
        ids: image_ids, ascending.
    """
    parts = []
    for table in prelabels.rated():
        mine = np.isin(table["image_id"].to_numpy(), ids) & (table["probability"].to_numpy() >= SHOWN)
        if mine.any():
            parts.append(table.select([name for name in CARRIED if name in table.column_names]).filter(pa.array(mine)))
    boxes = pa.concat_tables(parts) if parts else ANNOTATIONS.empty_table().select(list(CARRIED))
    model = prelabels.name
    boxes = boxes.append_column("source", pa.array([f"model:{model}"] * boxes.num_rows, pa.string()))
    pictures = prelabels.pictures()
    rows = pictures.filter(pa.array(np.isin(pictures["image_id"].to_numpy(), ids))).to_pylist()
    return boxes, {row["image_id"]: {"model": model} | {name: _plain(row[name]) for name in SAID} for row in rows}


def _plain(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
