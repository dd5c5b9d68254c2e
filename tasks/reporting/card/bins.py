"""The bins of the card's histograms. They are the same for every dataset, so that two versions can be compared."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tasks.data.table import SPLITS

NONE = "none"  # pictures that belong to no split
GRID = 24  # cells of the map of places, each way
SHADES = 32  # bins of brightness, 8 of 256 values each
SMALL, MEDIUM = 32**2, 96**2  # COCO's limits, in square pixels


@dataclass(frozen=True)
class Bins:
    """Logarithmic bins: bin k reaches from `unit * 2^(k / steps)` to the next edge; what is outside counts at the ends.

    Attributes:
        steps: bins to a factor of two.
        low: number of the first bin.
        high: number of the last bin.
        unit: what bin 0 begins with.
    """

    steps: int
    low: int
    high: int
    unit: float = 1.0

    def edge(self, k: int) -> float:
        return self.unit * 2 ** (k / self.steps)

    def sql(self, logarithm: str) -> str:
        """The number of a value's bin; `logarithm` is SQL for log2 of (value / unit)."""
        return f"least(greatest(floor({self.steps} * ({logarithm})), {self.low}), {self.high})::INTEGER"


SIZE = Bins(4, -8, 80)  # side of a box in pixels: the square root of its area
RELATIVE = Bins(4, -60, 8, 100.0)  # the same in percent of the picture's
ASPECT = Bins(6, -36, 36)  # width / height

Histogram = dict[str, list[list[int]]]  # split -> [bin, number], by bin


def ordered(splits: set[str]) -> list[str]:
    """Names of splits as a reader expects them: train, val, test, others, none."""
    known = [*SPLITS, *sorted(splits - {*SPLITS, NONE}), NONE]
    return [name for name in known if name in splits]


def merged(histogram: Histogram) -> list[list[int]]:
    """All splits together."""
    total: Counter[int] = Counter()
    for counts in histogram.values():
        for key, count in counts:
            total[key] += count
    return [[key, total[key]] for key in sorted(total)]
