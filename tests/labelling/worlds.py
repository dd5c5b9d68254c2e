"""A workspace whose pool has been looked at, to pick from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tasks.data.store.layout import Store, Version
from tasks.labelling import mining
from tasks.labelling.mining import pick
from tasks.labelling.picking.carried import prelabels_of
from tasks.labelling.prelabelling import Prelabels

COUNT = 24


class World:
    """A copy of the workspace that the fixture `filled` makes."""

    def __init__(self, root: Path) -> None:
        self.store, self.workspace = Store(root / "store"), root / "work"
        self.pool = self.store.find("pool")

    def pick(self, strategy: str = "random", budget: int = 5, pool: Version | None = None, looked: bool = True,
             **more: Any) -> tuple[Version, mining.Mined]:
        chosen = pool or self.pool
        found = prelabels_of(chosen, self.store, self.workspace)[1] if looked else None
        asked: dict[str, Any] = {"known": [], "out": "picked", "owner": "ann", "prelabels": found} | more
        return pick(chosen, self.store, self.workspace, strategy=strategy, budget=budget, **asked)

    @property
    def prelabels(self) -> Prelabels:
        found = prelabels_of(self.pool, self.store, self.workspace)[1]
        assert found is not None
        return found


def digests(version: Version) -> list[str]:
    """Of a version's pictures, in its order."""
    return list(pq.read_table(version.folder / "images.parquet")["digest"].to_pylist())
