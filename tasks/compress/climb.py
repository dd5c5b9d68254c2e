"""How a point of the frontier is made: prune, retrain, measure, keep."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from tasks.base.files import write_json
from tasks.compress.budget import Cost
from tasks.compress.frontier import Limits, Point, keep_point, load_point, next_key
from tasks.compress.importance import Gradients, gradients
from tasks.compress.pruning import How, prune_until
from tasks.data.table import Dataset
from tasks.models.fcos import FCOS
from tasks.models.plan import read_plan
from tasks.models.store import Structure, load_model, save_model
from tasks.training.loop import batches
from tasks.training.pictures import Pictures
from tasks.training.session import Reporter, learn
from tasks.training.settings import Training

BATCHES = 8  # training batches whose gradients rank channels


@dataclass
class Climb:
    """Makes points; one that is there already is taken as it is.

    Attributes:
        structure: of the whole network.
        whole: the network to be imitated, or None.
        cost: of a network.
        kept: folder of the points.
        work: folder of checkpoints.
    """

    structure: Structure
    whole: FCOS | None
    dataset: Dataset
    raw: Path
    how: How
    retrain: Training
    cost: Callable[[FCOS], Cost]
    kept: Path
    work: Path
    reporter: Reporter
    made: list[str] = field(default_factory=list)

    def __call__(self, parent: Point, limits: Limits) -> Point:
        """The network of `parent` pruned to absolute limits and retrained."""
        key = next_key(parent, limits)
        known = load_point(self.kept / key)
        if known is not None and known.cost.within(limits):
            print(f"known: {known.cost.parameters:,} parameters, validation AP {known.ap:.4f}")
            return known
        model, _ = load_model(parent.folder)
        smaller = prune_until(model, lambda one: self.cost(one).within(limits), self._shape, self.how,
                              self._gradients(model))
        return self._retrained(key, smaller)

    @property
    def _shape(self) -> tuple[int, int]:
        return self.structure.height, self.structure.width

    def _gradients(self, model: FCOS) -> Gradients | None:
        if self.how.importance != "taylor":
            return None
        train = Pictures(self.raw, self.dataset.subset("train"), self._shape, self.retrain.cache_mb)
        return gradients(model, islice(batches(train, self.retrain, 0), BATCHES))

    def _retrained(self, key: str, smaller: FCOS) -> Point:
        work = self.work / key
        told = Shifted(self.reporter, len(self.made) * self.retrain.epochs)
        state, best = learn(smaller, self.dataset, self.raw, self._shape, self.retrain, work, told, self.whole)
        entry = next((e for e in state.history if e["epoch"] == state.best_epoch), {})
        point = Point(key, self.kept / key, self.cost(smaller), state.best_ap, entry.get("val_AP50", 0.0), state.epoch)
        self.made.append(key)

        def write(folder: Path) -> None:
            save_model(folder, replace(self.structure, plan=read_plan(smaller), thresholds=best), state.best)
            write_json(folder / "history.json", state.history)

        keep_point(point, write)
        shutil.rmtree(work, ignore_errors=True)
        return point


class Shifted:
    """A run whose steps go on where the training before ended."""

    def __init__(self, told: Reporter, by: int) -> None:
        self.id, self._told, self._by = told.id, told, by

    def metrics(self, values: Mapping[str, Any], step: int = 0) -> None:
        self._told.metrics(dict(values), step=step + self._by)
