"""A plug-in as a miner: it ranks the pictures of a pool."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tasks.data.store.layout import Store, Version
from tasks.data.table import read_dataset
from tasks.plugins.folders import NAME, of_rows
from tasks.plugins.preset import named, read_plugin, refuse_kind, weights_of
from tasks.plugins.results import Flaws, read_scores
from tasks.plugins.running import Asked, asked, progress


def rank(name: str, pool: Version, store: Store, workspace: Path = Path(), *,
         image_ids: Iterable[int] | None = None) -> dict[int, float]:
    """Score of each picture, higher is to be labelled sooner; highest first.

    Pictures of one content have one score. A plug-in may score fewer than it was given: those are not worth it.
    YMIR throws the scores away and keeps the order; here the scores count, and an order that differs is told.

    Args:
        name: `NAME` or `plugin:NAME`.
        image_ids: only these pictures.

    Raises:
        ParamsError: there is no such plug-in. UserError: it ranks no pictures, fails, or does not end.
        DataError: its answer cannot be used.
    """
    name = named(name)
    plugin = read_plugin(name, workspace)
    refuse_kind(plugin, name, "mine")
    dataset = read_dataset(pool.folder)
    images = dataset.images
    if image_ids is not None:
        images = images.filter(pc.is_in(images["image_id"], value_set=pa.array(list(image_ids), pa.int64())))
    samples = of_rows(images, store.pictures, {})
    wanted = Asked({"mine"}, plugin.classes or dataset.meta.classes, candidates=samples,
                   models=weights_of(plugin, name, workspace))
    with asked(plugin, name, wanted, workspace, progress(name)) as outcome:
        flaws, path = Flaws(), outcome.room.made / "result.tsv"
        scores = read_scores(path, outcome.room.assets, flaws)
        flaws.refuse(path, allow=("sorted",))
    if told := flaws.of("sorted"):
        print(f"{name}: its result is not sorted by score ({told[0]}): the scores count", file=sys.stderr)
    found = {image: scores[digest[:NAME]] for image, digest in
             zip(images["image_id"].to_pylist(), images["digest"].to_pylist(), strict=True) if digest[:NAME] in scores}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
