"""What pictures of a pool look like, and which of them are near-duplicates of each other or of what is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.data.near.embedding import CACHE
from tasks.data.near.finding import Settings, find
from tasks.data.near.groups import smallest
from tasks.labelling.picking.known import Held
from tasks.labelling.pools import images_of

ROOT = Path("/")


@dataclass(frozen=True)
class Alike:
    """Pictures of a pool, and known ones that are not in it.

    Attributes:
        vectors, known_vectors: float32 [n, 256] and [m, 256] of length 1, zeros where nothing is to be seen.
        near, known_near: int64 [n] and [m], the same number for near-duplicates.
        readable, known_readable: bool [n] and [m].
    """

    vectors: np.ndarray
    known_vectors: np.ndarray
    near: np.ndarray
    known_near: np.ndarray
    readable: np.ndarray
    known_readable: np.ndarray


def alike(images: pa.Table, pictures: Path, sets: Sequence[Held], workspace: Path) -> Alike:
    """Look at all of them; what was looked at before, by digest, is not decoded again.

    Args:
        images: of the pool, the columns of `images_of`; pictures: what its names are relative to.
    """
    parts, seen = [_placed(images, pictures)], images["digest"]
    for one in sets:
        theirs = images_of(one.folder)
        theirs = theirs.filter(pc.invert(pc.is_in(theirs["digest"], value_set=seen.combine_chunks())))
        parts.append(_placed(theirs, one.pictures))
        seen = pa.chunked_array([*seen.chunks, *theirs["digest"].chunks], pa.string())
    whole = pa.concat_tables(parts)
    whole = whole.set_column(0, "image_id", pa.array(np.arange(whole.num_rows))).combine_chunks()
    found = find(ROOT, whole, Settings(), workspace / CACHE)
    assert found.looks is not None
    near = smallest(whole.num_rows, found.a, found.b)
    row = np.searchsorted(found.lookers, found.first)
    vectors, readable = found.looks.vectors, found.looks.readable
    count = images.num_rows
    return Alike(rows_of(vectors, row[:count]), vectors[row[count:]], near[:count], near[count:], readable[row[:count]],
                 readable[row[count:]])


def rows_of(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Some rows of an array; no second gigabyte of a million pictures where they are the first ones as they stand."""
    return vectors[:len(rows)] if np.array_equal(rows, np.arange(len(rows))) else vectors[rows]


def _placed(images: pa.Table, pictures: Path) -> pa.Table:
    """The same pictures with names that need no folder to start from: two stores can be in one table then."""
    root = pa.scalar(f"{pictures.resolve()}/")
    for name in ("file", "shard"):
        place = images.schema.get_field_index(name)
        images = images.set_column(place, name, pc.binary_join_element_wise(root, images[name], ""))
    return images
