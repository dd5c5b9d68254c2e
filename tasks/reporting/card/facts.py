"""All numbers behind a card, as plain data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from tasks.data import sql
from tasks.data.rows import Row
from tasks.data.table import Meta, read_meta
from tasks.reporting.card import counts
from tasks.reporting.card.advice import imbalance
from tasks.reporting.card.choose import draw, pictures
from tasks.reporting.card.pixels import SAMPLED, brightness, mask_shares
from tasks.reporting.card.properties import properties, sources


def facts(folder: Path, pictures: Path | None = None) -> dict[str, Any]:
    """The numbers of a dataset folder: JSON-able, the same for the same tables.

    Args:
        pictures: what the column `file` is relative to; without it nothing is said that needs pixels (`brightness`,
            and `masks` of semantic datasets, each of a sample of `SAMPLED` pictures, are None).

    Raises:
        DataError: not a dataset folder, or a damaged one.
    """
    with sql.tables(it=folder) as connection:
        return numbers(connection, "it", folder, pictures)


def numbers(connection: duckdb.DuckDBPyConnection, name: str, folder: Path, raw: Path | None) -> dict[str, Any]:
    """The numbers of the views `NAME_images` and `NAME_annotations`."""
    meta = read_meta(folder)
    told = {"schema": 1, "ref": reference(folder, meta), "name": meta.name, "problem": meta.problem,
            "licence": meta.licence, "parents": meta.parents, "recipe": meta.recipe}
    classes = counts.classes(connection, name, meta)
    return (told | counts.totals(connection, name, meta)
            | {"classes": classes, "imbalance": imbalance(classes), "boxes": counts.boxes(connection, name),
               "crowding": counts.crowding(connection, name, meta), "sizes": counts.sizes(connection, name),
               "properties": properties(connection, name), "sources": sources(connection, name)}
            | _pixels(connection, name, meta, raw))


def reference(folder: Path, meta: Meta) -> str:
    """What a reader calls the version: `bccd@2` where it lies as number 2 below `bccd`, else its name."""
    whole = folder.resolve()
    return f"{meta.name}@{whole.name}" if whole.name.isdigit() and whole.parent.name == meta.name else meta.name


def _pixels(connection: duckdb.DuckDBPyConnection, name: str, meta: Meta, raw: Path | None) -> dict[str, Any]:
    if raw is None:
        return {"brightness": None, "masks": None}
    drawn = draw(connection, name, SAMPLED, "pixels")
    sample = [Row(image, []) for image in pictures(connection, name, drawn)]
    masks = mask_shares(raw, sample, len(meta.classes)) if meta.problem == "semantic" else None
    return {"brightness": brightness(raw, sample), "masks": masks}
