"""Stage `split`: keeps the given splits and cuts the missing ones, deterministically, by content."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from tasks.base.errors import DataError
from tasks.base.params import Params as Section
from tasks.data.splitting import assign, rarest_class
from tasks.data.table import IMAGES, SPLITS, Dataset, read_dataset, write_dataset


class Params(Section):
    """Section `split` of params.yaml. The shares are used for the splits that are not given."""

    given: Literal["keep", "ignore"] = "keep"
    train: float = Field(default=0.7, gt=0, lt=1)
    val: float = Field(default=0.15, gt=0, lt=1)
    test: float = Field(default=0.15, gt=0, lt=1)
    seed: int = 0

    @model_validator(mode="after")
    def _sums_to_one(self) -> Params:
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + val + test must be 1, they are {total:g}")
        return self


def run(params: Params, *, data: Path, out: Path) -> None:
    """Fill the column `split` of the dataset `data` and write it to `out`.

    Raises:
        DataError: no training pictures are given, or a split stays empty.
    """
    dataset = read_dataset(data)
    given = dataset.images["split"].to_pylist() if params.given == "keep" else [None] * dataset.images.num_rows
    splits = decide(dataset, given, {name: getattr(params, name) for name in SPLITS}, params.seed)
    counts = Counter(splits)
    if empty := [name for name in SPLITS if not counts[name]]:
        raise DataError(f"split {empty[0]} has no picture: {len(splits)} pictures, "
                        + ", ".join(f"{name} {counts[name]}" for name in SPLITS),
                        where=data, mend="give more pictures, or other shares or `given: ignore` in params.yaml, split")
    column = pa.array(splits, IMAGES.field("split").type)
    images = dataset.images.set_column(IMAGES.get_field_index("split"), IMAGES.field("split"), column)
    write_dataset(out, replace(dataset, images=images))
    _tell(replace(dataset, images=images), given)


def decide(dataset: Dataset, given: list[str | None], shares: dict[str, float], seed: int) -> list[str]:
    """The split of every picture: a given one stays, except that a split that nobody has is cut from train.

    A picture that no given list names joins its equal, or train. Without any given split all are divided.
    """
    digests, strata = dataset.images["digest"].to_pylist(), rarest_class(dataset)
    named = {name for name in given if name}
    if not named:
        return assign(digests, strata, shares, seed)
    if "train" not in named and None not in given:
        raise DataError("the given splits have no training pictures", where=", ".join(sorted(named)),
                        mend="split: {given: ignore} in params.yaml")
    known = {digest: split for digest, split in zip(digests, given, strict=True) if split}
    splits = [split or known.get(digest, "train") for digest, split in zip(digests, given, strict=True)]
    missing = [name for name in SPLITS if name not in named and name != "train"]
    pool = [i for i, split in enumerate(splits) if split == "train"]
    if missing and pool:
        parts = {name: shares[name] for name in ("train", *missing)}
        scaled = {name: share / sum(parts.values()) for name, share in parts.items()}
        cut = assign([digests[i] for i in pool], [strata[i] for i in pool], scaled, seed)
        for i, split in zip(pool, cut, strict=True):
            splits[i] = split
    return splits


def _tell(dataset: Dataset, given: list[str | None]) -> None:
    print(f"{sum(1 for split in given if split)} of {len(given)} pictures came with a split")
    for name in SPLITS:
        part = dataset.subset(name)
        counts = np.bincount(part.annotations["class_id"].to_numpy(), minlength=len(dataset.meta.classes))
        classes = ", ".join(f"{label} {count}" for label, count in zip(dataset.meta.classes, counts, strict=True))
        print(f"{name}: {part.images.num_rows} pictures, {part.annotations.num_rows} boxes: {classes}")
