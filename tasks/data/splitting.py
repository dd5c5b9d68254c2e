"""Dividing pictures over train, val and test or over folds: by content, stratified by class, nothing torn apart."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.base.errors import DataError
from tasks.data.ops._arrays import codes, components, distinct, renumbered
from tasks.data.sql import tables
from tasks.data.table import SPLIT_ORDER, read_meta

NO_CLASS = -1
# a difference that only rounding makes
TIE = 1e-9
TAG = "tag:"
# how much a picture's split counts, in SQL: 0 for test, 3 for none
RANK = "(CASE split WHEN 'test' THEN 0 WHEN 'val' THEN 1 WHEN 'train' THEN 2 ELSE 3 END)"
NO_SPLIT = SPLIT_ORDER[None]


@dataclass(frozen=True)
class Pictures:
    """What deciding on splits needs to know of a dataset; arrays [pictures], by image_id.

    Attributes:
        digests: content hashes.
        strata: the class of each picture that the fewest pictures have, -1 for none.
        components: the same number for pictures that must share a split.
        ranks: the given split's place in `SPLIT_ORDER`, 3 for none.
    """

    digests: list[str]
    strata: np.ndarray
    components: np.ndarray
    ranks: np.ndarray

    def only(self, mask: np.ndarray) -> Pictures:
        """Some of the pictures; components are counted anew."""
        if mask.all():
            return self
        digests = [digest for digest, stays in zip(self.digests, mask.tolist(), strict=True) if stays]
        return Pictures(digests, self.strata[mask], renumbered(self.components[mask]), self.ranks[mask])


def read_pictures(folder: Path, groups: str = "column", near: np.ndarray | None = None) -> Pictures:
    """The pictures of a dataset folder.

    What joins pictures to a component: equal bytes; near-duplicates; the column `group`; and what `groups` adds.

    Args:
        groups: `column` adds nothing, `folder` pictures of one folder, `tag:PREFIX` those that share a tag which
            begins so; `none` takes the column away.
        near: the same number for near-duplicates, int64 [pictures]; see `read_near`.

    Raises:
        DataError: the folder is damaged.
    """
    with tables(it=folder) as connection:
        images = connection.sql(f'SELECT digest, {RANK} AS rank FROM it_images').to_arrow_table()
        every = np.arange(images.num_rows)
        links = [(every, codes(images["digest"])), *_links(connection, groups)]
        links += [] if near is None else [(every, near)]
        strata = read_strata(connection, "it", len(read_meta(folder).classes))
    return Pictures(images["digest"].to_pylist(), strata, components(len(every), links), images["rank"].to_numpy())


def read_strata(connection: duckdb.DuckDBPyConnection, view: str, classes: int) -> np.ndarray:
    """`rarest_class` of each picture of an open dataset folder, boxes and labels of whole pictures alike."""
    pictures = connection.sql(f"SELECT image_id FROM {view}_images").to_arrow_table().num_rows
    rows = connection.sql(f"SELECT image_id, class_id FROM {view}_annotations UNION ALL "
                          f"SELECT image_id, COALESCE(unnest(labels), -1) FROM {view}_images").fetchnumpy()
    for name, count in (("image_id", pictures), ("class_id", classes)):
        if len(rows[name]) and not 0 <= rows[name].min() <= rows[name].max() < count:
            raise DataError(f"damaged dataset folder: a label's {name} is not below {count}", where=f"{view} tables",
                            mend="dvc repro --force, or dvc pull")
    return rarest_class(rows["image_id"], rows["class_id"], pictures, classes)


def read_near(folder: Path, pictures: int) -> np.ndarray:
    """`groups.parquet` of a search for near-duplicates: the smallest image_id of each picture's; int64 [pictures].

    Raises:
        DataError: it is missing, damaged, or of a dataset with other pictures.
    """
    path = folder / "groups.parquet"
    try:
        rows = pq.read_table(path, columns=["image_id", "near"], memory_map=False)
        ids, near = (rows[name].to_numpy() for name in ("image_id", "near"))
    except (FileNotFoundError, ValueError, pa.ArrowException) as error:
        raise DataError(f"no near-duplicates can be read: {error}", where=path, mend="dvc repro --force") from None
    if len(ids) != pictures or not np.array_equal(np.sort(ids), np.arange(pictures)) or (
            pictures and not 0 <= near.min() <= near.max() < pictures):
        raise DataError(f"near-duplicates of another dataset: {len(ids)} pictures, not {pictures}", where=path,
                        mend="dvc repro")
    found = np.empty(pictures, np.int64)
    found[ids] = near
    return found


def rarest_class(owners: np.ndarray, labels: np.ndarray, pictures: int, classes: int) -> np.ndarray:
    """The class of each picture that the fewest pictures have; -1 for a picture without labels. int64 [pictures].

    Args:
        owners: image_id of each label.
        labels: its class.
    """
    pairs = distinct(owners.astype(np.int64) * max(classes, 1) + labels)
    owner, label = np.divmod(pairs, max(classes, 1))
    spread = np.bincount(label, minlength=classes)
    by_spread = np.lexsort((np.arange(classes), spread))
    place = np.empty(classes, np.int64)
    place[by_spread] = np.arange(classes)
    rarest = np.full(pictures, NO_CLASS)
    if len(pairs):
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        rarest[owner[starts]] = by_spread[np.minimum.reduceat(place[label], starts)]
    return rarest


def assign(digests: Sequence[str], strata: Sequence[int] | np.ndarray, shares: Mapping[str, float], seed: int = 0,
           groups: np.ndarray | None = None) -> list[str]:
    """The split of each picture.

    Groups are visited stratum by stratum, the smallest first, in it the largest group first, else in the order of a
    hash of their content: so the result depends on neither names nor order. Each goes to the split that its stratum
    and the whole lack most, added up: by the stratum alone, a hundred classes of one picture each would all go to
    train. It is the same algorithm for ten pictures and for a million.

    Args:
        digests: content hash of each picture.
        strata: a class id of each picture, see `rarest_class`.
        shares: share of each split, summing to 1.
        groups: the same number for pictures that share a split, without gaps from 0; None: equal digests share one.
    """
    names = list(shares)
    places = divide(digests, strata, list(shares.values()), seed, groups)
    return [names[place] for place in places.tolist()]


def folds(pictures: Pictures, k: int, seed: int = 0) -> np.ndarray:
    """The fold of each picture, 0 to k - 1, with the guarantees of `assign`; int64 [pictures]."""
    return divide(pictures.digests, pictures.strata, [1 / k] * k, seed, pictures.components)


def divide(digests: Sequence[str], strata: Sequence[int] | np.ndarray, shares: Sequence[float], seed: int,
           groups: np.ndarray | None) -> np.ndarray:
    """`assign`, with numbers for splits; int64 [pictures]."""
    if not len(digests):
        return np.zeros(0, np.int64)
    if groups is None:
        groups = codes(pa.chunked_array([pa.array(digests, pa.string())]))
    high, low = content_hashes(digests, seed)
    order = np.lexsort((low, high, groups))
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    first, counts = order[starts], np.diff(starts, append=len(order))
    stratum = np.minimum.reduceat(np.asarray(strata, np.int64)[order], starts) - NO_CLASS
    sizes = np.bincount(stratum)[stratum]
    visits = np.lexsort((low[first], high[first], -counts, stratum, sizes))
    chosen = np.empty(len(starts), np.int64)
    chosen[visits] = _greedy(stratum[visits].tolist(), counts[visits].tolist(), shares)
    result = np.empty(len(order), np.int64)
    result[order] = np.repeat(chosen, counts)
    return result


def content_hashes(digests: Sequence[str], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """128 bits of SHA-256 over seed and digest, as two uint64 [pictures], the more significant ones first."""
    start = f"{seed}:"
    joined = b"".join(hashlib.sha256((start + digest).encode()).digest()[:16] for digest in digests)
    both = np.frombuffer(joined, ">u8").astype(np.uint64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _greedy(strata: list[int], counts: list[int], shares: Sequence[float]) -> list[int]:
    chosen: list[int] = []
    parts, whole, mine = list(enumerate(shares)), [0] * len(shares), [0] * len(shares)
    current, seen, here = -1, 0, 0
    for stratum, count in zip(strata, counts, strict=True):
        if stratum != current:
            current, mine, here = stratum, [0] * len(shares), 0
        here, seen = here + count, seen + count
        best, most = 0, float("-inf")
        for place, share in parts:
            lack = share * (here + seen) - mine[place] - whole[place]
            if lack > most + TIE:
                best, most = place, lack
        mine[best] += count
        whole[best] += count
        chosen.append(best)
    return chosen


def _links(connection: duckdb.DuckDBPyConnection, groups: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """(image_id, key) of what `groups` joins."""
    found = [] if groups == "none" else [connection.sql('SELECT image_id, "group" AS key FROM it_images')]
    if groups == "folder":
        found.append(connection.sql("SELECT image_id, regexp_extract(file, '^(.*)/', 1) AS key FROM it_images"))
    if groups.startswith(TAG):
        query = ("SELECT image_id, tag AS key FROM (SELECT image_id, unnest(tags) AS tag FROM it_images) "
                 "WHERE starts_with(tag, $prefix)")
        found.append(connection.sql(query, params={"prefix": groups.removeprefix(TAG)}))
    rows = [relation.to_arrow_table() for relation in found]
    return [(table["image_id"].to_numpy(), codes(table["key"])) for table in rows]
