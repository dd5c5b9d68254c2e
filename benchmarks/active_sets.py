"""The two sets of benchmarks.active: a pool with a rare class, and the blood cells as they are."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.data.catalogue import obtain, read_entry
from tasks.data.classes import ClassList
from tasks.data.store.importing import Importing, bring_in
from tasks.data.store.labelled import publish_labels
from tasks.data.store.layout import Store, Version
from tasks.data.store.recipes import make
from tasks.data.table import ANNOTATIONS, Dataset, read_dataset

POOL, RARE, START = 600, 0.05, 40
RARE_CLASS, SIDE, JUDGED = "WBC", 240, 240
OWNER = "benchmark"


@dataclass(frozen=True)
class Set:
    """Pictures to choose from, in two versions, and those to judge on.

    Attributes:
        truth: with all labels; pool: the same pictures in the same order, without any.
        rare: the class that 5 % of the pictures have, if one is.
    """

    name: str
    truth: Version
    pool: Version
    judge: Dataset
    rare: str | None = None

    def start(self, seed: int) -> np.ndarray:
        """image_ids that all strategies begin with: drawn; of the rare class as many as its share says."""
        rng = np.random.default_rng([seed, 99])
        images = np.arange(read_dataset(self.truth.folder).images.num_rows)
        having = images_with(read_dataset(self.truth.folder), self.rare) if self.rare else images[:0]
        return _mixed(rng, images, having, round(RARE * START), START)


def rare_cells(store: Store, seed: int) -> Set:
    """600 tiles of the blood cells' training pictures, of which 5 % have a white cell; judged on 240 tiles of the test
    pictures, a third of them with one."""
    tiles, _ = make(store, "tile", [_cells(store)[0]], {"size": SIDE, "overlap": 0.0}, out="tiles", owner=OWNER)
    whole = read_dataset(tiles.folder)
    rng = np.random.default_rng([seed, 5])
    split, having = whole.images["split"].to_numpy(zero_copy_only=False), images_with(whole, RARE_CLASS)
    keep = _mixed(rng, np.flatnonzero(split == "train"), having, round(RARE * POOL), POOL)
    test = _mixed(np.random.default_rng(0), np.flatnonzero(split == "test"), having, JUDGED // 3, JUDGED)
    return _set(store, f"rare-{seed}", tiles, keep, _rows(whole, test), RARE_CLASS)


def _mixed(rng: np.random.Generator, images: np.ndarray, having: np.ndarray, few: int, count: int) -> np.ndarray:
    """So many of these pictures, `few` of them of those that have the rare class; ascending."""
    some = rng.permutation(np.intersect1d(images, having))[:few]
    return np.sort(np.concatenate([some, rng.permutation(np.setdiff1d(images, having))[:count - len(some)]]))


def _rows(whole: Dataset, images: np.ndarray) -> Dataset:
    ids = pa.array(images)
    return replace(whole, images=whole.images.filter(pc.is_in(whole.images["image_id"], value_set=ids)),
                   annotations=whole.annotations.filter(pc.is_in(whole.annotations["image_id"], value_set=ids)))


def blood_cells(store: Store) -> Set:
    """The pictures of train and val, without that word: a training leaves out what is val; judged on those of test."""
    split, plain = _cells(store)
    judge = read_dataset(split.folder).subset("test")
    judged = pc.is_in(read_dataset(plain.folder).images["digest"], value_set=judge.images["digest"].combine_chunks())
    return _set(store, "bccd", plain, np.flatnonzero(~np.asarray(judged, bool)), judge, None)


def _cells(store: Store) -> tuple[Version, Version]:
    """With the given splits, and without."""
    split, plain = store.latest("bccd"), store.latest("bccd-plain")
    if plain is None or split is None:
        with tempfile.TemporaryDirectory(prefix="visionmill-") as folder:
            obtain("bccd", read_entry("bccd"), Path(folder))
            split = _import(store, Path(folder), "bccd")
            shutil.rmtree(Path(folder) / "ImageSets")
            plain = _import(store, Path(folder), "bccd-plain")
    return split, plain


def images_with(dataset: Dataset, name: str) -> np.ndarray:
    """image_ids of the pictures that have a class, ascending."""
    rows = dataset.annotations
    number = dataset.meta.classes.index(name)
    return np.unique(rows["image_id"].to_numpy()[rows["class_id"].to_numpy() == number])


def _import(store: Store, folder: Path, name: str) -> Version:
    return bring_in(store, Importing(folder, name, name, ClassList([]), allow=["all"]), OWNER).version


def _set(store: Store, name: str, whole: Version, keep: np.ndarray, judge: Dataset, rare: str | None) -> Set:
    rows = read_dataset(whole.folder).annotations
    mine = rows.filter(pc.is_in(rows["image_id"], value_set=pa.array(keep)))
    versions = [publish_labels(store, whole, out=f"{name}-{kind}", owner=OWNER, said={"by": by}, annotations=labels,
                               keep=keep)[0]
                for kind, by, labels in (("truth", "truth", mine), ("pool", "nobody", ANNOTATIONS.empty_table()))]
    return Set(name, versions[0], versions[1], judge, rare)
