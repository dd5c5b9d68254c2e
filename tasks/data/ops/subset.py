"""The pictures of one split, or of one fold of a division into equal parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow.compute as pc
from pydantic import Field, model_validator

from tasks.base.errors import DataError
from tasks.base.params import Params as Section
from tasks.data.ops import Making, Parent
from tasks.data.ops._describing import derived, only_parent
from tasks.data.ops._taking import Taking, fill, kept
from tasks.data.splitting import folds, read_pictures
from tasks.data.sql import tables
from tasks.data.table import SPLIT_ORDER

EXAMPLES = "  visionmill data subset cells --split test --out judged"


class Params(Section):
    """Parameters of `subset`: `split`, or `folds` and `fold`."""

    split: Literal["train", "val", "test"] | None = Field(default=None, description="the split whose pictures stay")
    folds: int = Field(default=0, ge=0, description="number of equal parts, nothing that belongs together torn apart")
    fold: int = Field(default=0, ge=0, description="the part that stays, from 0")
    seed: int = Field(default=0, description="of the folds")

    @model_validator(mode="after")
    def _one_of_two(self) -> Params:
        if (self.split is None) == (self.folds == 0):
            raise ValueError("give either split or folds")
        if self.folds == 1 or self.fold >= max(self.folds, 1):
            raise ValueError(f"folds must be at least 2 and fold below that; they are {self.folds} and {self.fold}")
        return self


def apply(params: Params, parents: Sequence[Parent], making: Making) -> None:
    """Write the version with these pictures; their split stays as it is.

    Raises:
        DataError: more than one parent, or there is no such picture.
    """
    parent = only_parent(parents, making)
    meta = derived(making, parents)
    stays = _of_split(parent, params.split) if params.split else (
        folds(read_pictures(parent.folder), params.folds, params.seed) == params.fold)
    fill(making.folder, [Taking(parent.folder, kept(stays), np.arange(len(meta.classes)))], meta)
    print(f"{int(stays.sum()):,} of {len(stays):,} pictures stay")


def _of_split(parent: Parent, split: str) -> np.ndarray:
    with tables(it=parent.folder) as connection:
        splits = connection.sql("SELECT split FROM it_images").to_arrow_table()["split"]
    stays = pc.fill_null(pc.equal(splits, split), False).to_numpy(zero_copy_only=False)
    if not stays.any():
        counts = {name["values"]: name["counts"] for name in splits.value_counts().to_pylist()}
        found = ", ".join(f"{counts[name]:,} in {name or 'no split'}" for name in SPLIT_ORDER if name in counts)
        raise DataError(f"no picture is in {split}: {found or 'there are none'}", where=parent.ref,
                        mend="--split with one of these, or --folds and --fold")
    return stays
