"""Everything that a card shows, read once: numbers by queries, rows of the few pictures that are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from tasks.data import sql
from tasks.data.rows import Row
from tasks.data.table import Meta, read_meta
from tasks.reporting.card.changes import changes, class_changes
from tasks.reporting.card.choose import draw, fetch, strips
from tasks.reporting.card.facts import numbers
from tasks.reporting.card.near import near_duplicates

EMBEDDED = 4  # times as many pictures are in the page as are shown at once


@dataclass(frozen=True)
class Side:
    """A version: its numbers, and where its pictures are."""

    facts: dict[str, Any]
    meta: Meta
    pictures: Path


@dataclass(frozen=True)
class Material:
    """What the page is made of.

    Attributes:
        was: the version that this one is compared with, if any.
        changes: what differs from it.
        near: near-duplicates; None where nobody has looked for them.
        drawn: ids of the random samples in the order of their draw; the first `shown` are there without a click.
        rows: the pictures that are shown, by id; `removed` those of the other version.
        strips: classes with some of their labels.
        aliases: other names of a class.
    """

    now: Side
    was: Side | None
    changes: dict[str, Any]
    near: dict[str, Any] | None
    drawn: list[int]
    shown: int
    rows: dict[int, Row]
    removed: dict[int, Row]
    strips: list[tuple[str, list[Row]]]
    aliases: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def facts(self) -> dict[str, Any]:
        return self.now.facts

    @property
    def names(self) -> tuple[str, str]:
        """What the two versions are called in charts; never the same word twice."""
        was = self.was.facts["ref"] if self.was else ""
        return self.facts["ref"], was if was != self.facts["ref"] else f"{was} (before)"


def gather(folder: Path, pictures: Path, against: tuple[Path, Path] | None, near: Path | None, seed: int, samples: int,
           aliases: Mapping[str, Sequence[str]] | None = None) -> Material:
    """Read all that the page needs.

    Raises:
        DataError: a folder is no dataset, or a list of near-duplicates is damaged.
    """
    views = {"it": folder} | ({"was": against[0]} if against else {})
    with sql.tables(**views) as connection:
        now = Side(numbers(connection, "it", folder, pictures), read_meta(folder), pictures)
        was = None
        if against:
            was = Side(numbers(connection, "was", *against), read_meta(against[0]), against[1])
        told = _changes(connection, now, was)
        alike = near_duplicates(connection, near) if near else None
        drawn = draw(connection, "it", EMBEDDED * samples, f"samples {seed}")
        wanted = [*drawn, *_named(now.facts), *(told["shown"]["added"] if told else []),
                  *(one[side] for one in (alike or {"shown": []})["shown"] for side in ("a", "b"))]
        rows = fetch(connection, "it", wanted)
        removed = fetch(connection, "was", told["shown"]["removed"]) if told else {}
        return Material(now, was, told, alike, drawn, samples, rows, removed,
                        strips(connection, "it", now.meta, f"strips {seed}"), aliases or {})


def _changes(connection: duckdb.DuckDBPyConnection, now: Side, was: Side | None) -> dict[str, Any]:
    if was is None:
        return {}
    found = changes(connection, now.meta, was.meta)
    return found | {"classes": class_changes(now.facts["classes"], was.facts["classes"])}


def _named(facts: dict[str, Any]) -> list[int]:
    """Pictures that a number names: the darkest, the brightest, the most crowded."""
    bright = facts["brightness"] or {"darkest": [], "brightest": []}
    return [one["image_id"] for one in (*bright["darkest"], *bright["brightest"], *facts["crowding"]["most"])]
