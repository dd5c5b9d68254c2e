"""Pools: pictures that a model and people are to label, as dataset versions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.base.errors import DataError, UserError
from tasks.data.pictures import Location, locate, over_pictures, read_picture
from tasks.data.store.layout import Store, Version
from tasks.data.table import IMAGES, conform
from tasks.labels.columns import places_of

FORMAT = "pictures"
PLACES = ["image_id", "file", "digest", "bytes", "shard", "offset"]


def pool_version(text: str, store: Store, owner: str, workspace: Path = Path()) -> Version:
    """The version that a person names as a pool: `NAME`, `NAME@N`, or a folder of pictures, which is imported first.

    A folder becomes the dataset of its name; the same pictures again give the version that is there. A dataset of the
    very name goes before a folder; `./NAME` means the folder.

    Raises:
        UserError: there is no such dataset and no such folder, or the folder's name is that of a dataset with labels.
        DataError: the version is not on this machine, or the folder has no picture, or damaged ones.
    """
    folder = _folder(text, workspace)
    if folder is None or ("/" not in text and text.partition("@")[0] in store.names()):
        version = store.find(text)
        _ = version.meta
        return version
    return _imported(folder, store, owner)


def read_pictures_of(version: Version, store: Store, image_ids: Sequence[int] | np.ndarray,
                     threads: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """Pictures of a version in the order in which they are asked for, a few at a time in memory.

    Yields:
        image_id, and the pixels as displayed: uint8 [height, width, 3], RGB.

    Args:
        threads: that decode; as many as there are cores, up to 8, when None.

    Raises:
        DataError: an image_id that the version does not have (at once), or a picture that cannot be read (on its turn).
    """
    wanted = np.asarray(image_ids, np.int64)
    return zip(wanted.tolist(), over_pictures(read_picture, places_in(version, store, wanted), threads), strict=True)


def places_in(version: Version, store: Store, image_ids: np.ndarray) -> list[Location]:
    """Where the bytes of these pictures of a version are: files, or members of archives."""
    images = images_of(version.folder)
    rows = places_of(images["image_id"].to_numpy(), image_ids)
    if (rows < 0).any():
        raise DataError(f"{version.ref} has no picture {image_ids[rows < 0][0]}", where=version.folder,
                        mend="take image_ids of that version")
    return locate(store.pictures, images.take(pa.array(rows)))


def images_of(folder: Path) -> pa.Table:
    """The columns by which the pictures of a dataset folder are told apart and found: `PLACES`."""
    path = folder / "images.parquet"
    try:
        known = pq.read_schema(path).names
        table = pq.read_table(path, columns=[name for name in PLACES if name in known], memory_map=False)
        return conform(table, pa.schema([IMAGES.field(name) for name in PLACES])).combine_chunks()
    except FileNotFoundError:
        raise DataError("not a dataset folder: no images.parquet", where=folder, mend="visionmill data pull") from None
    except (ValueError, KeyError, pa.ArrowException) as error:
        raise DataError(f"damaged dataset folder: {error}", where=path, mend="visionmill data pull") from None


def _folder(text: str, workspace: Path) -> Path | None:
    path = Path(text).expanduser()
    return next((one for one in (path, workspace / path) if text and one.is_dir()), None)


def _imported(folder: Path, store: Store, owner: str) -> Version:
    from tasks.data.classes import ClassList
    from tasks.data.store.importing import Importing, bring_in
    from tasks.data.store.shards import LOOSE

    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-.")
    latest = store.latest(name) if name else None
    if not name or (latest is not None and not _is_pool(latest)):
        what = f"{name} is a dataset with labels already" if name else "no name can be made of that folder"
        raise UserError(f"{what}; the folder cannot become it", where=folder,
                        mend=f"visionmill data import {folder} --format {FORMAT} --name NAME")
    wanted = Importing(folder, name, str(folder), ClassList([]), format=FORMAT, shard_over=LOOSE)
    try:
        return bring_in(store, wanted, owner).version
    except DataError as error:
        # the flaws may be allowed where a folder is imported, not here
        mend = (error.mend or "").replace("--allow", f"visionmill data import {folder} --format {FORMAT} --allow")
        raise DataError(error.what, where=error.where, mend=mend) from None


def _is_pool(version: Version) -> bool:
    return bool(version.meta.recipe.get("import", {}).get("format") == [FORMAT])
