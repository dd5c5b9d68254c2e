"""Some of the pictures, by number or rate: the same ones on every machine, in any order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field, model_validator

from tasks.base.errors import DataError
from tasks.base.params import Params as Section
from tasks.data.ops import Making, Parent
from tasks.data.ops._describing import derived, only_parent
from tasks.data.ops._taking import Taking, fill, kept
from tasks.data.splitting import content_hashes, read_strata
from tasks.data.sql import tables

EXAMPLES = "  visionmill data sample cells --rate 0.1 --stratify --out few"


class Params(Section):
    """Parameters of `sample`: `count` or `rate`."""

    count: int | None = Field(default=None, gt=0, description="number of pictures")
    rate: float | None = Field(default=None, gt=0, le=1, description="share of the pictures, 0 to 1")
    stratify: bool = Field(default=False, description="the same share of each stratum: pictures are of the class in "
                           "them that the fewest pictures have; at least one of each, if that many are asked for")
    seed: int = Field(default=0, description="another seed, other pictures")

    @model_validator(mode="after")
    def _one_of_two(self) -> Params:
        if (self.count is None) == (self.rate is None):
            raise ValueError("give either count or rate")
        return self


def apply(params: Params, parents: Sequence[Parent], making: Making) -> None:
    """Write the version with the pictures whose hash of content and seed is the smallest.

    So a smaller sample is a part of a larger one with the same seed, strata aside.

    Raises:
        DataError: more than one parent, or fewer pictures than `count`.
    """
    parent = only_parent(parents, making)
    meta = derived(making, parents)
    with tables(it=parent.folder) as connection:
        digests = connection.sql("SELECT digest FROM it_images").to_arrow_table()["digest"].to_pylist()
        strata = (read_strata(connection, "it", len(meta.classes)) if params.stratify
                  else np.zeros(len(digests), np.int64))
    count = params.count if params.count is not None else round(params.rate * len(digests))  # type: ignore[operator]
    if count > len(digests):
        raise DataError(f"{count:,} pictures are asked for, there are {len(digests):,}", where=parent.ref,
                        mend=f"--count {len(digests)}, or less")
    chosen = choose(digests, strata, count, params.seed)
    fill(making.folder, [Taking(parent.folder, kept(chosen), np.arange(len(meta.classes)))], meta)
    print(f"{count:,} of {len(digests):,} pictures stay")


def choose(digests: Sequence[str], strata: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Which pictures are taken: bool [pictures]. In a stratum those with the smallest hashes, equal ones by position.

    Args:
        strata: int [pictures].
    """
    high, low = content_hashes(digests, seed)
    order = np.lexsort((low, high, strata))
    starts = np.flatnonzero(np.concatenate([[True], np.diff(strata[order]) != 0])) if len(order) else np.zeros(0, int)
    sizes = np.diff(starts, append=len(order))
    rank = np.arange(len(order)) - np.repeat(starts, sizes)
    chosen = np.zeros(len(order), bool)
    chosen[order] = rank < np.repeat(quotas(sizes, count), sizes)
    return chosen


def quotas(sizes: np.ndarray, count: int) -> np.ndarray:
    """How many of each stratum: proportional, by largest remainders; at least one of each where `count` allows.

    Args:
        sizes: of the strata, each at least 1; `count` is at most their sum.
    """
    least = np.ones(len(sizes), np.int64) if count >= len(sizes) else np.zeros(len(sizes), np.int64)
    wanted = count * sizes / max(sizes.sum(), 1)
    given = np.maximum(np.floor(wanted + 1e-9).astype(np.int64), least)
    missing = count - int(given.sum())
    by_need = np.argsort(-(wanted - given), kind="stable")
    if missing >= 0:
        given[by_need[:missing]] += 1
    while missing < 0:  # what the smallest strata got beyond their share comes from those with the least need
        spare = by_need[::-1][given[by_need[::-1]] > least[by_need[::-1]]][:-missing]
        given[spare] -= 1
        missing += len(spare)
    return given
