"""What the pictures of a pool look like, as a file beside its pre-labels."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from tasks.data.near.embedding import CACHE, look
from tasks.data.near.shards import DIMENSIONS
from tasks.data.pictures import Location, locate
from tasks.data.store.layout import Store
from tasks.data.table import full_disk_is_told
from tasks.labelling.prelabelling.shards import Rows

BLOCK = 1 << 15  # pictures whose vectors are made together


def keep_vectors(folder: Path, pool: Path, workspace: Path) -> None:
    """Write `vectors.npy`, float16 [n, 256]; what is known of a picture by its digest is not made again.

    Args:
        folder: of the pre-labels; `pool`: of the version's tables, in its store.
    """
    rows, pictures = Rows(pool / "images.parquet"), Store(pool.resolve().parents[2]).pictures
    beside = folder / ".vectors.npy"
    with full_disk_is_told(folder):
        kept = np.lib.format.open_memmap(beside, mode="w+", dtype=np.float16, shape=(len(rows), DIMENSIONS))
        for start, some in rows.blocks(BLOCK):
            places = partial(_chosen, locate(pictures, some))
            kept[start:start + some.num_rows] = look(some["digest"].to_pylist(), places, "descriptor",
                                                     workspace / CACHE).vectors
        kept.flush()
    beside.replace(folder / "vectors.npy")


def _chosen(places: list[Location], ids: np.ndarray) -> list[Location]:
    return [places[at] for at in ids.tolist()]
