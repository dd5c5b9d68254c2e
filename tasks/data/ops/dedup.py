"""A version without copies: of pictures with equal bytes, and of near-duplicates, one stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import duckdb
import numpy as np
import pyarrow as pa
from pydantic import Field

from tasks.data.near.embedding import CACHE
from tasks.data.near.finding import EXACT, KINDS, Found, Settings, find, read_images
from tasks.data.ops import Making, Parent
from tasks.data.ops._arrays import codes
from tasks.data.ops._describing import derived, only_parent
from tasks.data.ops._taking import Taking, fill, kept
from tasks.data.sql import tables
from tasks.data.table import SPLIT_ORDER

EXAMPLES = "  visionmill data dedup cells --out cells --keep largest"
LISTED = 1000
PIXELS = "width::BIGINT * height DESC"
IMPORTANT = "CASE split " + " ".join(f"WHEN '{k}' THEN {v}" for k, v in SPLIT_ORDER.items() if k) + " ELSE 3 END"
# 2 for labels that a person made or looked at, 1 for imported ones
TRUST = """max(CASE WHEN "source" = 'human' OR reviewed_by IS NOT NULL THEN 2 WHEN "source" = 'import' THEN 1 ELSE 0
    END)"""
FIRST = {"first": "file", "largest": f"{PIXELS}, file",
         "labelled": f"greatest(coalesce(trust, 0), (labels IS NOT NULL)::INT) DESC, {IMPORTANT}, {PIXELS}, file"}


class Params(Settings):
    """Parameters of `dedup`."""

    keep: Literal["labelled", "largest", "first"] = Field(
        default="labelled", description="of copies that one stays which has a person's labels, then of the more "
        "important split (test, val, train), then the largest; or the largest; or the first by name")
    differing: Literal["keep", "drop"] = Field(
        default="keep", description="near-duplicates with other numbers of labels of a class: keep both, or drop one")


@dataclass(frozen=True)
class Removed:
    """A picture that goes, and the one that stays for it."""

    picture: int
    stays: int
    similarity: float
    kind: int


def apply(params: Params, parents: Sequence[Parent], making: Making) -> None:
    """Write the version without copies; labels are not merged. `dedup.json` names what went and what stays for it.

    Each picture that goes is a copy of one that stays, not of another that went: of a film whose frames each resemble
    the next, frames remain that do not resemble each other.

    Raises:
        DataError: several parents. UserError: `backbone` without weights.
    """
    parent = only_parent(parents, making)
    images = read_images(parent.folder)
    found = find(parent.pictures, images, params, CACHE)
    with tables(it=parent.folder) as connection:
        ranks, labels = _ranks(connection, params.keep), _labels(connection)
    removed, differing = choose(found, ranks, labels if params.differing == "keep" else np.zeros_like(labels))
    stays = np.ones(images.num_rows, bool)
    stays[[one.picture for one in removed]] = False
    meta = derived(making, parents)
    told = _report(removed, differing, images)
    fill(making.folder, [Taking(parent.folder, kept(stays), np.arange(len(meta.classes)))], meta, {"dedup.json": told})
    print(", ".join(f"{told[kind]} {kind}" for kind in KINDS) + f" copies go, {int(stays.sum()):,} pictures stay")
    if differing:
        print(f"{differing} pairs of near-duplicates have other labels and stay (differing: drop takes one out)")


def choose(found: Found, ranks: np.ndarray, labels: np.ndarray) -> tuple[list[Removed], int]:
    """The pictures that go, by image_id; and how many near pairs stay because their labels differ.

    Args:
        ranks: int64 [pictures], 0 for the picture that is kept before all others.
        labels: [pictures], equal for pictures with the same labels.
    """
    order = np.lexsort((ranks, found.first))
    starts = np.flatnonzero(np.diff(found.first[order], prepend=-1))
    best = np.empty(len(ranks), np.int64)
    best[order] = np.repeat(order[starts], np.diff(starts, append=len(order)))
    near, differing = _near(found, best, ranks, labels)
    copies = []
    for one in np.flatnonzero(best != np.arange(len(best))).tolist():
        twin = int(best[one])
        copies.append(replace(near[twin], picture=one) if twin in near else Removed(one, twin, 1.0, EXACT))
    return sorted([*near.values(), *copies], key=lambda one: one.picture), differing


def _near(found: Found, best: np.ndarray, ranks: np.ndarray, labels: np.ndarray) -> tuple[dict[int, Removed], int]:
    """Of near-duplicates, in the order of their ranks, each stays that is no copy of one that stays."""
    beside: dict[int, list[tuple[int, float, int]]] = {}
    rows = np.flatnonzero(found.kind != EXACT)
    pairs = zip(best[found.a[rows]].tolist(), best[found.b[rows]].tolist(), found.similarity[rows].tolist(),
                found.kind[rows].tolist(), strict=True)
    for a, b, value, kind in pairs:
        beside.setdefault(a, []).append((b, value, kind))
        beside.setdefault(b, []).append((a, value, kind))
    removed: dict[int, Removed] = {}
    stay: set[int] = set()
    differing = 0
    for picture in sorted(beside, key=lambda one: ranks[one]):
        staying = [other for other in beside[picture] if other[0] in stay]
        same = [other for other in staying if labels[other[0]] == labels[picture]]
        if same:
            to, value, kind = max(same, key=lambda other: (other[1], -ranks[other[0]]))
            removed[picture] = Removed(picture, to, value, kind)
        else:
            stay.add(picture)
            differing += len(staying)
    return removed, differing


def _ranks(connection: duckdb.DuckDBPyConnection, keep: str) -> np.ndarray:
    query = f"""SELECT image_id FROM it_images LEFT JOIN
        (SELECT image_id, {TRUST} AS trust FROM it_annotations GROUP BY image_id) USING (image_id)
        ORDER BY {FIRST[keep]}"""
    order = connection.sql(query).fetchnumpy()["image_id"]
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def _labels(connection: duckdb.DuckDBPyConnection) -> np.ndarray:
    """A number for the classes of each picture's labels, which ones and how often."""
    # by MD5: DuckDB's own hash is the same for [0] and [0, 0]
    query = """SELECT md5(concat(boxes::VARCHAR, '|', list_sort(labels)::VARCHAR)) AS said FROM it_images LEFT JOIN
        (SELECT image_id, list_sort(list(class_id)) AS boxes FROM it_annotations GROUP BY image_id) USING (image_id)
        ORDER BY image_id"""
    return codes(connection.sql(query).to_arrow_table()["said"])


def _report(removed: Sequence[Removed], differing: int, images: pa.Table) -> dict[str, Any]:
    """The content of `dedup.json`."""
    files = images["file"]
    named = [{"file": files[one.picture].as_py(), "stays": files[one.stays].as_py(), "kind": KINDS[one.kind],
              "similarity": round(one.similarity, 4)} for one in removed[:LISTED]]
    counts = {name: sum(one.kind == place for one in removed) for place, name in enumerate(KINDS)}
    return counts | {"differing": differing, "named": named}
