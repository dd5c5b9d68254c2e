"""A miner from elsewhere in the place of a strategy: it scores the pictures that may be picked."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.base.errors import DataError
from tasks.base.params import check
from tasks.data.store.layout import Store, Version
from tasks.labels.mining.pool import Known, Pool, free_places
from tasks.labels.mining.registry import SCHEMA, Mined
from tasks.labels.mining.strategy import Params


def mine_plugged(name: str, version: Version, store: Store, workspace: Path, pool: Pool, budget: int, known: Known,
                 values: Mapping[str, Any]) -> Mined:
    """Pick as `tasks.labels.mining.registry.mine` does, by the scores of the plug-in `name`.

    Args:
        version: the pool; pool: those of its pictures that can be read; values: `epsilon` and `seed`.

    Raises:
        ParamsError: a wrong parameter, or no such plug-in. DataError: nothing is left, or nothing has a score.
        UserError: the plug-in fails or its answer cannot be used.
    """
    params = check(Params, dict(values), f"mining.plugin:{name}")
    free, notes = free_places(pool, known)
    if budget > len(free):
        notes.append(f"the budget of {budget:,} is larger than what is left of the pool: all {len(free):,} are taken")
    budget = min(budget, len(free))
    rank = import_module("tasks.plugins.miner").rank
    ids = pool.image_id[free]
    scores: dict[int, float] = rank(name, version, store, workspace, image_ids=ids.tolist())
    scored = [(image, score) for image, score in scores.items() if np.isfinite(score)]
    if not scored:
        raise DataError(f"{name} has given no picture a score", where=version.ref,
                        mend=f"visionmill plugin check {name}")
    own = sorted(scored, key=lambda pair: (-pair[1], pair[0]))[:budget - round(params.epsilon * budget)]
    left = np.setdiff1d(ids, [image for image, _ in own])
    drawn = np.random.default_rng([params.seed, *name.encode()]).permutation(left)[:budget - len(own)].tolist()
    if len(scored) < budget:
        notes.append(f"{name} has scored {len(scored):,} of {len(free):,} pictures: the rest of the budget is drawn")
    reasons = [f"{name} gives it {score:.4g}, place {place + 1:,} of {len(scored):,}"
               for place, (_, score) in enumerate(own)]
    reasons += [f"drawn at random, one of {len(left):,}"] * len(drawn)
    count = len(own) + len(drawn)
    return Mined(pa.table([
        pa.array([*(image for image, _ in own), *drawn], pa.int64()), pa.array(np.arange(count), pa.int32()),
        pa.array([f"plugin:{name}"] * count, pa.string()), pa.array(np.arange(count) >= len(own)),
        pa.array([*(float(score) for _, score in own), *[None] * len(drawn)], pa.float64()),
        pa.array(["{}"] * count, pa.string()), pa.array(reasons, pa.string())], schema=SCHEMA), notes,
        params.model_dump())
