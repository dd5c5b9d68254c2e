"""Stage `split`: keeps the given splits and cuts the missing ones, deterministically, by content."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from tasks.base.errors import DataError
from tasks.base.files import folder_atomic
from tasks.base.params import Params as Section
from tasks.data.ops._arrays import distinct, torn
from tasks.data.ops._leaking import Leak, explain, leaking, refusal, to_json
from tasks.data.ops._taking import Taking, fill, kept
from tasks.data.splitting import NO_SPLIT, TAG, Pictures, assign, folds, read_near, read_pictures
from tasks.data.sql import tables
from tasks.data.table import SPLIT_ORDER, SPLITS, full_disk_is_told, read_meta

RANKED = pa.array([name for name in SPLIT_ORDER if name], pa.string())
TEST, VAL, TRAIN = (SPLIT_ORDER[name] for name in RANKED.to_pylist())


class Params(Section):
    """Section `split` of params.yaml. The shares are used for the splits that are not given.

    Attributes:
        groups: what is never torn apart, beside equal pictures and near-duplicates: `column` (pictures with one
            `group` in the table: tiles of a scene, frames of a film), `folder` (and pictures of one folder),
            `tag:PREFIX` (and pictures that share a tag which begins so), `none` (not even the column).
        leaks: near-duplicates whose given splits differ: `drop` those of the less important split (test counts
            most, train least), listed in `leaks.json`; `keep`; or `error`.
        folds: number of folds, 0 for none: instead of shares, fold number `fold` is test, the next val, the rest train.
    """

    given: Literal["keep", "ignore"] = "keep"
    train: float = Field(default=0.7, gt=0, lt=1)
    val: float = Field(default=0.15, gt=0, lt=1)
    test: float = Field(default=0.15, gt=0, lt=1)
    seed: int = 0
    groups: str = "column"
    leaks: Literal["drop", "keep", "error"] = "drop"
    folds: int = Field(default=0, ge=0)
    fold: int = Field(default=0, ge=0)

    @field_validator("groups")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in ("column", "folder", "none") and not value.startswith(TAG):
            raise ValueError("must be column, folder, none or tag:PREFIX")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Params:
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + val + test must be 1, they are {total:g}")
        if self.folds in (1, 2):
            raise ValueError(f"folds must be 0 or at least 3 (train, val and test), they are {self.folds}")
        if self.fold >= max(self.folds, 1):
            raise ValueError(f"fold must be below folds = {self.folds}, it is {self.fold}")
        return self


def run(params: Params, *, data: Path, out: Path, near: Path | None = None) -> None:
    """Fill the column `split` of the dataset `data` and write it to `out`.

    Args:
        near: a folder with `groups.parquet` and `pairs.parquet`, near-duplicates among the pictures of `data`.

    Raises:
        DataError: no training pictures are given, a split stays empty, folds of what is split already, or
            near-duplicates in two given splits where `leaks` is `error`.
    """
    groups = None if near is None else read_near(near, _count(data))
    pictures = read_pictures(data, params.groups, groups)
    given = pictures.ranks if params.given == "keep" else np.full(len(pictures.ranks), NO_SPLIT)
    leaks, stays = _leaks(params, data, near, groups, given)
    splits = np.full(len(given), TRAIN)
    splits[stays] = _decide(params, pictures.only(stays), given[stays], data)
    with full_disk_is_told(out), folder_atomic(out) as new:
        meta = read_meta(data)
        taking = Taking(data, kept(stays), np.arange(len(meta.classes)), splits=RANKED.take(pa.array(splits)))
        fill(new, [taking], meta, {} if near is None else {"leaks.json": to_json(leaks, params.leaks)})
    print(f"{int((given < NO_SPLIT).sum())} of {len(given)} pictures came with a split")
    if leaks:
        print(f"{len(leaks)} of them are near to pictures of a more important split ({params.leaks}; leaks.json)")
    if count := torn(pictures.components[stays], np.where(given == NO_SPLIT, -1, given)[stays]):
        print(f"{count} groups of pictures that belong together came in several splits, and stay so")
    _tell(out)


def decide(pictures: Pictures, given: np.ndarray, shares: dict[str, float], seed: int) -> np.ndarray:
    """The split of every picture: a given one stays, except that a split that nobody has is cut from train.

    A picture that no given list names joins its component (the most important split there), or train. Without any
    given split all are divided.

    Args:
        given: places in `SPLIT_ORDER`, 3 for none.

    Returns:
        int64 [pictures], places in `SPLIT_ORDER`.
    """
    named = [name for name in SPLITS if (given == SPLIT_ORDER[name]).any()]
    if not named:
        return _cut(pictures, shares, seed)
    if "train" not in named and not (given == NO_SPLIT).any():
        raise DataError("the given splits have no training pictures", where=", ".join(sorted(named)),
                        mend="split: {given: ignore} in params.yaml")
    best = np.full(len(given), NO_SPLIT)
    np.minimum.at(best, pictures.components, given)
    joined = best[pictures.components]
    splits = np.where(given < NO_SPLIT, given, np.where(joined < NO_SPLIT, joined, TRAIN))
    parts = {name: share for name, share in shares.items() if name == "train" or name not in named}
    pool = splits == TRAIN
    if len(parts) > 1 and pool.any():
        total = sum(parts.values())
        splits[pool] = _cut(pictures.only(pool), {name: share / total for name, share in parts.items()}, seed)
    return splits


def _cut(pictures: Pictures, shares: dict[str, float], seed: int) -> np.ndarray:
    names = assign(pictures.digests, pictures.strata, shares, seed, pictures.components)
    return np.array([SPLIT_ORDER[name] for name in names], np.int64)


def _decide(params: Params, pictures: Pictures, given: np.ndarray, data: Path) -> np.ndarray:
    """`decide`, or the chosen fold; no split may be empty."""
    if params.folds:
        if count := int((given < NO_SPLIT).sum()):
            raise DataError(f"folds divide all pictures, and {count} came with a split", where=data,
                            mend="split: {given: ignore} in params.yaml")
        turn = (folds(pictures, params.folds, params.seed) - params.fold) % params.folds
        splits = np.where(turn == 0, TEST, np.where(turn == 1, VAL, TRAIN))
    else:
        splits = decide(pictures, given, {name: getattr(params, name) for name in SPLITS}, params.seed)
    counts = {name: int((splits == SPLIT_ORDER[name]).sum()) for name in SPLITS}
    if empty := [name for name in SPLITS if not counts[name]]:
        together = len(distinct(pictures.components))
        raise DataError(f"split {empty[0]} has no picture: {len(splits)} pictures, "
                        + ", ".join(f"{name} {count}" for name, count in counts.items())
                        + (f"; what must stay together leaves {together} groups" if together < len(splits) else ""),
                        where=data, mend="give more pictures, or other shares, `given: ignore` or other `groups` in "
                        "params.yaml, split")
    return splits


def _leaks(params: Params, data: Path, near: Path | None, groups: np.ndarray | None, given: np.ndarray
           ) -> tuple[list[Leak], np.ndarray]:
    """Near-duplicates in two given splits, and the mask of the pictures that stay."""
    everything = np.ones(len(given), bool)
    if near is None or groups is None or not (leaked := leaking(groups, given)).any():
        return [], everything
    with tables(it=data) as connection:
        found = explain(connection, near, groups, given, leaked)
    if params.leaks == "error":
        raise refusal(found, data)
    return found, ~leaked if params.leaks == "drop" else everything


def _count(folder: Path) -> int:
    with tables(it=folder) as connection:
        return connection.sql("SELECT image_id FROM it_images").to_arrow_table().num_rows


def _tell(folder: Path) -> None:
    classes = read_meta(folder).classes
    with tables(it=folder) as connection:
        pictures = dict(connection.execute("SELECT split, count(*) FROM it_images GROUP BY 1").fetchall())
        boxes = connection.execute("SELECT split, class_id, count(*) FROM it_annotations JOIN it_images"
                                   " USING (image_id) GROUP BY 1, 2").fetchall()
        whole = connection.execute("SELECT split, class_id, count(*) FROM (SELECT split, unnest(labels) AS class_id"
                                   " FROM it_images) GROUP BY 1, 2").fetchall()
    for name in SPLITS:
        counts = np.zeros(len(classes), np.int64)
        for split, class_id, count in (*boxes, *whole):
            counts[class_id] += count * (split == name)
        drawn = sum(count for split, _, count in boxes if split == name)
        listed = ", ".join(f"{label} {count}" for label, count in zip(classes, counts, strict=True))
        print(f"{name}: {pictures[name]} pictures, {drawn} boxes: {listed}")
