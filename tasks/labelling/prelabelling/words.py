"""Pre-labels in words: how many boxes are easy, medium and hard, and what that promise rests on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.data.store.layout import Store
from tasks.labelling.prelabelling.prelabels import Prelabels
from tasks.labelling.prelabelling.publishing import pool_of
from tasks.labelling.prelabelling.shards import Rows
from tasks.labels.difficulty import LEVELS, SHOWN

PROMISE = {"easy": "at least 95 of 100 are right", "medium": "70 to 95 of 100 are right",
           "hard": "fewer than 70 of 100 are right"}
SEVERAL = 5  # pictures that are named


def told(made: Prelabels, store: Store, shown: float = SHOWN) -> list[str]:
    """All that a person should know of pre-labels that were made, line by line."""
    return [*levels(made.pictures(shown=shown), shown), *basis(made), *unreadable(made, store)]


def levels(pictures: pa.Table, shown: float = SHOWN) -> list[str]:
    """How many boxes are of each level, and the work that is left.

    Args:
        pictures: see `Prelabels.pictures`.
    """
    sums = {name: int(np.sum(pictures[name].to_numpy())) for name in LEVELS}
    total, work = sum(sums.values()), float(np.sum(pictures["corrections"].to_numpy()))
    wide = max(len(f"{count:,}") for count in sums.values())
    empty = int((pictures["boxes"].to_numpy() == 0).sum())
    bare = f"; none on {many(empty)}" if empty else ""
    lines = [f"{total:,} boxes on {many(pictures.num_rows)} are worth showing (right with {shown:.0%} at least){bare}"]
    lines += [f"  {name:7} {sums[name]:>{wide},}  {sums[name] / max(total, 1):>4.0%}   {PROMISE[name]}"
              for name in LEVELS]
    return [*lines, f"  about {work:,.0f} corrections are expected, {work / max(pictures.num_rows, 1):.1f} a picture"]


def many(count: int) -> str:
    """`1 picture`, `2 pictures`."""
    return f"{count:,} picture{'' if count == 1 else 's'}"


def basis(made: Prelabels) -> list[str]:
    """What the promise rests on: a prior that is stated, or boxes that people have reviewed."""
    known = made.calibration()
    if known.kind == "prior":
        return [f"  by a stated prior, p = 0.04 + 0.9 · score: nobody has reviewed boxes of {made.name} yet, and until "
                "then none is called easy"]
    error = "" if known.error is None else f", off by {known.error:.3f} on pictures that were left out"
    return [f"  learnt from {known.reviewed:,} boxes on {known.pictures:,} reviewed pictures ({known.kind}{error})"]


def unreadable(made: Prelabels, store: Store) -> list[str]:
    """Pictures that could not be read, by name; nothing where there are none."""
    flaws = made.unreadable
    if not flaws:
        return []
    names = _names(pool_of(made, store).folder / "images.parquet", sorted(flaws)[:SEVERAL])
    lines = [f"  {names[image]}: {flaws[image]}" for image in names]
    more = [f"  and {len(flaws) - SEVERAL} more"] if len(flaws) > SEVERAL else []
    return [f"{many(len(flaws))} could not be read: no boxes there", *lines, *more]


def _names(images: Path, wanted: list[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    for _, some in Rows(images).blocks(1 << 16):
        here = np.isin(some["image_id"].to_numpy(), wanted)
        rows = some.filter(pa.array(here))
        found |= dict(zip(rows["image_id"].to_pylist(), rows["file"].to_pylist(), strict=True))
    return found
