"""Pictures that several versions have: which they are, whether their labels conflict, and whose are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import duckdb
import numpy as np
import pyarrow as pa

from tasks.base.errors import DataError
from tasks.data.ops import Parent
from tasks.data.ops._arrays import codes, components, contains, mix
from tasks.data.ops._hashing import label_hashes, name_classes, picture_hashes
from tasks.data.ops._taking import row_by_row
from tasks.data.splitting import RANK
from tasks.data.sql import tables
from tasks.data.table import read_meta

LISTED = 10
ALL = np.uint64((1 << 64) - 1)
NOBODY = 1 << 30


@dataclass(frozen=True)
class Pictures:
    """The pictures of all parents, one parent after the other; arrays [pictures].

    Attributes:
        parent: its number.
        component: the same for equal pictures, by bytes or by file; counted from 0.
        shared: more than one parent has it.
        file: its name.
        split: its place in `SPLIT_ORDER`.
        said: uint64, a hash of its labels; 0 where only one parent has it.
        tells: somebody has labelled it, if only as empty.
        human: a person made or saw one of its labels.
    """

    parent: np.ndarray
    component: np.ndarray
    shared: np.ndarray
    file: pa.ChunkedArray
    split: np.ndarray
    said: np.ndarray
    tells: np.ndarray
    human: np.ndarray


@dataclass(frozen=True)
class Claims:
    """What one parent says of one shared picture, by component and parent; arrays [claims]."""

    component: np.ndarray
    parent: np.ndarray
    said: np.ndarray
    tells: np.ndarray
    human: np.ndarray

    @cached_property
    def starts(self) -> np.ndarray:
        """The first claim of each component."""
        return np.flatnonzero(np.diff(self.component, prepend=-1))

    def each(self, mask: np.ndarray) -> np.ndarray:
        """Whether any claim of a component is in the mask; [claims]."""
        found = np.logical_or.reduceat(mask, self.starts)
        return np.repeat(found, np.diff(self.starts, append=len(mask)))

    def differ(self, pool: np.ndarray) -> np.ndarray:
        """Whether the claims of a component that are in the pool say different things; [components]."""
        least = np.minimum.reduceat(np.where(pool, self.said, ALL), self.starts)
        most = np.maximum.reduceat(np.where(pool, self.said, np.uint64(0)), self.starts)
        return least < most


def read_pictures(parents: Sequence[Parent], problem: str) -> Pictures:
    """The pictures of all parents, with hashes of the labels of those that are shared."""
    names = [f"p{number}" for number in range(len(parents))]
    with tables(**{name: parent.folder for name, parent in zip(names, parents, strict=True)}) as connection:
        query = f"SELECT image_id, file, digest, {RANK} AS rank FROM {{}}_images"
        images = [connection.sql(query.format(name)).to_arrow_table() for name in names]
        for parent, table in zip(parents, images, strict=True):
            row_by_row(table, parent.folder)
        rows = pa.concat_tables(images)
        number = np.repeat(np.arange(len(parents)), [table.num_rows for table in images])
        component = _same(codes(rows["digest"]), codes(rows["file"]))
        shared = _in_several(component, number)
        said = []
        for place, name in enumerate(names):
            name_classes(connection, name, read_meta(parents[place].folder).classes)
            said.append(_said(connection, name, shared[number == place], problem))
    joined = map(np.concatenate, zip(*said, strict=True))
    return Pictures(number, component, shared, rows["file"], rows["rank"].to_numpy(), *joined)


def winners(pictures: Pictures, conflict: str, refs: Sequence[str]) -> tuple[np.ndarray, int]:
    """The parent whose row and labels a shared picture keeps, int64 [components], and how many were in conflict.

    Raises:
        DataError: the policy leaves a conflict open.
    """
    chosen = np.full(int(pictures.component.max(initial=-1)) + 1, -1)
    if not pictures.shared.any():
        return chosen, 0
    claims = _claims(pictures)
    pool = claims.tells | ~claims.each(claims.tells)
    conflicts = claims.differ(pool)
    if conflict == "human":
        pool &= claims.human | ~claims.each(pool & claims.human)
    if conflict in ("human", "stop") and (still := claims.differ(pool)).any():
        raise _open(pictures, claims, claims.component[claims.starts[still]], pool, conflict, refs)
    if conflict == "newest":
        kept = np.maximum.reduceat(np.where(pool, claims.parent, -1), claims.starts)
    else:
        kept = np.minimum.reduceat(np.where(pool, claims.parent, NOBODY), claims.starts)
    chosen[claims.component[claims.starts]] = kept
    return chosen, int(conflicts.sum())


def _said(connection: duckdb.DuckDBPyConnection, view: str, shared: np.ndarray, problem: str
          ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if not shared.any():
        return np.zeros(len(shared), np.uint64), np.zeros(len(shared), bool), np.zeros(len(shared), bool)
    labels = label_hashes(connection, view, shared)
    whole, told = picture_hashes(connection, view)
    # a picture without boxes is one without objects, but one without class or mask waits for somebody to say
    tells = told | (labels["count"] > 0) | (problem not in ("classify", "semantic"))
    said = mix(mix(labels["sum"] + labels["count"].astype(np.uint64)) ^ whole)
    return np.where(shared, said, np.uint64(0)), tells, labels["human"]


def _claims(pictures: Pictures) -> Claims:
    """A parent's copies of one picture make one claim: the set of what they say."""
    rows = np.flatnonzero(pictures.shared)
    rows = rows[np.lexsort((pictures.said[rows], pictures.parent[rows], pictures.component[rows]))]
    component, parent, said = pictures.component[rows], pictures.parent[rows], pictures.said[rows]
    first = (np.diff(component, prepend=-1) != 0) | (np.diff(parent, prepend=-1) != 0)
    again = ~first & (said == np.roll(said, 1))
    starts = np.flatnonzero(first)
    total = np.add.reduceat(np.where(again, np.uint64(0), said), starts)
    return Claims(component[starts], parent[starts], total,
                  np.logical_or.reduceat(pictures.tells[rows], starts),
                  np.logical_or.reduceat(pictures.human[rows], starts))


def _same(digest: np.ndarray, file: np.ndarray) -> np.ndarray:
    """Components of equal digests or files. A file has one digest unless its bytes were changed between two imports."""
    least, most = np.full(int(file.max(initial=-1)) + 1, NOBODY), np.full(int(file.max(initial=-1)) + 1, -1)
    np.minimum.at(least, file, digest)
    np.maximum.at(most, file, digest)
    every = np.arange(len(file))
    return digest if np.array_equal(least, most) else components(len(file), [(every, digest), (every, file)])


def _in_several(component: np.ndarray, parent: np.ndarray) -> np.ndarray:
    count = int(component.max(initial=-1)) + 1
    least, most = np.full(count, NOBODY), np.full(count, -1)
    np.minimum.at(least, component, parent)
    np.maximum.at(most, component, parent)
    return (least < most)[component]


def _open(pictures: Pictures, claims: Claims, still: np.ndarray, pool: np.ndarray, conflict: str, refs: Sequence[str]
          ) -> DataError:
    listed = []
    inside = pictures.shared & contains(still, pictures.component)
    rows = np.flatnonzero(inside)
    first = rows[np.unique(pictures.component[rows], return_index=True)[1]]
    named = sorted(zip(pictures.file.take(pa.array(first)).to_pylist(), pictures.component[first], strict=True))
    for file, component in named[:LISTED]:
        those = claims.parent[(claims.component == component) & pool]
        listed.append(f"{file} ({', '.join(refs[number] for number in those)})")
    more = [f"… and {len(named) - LISTED:,} more"] if len(named) > LISTED else []
    other = "" if conflict == "human" else "; human: those that a person made or reviewed"
    return DataError(f"{len(named):,} pictures have different labels in several versions",
                     where="\n    ".join([*listed, *more]),
                     mend=f"--conflict newest (keeps those of the version named last) or first{other}")
