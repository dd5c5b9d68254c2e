"""Blocks of a huge pool: each mining looks at the next pictures that none has looked at before.

What was walked through is noted in `.visionmill/mining/NAME.json`, as ranges of image_ids of versions; of a later
version of the pool those pictures are walked too, by their digests.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.base.errors import ParamsError, UserError
from tasks.base.files import read_json, write_json
from tasks.data.store.layout import Store, Version
from tasks.labelling.pools import images_of

FOLDER = Path(".visionmill/mining")


def next_block(pool: Version, store: Store, workspace: Path, size: int) -> np.ndarray:
    """image_ids of the next `size` pictures that are in no block so far, ascending.

    Raises:
        ParamsError: a size below 1. UserError: all have been walked through.
    """
    if size < 1:
        raise ParamsError(f"chunk: at least 1 (got {size})", where="chunk", mend="name how many are looked at a time")
    images = images_of(pool.folder)
    walked = np.zeros(images.num_rows, bool)
    noted = _noted(pool, workspace)
    # version by version: there may be a hundred blocks of a million pictures
    for digest, ref in {block["digest"]: block["pool"] for block in noted}.items():
        theirs = images if digest == pool.digest else images_of(_folder(store, ref))
        ids = theirs["image_id"].to_numpy()
        there = np.zeros(len(ids), bool)
        for block in noted:
            if block["digest"] == digest:
                there |= (ids >= block["first"]) & (ids <= block["last"])
        digests = theirs.filter(pa.array(there))["digest"]
        walked |= np.asarray(pc.is_in(images["digest"], value_set=digests.combine_chunks()), bool)
    if walked.all():
        raise UserError(f"all {images.num_rows:,} pictures of {pool.ref} have been walked through, in {len(noted)} "
                        "blocks", where=_path(pool, workspace),
                        mend="add pictures to the pool, or leave out --chunk to pick from all that are not known")
    return np.asarray(images["image_id"].to_numpy()[~walked][:size])


def note_block(pool: Version, workspace: Path, block: np.ndarray, picked: str | None) -> None:
    """Remember that a block was walked through, and the version of what was picked from it."""
    told = {"pool": pool.ref, "digest": pool.digest, "first": int(block[0]), "last": int(block[-1]), "picked": picked}
    write_json(_path(pool, workspace), {"blocks": [*_noted(pool, workspace), told]})


def _noted(pool: Version, workspace: Path) -> list[dict[str, Any]]:
    path = _path(pool, workspace)
    try:
        return list(read_json(path)["blocks"]) if path.is_file() else []
    except (ValueError, KeyError, TypeError):
        raise UserError("the note of the blocks so far is damaged", where=path,
                        mend="remove it: the pool is then walked through from its start") from None


def _path(pool: Version, workspace: Path) -> Path:
    return workspace / FOLDER / f"{pool.name}.json"


def _folder(store: Store, ref: str) -> Path:
    version = store.find(ref)
    _ = version.meta
    return version.folder
