"""Candidate and champion on the same draws of the same pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from tasks.metrics.bootstrap import Interval, Measure, Resampled, Sample, change, resample_all, spread
from tasks.metrics.slices import Part

if TYPE_CHECKING:
    from tasks.data.table import Dataset

SEED = 0
WHOLE = Part("")


@dataclass(frozen=True)
class Compared:
    """One measure, each with its 95 % interval, in 0..1; `change` is candidate − champion."""

    champion: Interval
    candidate: Interval
    change: Interval


@dataclass
class Contest:
    """What both answer on today's test set; every sample is drawn once.

    Attributes:
        dataset: pictures and ground truth.
        candidate: artefact → its detections.
        champion: its detections, None when there is no champion or it could not be asked.
        draws: of pictures.
    """

    dataset: Dataset
    candidate: Callable[[str], pa.Table]
    champion: pa.Table | None = None
    draws: int = 1000
    kept: dict[tuple[str | None, str, Measure], Resampled] = field(default_factory=dict)

    def compare(self, artefact: str, measure: Measure, part: Part = WHOLE, name: str = "") -> Compared:
        """Champion against candidate, on all pictures or on a part of them.

        Args:
            artefact: whose detections are the candidate's.
            part, name: the part, and a name that no other part has.
        """
        held, found = (self._sample(side, measure, part, name) for side in (None, artefact))
        return Compared(spread(held), spread(found), change(held, found))

    def classes(self, artefact: str, measure: Measure) -> list[Compared]:
        """The same for each class, by its id."""
        sides = [self._drawn(side, measure, WHOLE, "").classes for side in (None, artefact)]
        return [Compared(spread(held[measure]), spread(found[measure]), change(held[measure], found[measure]))
                for held, found in zip(*sides, strict=True)]

    def value(self, artefact: str, measure: Measure, part: Part, name: str) -> Interval:
        """The candidate alone on a part."""
        return spread(self._sample(artefact, measure, part, name))

    def _sample(self, side: str | None, measure: Measure, part: Part, name: str) -> Sample:
        return self._drawn(side, measure, part, name).overall[measure]

    def _drawn(self, side: str | None, measure: Measure, part: Part, name: str) -> Resampled:
        key = side, name, measure
        if key not in self.kept:
            table = self.champion if side is None else self.candidate(side)
            if table is None:
                raise ValueError("there is no champion to compare with")
            # AP50 is a by-product of AP; of a part only what is asked is worth its time
            measures: tuple[Measure, ...] = (measure,) if name else ("AP", "AP50")
            drawn = resample_all(part.of(self.dataset), part.found(table), measures, self.draws, SEED, part.area)
            self.kept |= {(side, name, one): drawn for one in measures}
        return self.kept[key]
