"""What is known already: pictures that are labelled or were picked before, and how many labels of each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.base.params import read_yaml
from tasks.data.store.layout import Store, Version
from tasks.data.table import read_meta
from tasks.labelling.pools import images_of

LINE = (Path("data/split"), Path("data/raw"))


@dataclass(frozen=True)
class Held:
    """A set of known pictures: its tables, and what their file names are relative to."""

    ref: str
    folder: Path
    pictures: Path


def held(versions: Sequence[Version], store: Store) -> list[Held]:
    """Versions of the store as sets of known pictures, each once.

    Raises:
        DataError: the tables of one are not on this machine.
    """
    distinct = {version.ref: version for version in versions}
    for version in distinct.values():
        _ = version.meta
    return [Held(version.ref, version.folder, store.pictures) for version in distinct.values()]


def known_by_default(store: Store, workspace: Path, out: str) -> list[Version]:
    """The version that the line uses, and the earlier versions of the output's name."""
    params = workspace / "params.yaml"
    named = ((read_yaml(params) or {}).get("data") or {}).get("version") if params.is_file() else None
    return [*([store.find(str(named))] if named else []), *store.of(out)]


def line_set(workspace: Path) -> list[Held]:
    """The split that the line itself has made, where it reads a folder and no version of the store."""
    params, (folder, pictures) = workspace / "params.yaml", LINE
    named = ((read_yaml(params) or {}).get("data") or {}).get("version") if params.is_file() else None
    there = (workspace / folder / "dataset.json").is_file() and (workspace / pictures).is_dir()
    return [Held(folder.as_posix(), workspace / folder, workspace / pictures)] if there and not named else []


def is_known(digests: pa.ChunkedArray | pa.Array, sets: Sequence[Held]) -> np.ndarray:
    """Which pictures, by their digests, are in one of the sets: bool [n]."""
    found = np.zeros(len(digests), bool)
    for one in sets:
        theirs = pq.read_table(one.folder / "images.parquet", columns=["digest"])["digest"]
        found |= np.asarray(pc.is_in(digests, value_set=theirs.combine_chunks()), bool)
    return found


def labels_of(sets: Sequence[Held], classes: Sequence[str]) -> np.ndarray:
    """Labels of each of these classes that people made or have seen, or that were imported: int64 [K].

    A picture that is in several sets counts once, in the first that has such labels of it. What a model alone said
    does not count.
    """
    counts, seen = np.zeros(len(classes), np.int64), pa.array([], pa.string())
    for one in sets:
        names = read_meta(one.folder).classes
        rows = pq.read_table(one.folder / "annotations.parquet",
                             columns=["image_id", "class_id", "source", "reviewed_by"])
        trusted = pc.or_(pc.invert(pc.starts_with(rows["source"], "model:")), pc.is_valid(rows["reviewed_by"]))
        rows = rows.filter(trusted)
        if not rows.num_rows:
            continue
        images = images_of(one.folder)
        owner = images["digest"].take(pc.index_in(rows["image_id"], value_set=images["image_id"].combine_chunks()))
        new = np.asarray(pc.invert(pc.is_in(owner, value_set=seen)), bool)
        number = np.array([classes.index(name) if name in classes else -1 for name in names], np.int64)
        label = number[rows["class_id"].to_numpy()[new]]
        counts += np.bincount(label[label >= 0], minlength=len(classes))
        seen = pa.concat_arrays([seen, pc.unique(owner)])
    return counts
