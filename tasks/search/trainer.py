"""The real training as a trial: pictures are decoded once for all trials of a shape."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.data.table import Dataset
from tasks.models.store import Structure
from tasks.search.objective import Entry
from tasks.training.judge import Judge
from tasks.training.loop import fit
from tasks.training.pictures import Pictures
from tasks.training.session import parts
from tasks.training.start import start


class Trainer:
    """Trains with given parameters; what a stage `train` would do, without its outputs.

    Args:
        raw: the folder that the table's file names start from.
        dataset: the split.
        structure_of: the network that parameters and data ask for.
        earlier: folder of the model to start from, where the parameters name one.

    Raises:
        DataError: the training or the validation split is empty.
    """

    def __init__(self, raw: Path, dataset: Dataset, structure_of: Callable[[Any, Dataset, str], Structure],
                 earlier: Path | None = None) -> None:
        self.raw, self.dataset, self.structure_of, self.earlier = raw, dataset, structure_of, earlier
        self.train, self.val = parts(dataset)
        self._ready: dict[tuple[int, int], tuple[Pictures, Judge]] = {}

    def __call__(self, params: Any, work: Path, after_epoch: Callable[[Entry], bool],
                 replay: Callable[[list[Entry]], None]) -> None:
        """Train to the end, or until `after_epoch` says True. A checkpoint in `work` is taken up.

        Raises:
            FloatingPointError: the loss is not finite.
        """
        structure = self.structure_of(params, self.dataset, "sweep")
        from_nothing = self.earlier is None and params.init != "imagenet"
        settings = params.model_copy(update={"freeze": 0}) if from_nothing else params
        model = start(structure, params.init, params.seed, self.earlier)
        pictures, judge = self._inputs((structure.height, structure.width), settings.cache_mb)
        fit(model, pictures, judge, settings, work / "checkpoint.pt", after_epoch,
            resumed=lambda state: replay(state.history))

    def _inputs(self, shape: tuple[int, int], cache_mb: int) -> tuple[Pictures, Judge]:
        if shape not in self._ready:
            # one shape at a time: each has its pictures in memory
            self._ready = {shape: (Pictures(self.raw, self.train, shape, cache_mb), Judge(self.raw, self.val, shape))}
        return self._ready[shape]
