"""Pictures and labels of several versions together; labels that contradict each other are decided, never mixed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from tasks.base.errors import DataError
from tasks.base.params import Params as Section
from tasks.data.ops import Making, Parent
from tasks.data.ops._arrays import distinct, torn
from tasks.data.ops._describing import joined
from tasks.data.ops._merging import Pictures, read_pictures, winners
from tasks.data.ops._taking import Taking, damaged, fill
from tasks.data.table import SPLIT_ORDER

EXAMPLES = "  visionmill data merge cells more --out cells --conflict human"


class Params(Section):
    """Parameters of `merge`.

    Pictures are the same if their bytes or their files are. Their labels conflict where classes, boxes (to a
    millionth of a pixel), masks or labels of the whole picture differ.
    """

    conflict: Literal["stop", "newest", "first", "human"] = Field(
        default="stop", description="labels of a picture that differ: stop and list them; keep those of the version "
        "named last (newest) or first; keep those that a person made or reviewed")


def apply(params: Params, parents: Sequence[Parent], making: Making) -> None:
    """Write the merged version.

    A picture that several parents have keeps the row and the labels of one of them. Where they give it different
    splits, test goes before val before train.

    Raises:
        DataError: fewer than two parents, parents that do not go together, or conflicts that `conflict` leaves open.
    """
    if len(parents) < 2:
        raise DataError("merge needs at least two versions", where=making.name, mend="visionmill data merge A B")
    meta, classes = joined(making, parents)
    pictures = read_pictures(parents, meta.problem)
    chosen, conflicts = winners(pictures, params.conflict, [parent.ref for parent in parents])
    stays = ~pictures.shared | (pictures.parent == chosen[pictures.component])
    new, (splits, moved) = _by_file(pictures, stays), _splits(pictures)
    takings = []
    for number, parent in enumerate(parents):
        mine = pictures.parent == number
        if np.any(np.diff(new[mine & stays]) < 0):
            raise damaged(parent.folder / "images.parquet", "pictures are not in the order of their files")
        takings.append(Taking(parent.folder, new[mine], classes[number], splits=splits.filter(pa.array(mine))))
    fill(making.folder, takings, meta)
    shared = len(distinct(pictures.component[pictures.shared]))
    kept = (f"{shared:,} of them in several versions: {conflicts:,} with labels that differ (kept: {params.conflict}), "
            f"{moved:,} in different splits (kept: {', '.join(name for name in SPLIT_ORDER if name)}, the "
            "first of these)")
    print(f"{int(stays.sum()):,} pictures, {kept if shared else 'none of them in several versions'}")


def _by_file(pictures: Pictures, stays: np.ndarray) -> np.ndarray:
    """New image_ids: the order of the files; -1 for what does not stay."""
    rows = np.flatnonzero(stays)
    order = pc.sort_indices(pictures.file.take(pa.array(rows))).to_numpy()
    new = np.full(len(stays), -1)
    new[rows[order]] = np.arange(len(rows))
    return new


def _splits(pictures: Pictures) -> tuple[pa.Array, int]:
    """The split of each picture, the most important one of those that are shared, and how many had two."""
    ranks, none = pictures.split.astype(np.int64), SPLIT_ORDER[None]
    first = np.full(int(pictures.component.max(initial=-1)) + 1, none)
    np.minimum.at(first, pictures.component, ranks)
    names = pa.array([name for name, _ in sorted(SPLIT_ORDER.items(), key=lambda item: item[1])], pa.string())
    chosen = names.take(pa.array(np.where(pictures.shared, first[pictures.component], ranks)))
    return chosen, torn(pictures.component, np.where(pictures.shared & (ranks < none), ranks, -1))
