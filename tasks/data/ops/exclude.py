"""A version without the pictures of others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.base.errors import DataError
from tasks.base.params import Params as Section
from tasks.data.ops import Making, Parent
from tasks.data.ops._describing import derived
from tasks.data.ops._taking import Taking, fill, ids_below, kept
from tasks.data.sql import tables

EXAMPLES = "  visionmill data exclude cells hard --out easy"


class Params(Section):
    """`exclude` has no parameters."""


def apply(params: Params, parents: Sequence[Parent], making: Making) -> None:
    """Write the first parent without those pictures whose bytes another parent has too.

    Raises:
        DataError: fewer than two parents, or no picture is left.
    """
    if len(parents) < 2:
        raise DataError("exclude needs a version and at least one whose pictures go", where=making.name,
                        mend="visionmill data exclude A B")
    first, *others = parents
    views = {f"other{number}": parent.folder for number, parent in enumerate(others)}
    union = " UNION ALL ".join(f"SELECT digest FROM {view}_images" for view in views)
    with tables(it=first.folder, **views) as connection:
        count = connection.sql("SELECT image_id FROM it_images").to_arrow_table().num_rows
        gone = connection.sql(f"SELECT image_id FROM it_images WHERE digest IN ({union})").fetchnumpy()["image_id"]
    stays = np.ones(count, bool)
    stays[ids_below(gone, count, first.folder)] = False
    meta = derived(making, parents)
    fill(making.folder, [Taking(first.folder, kept(stays), np.arange(len(meta.classes)))], meta)
    print(f"{int(stays.sum()):,} of {count:,} pictures stay")
