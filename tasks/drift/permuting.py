"""Exact p-values by permutation, and their correction for the number of tests of one look."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.drift.statistics import Statistic

# a test ends when so many permutations were at least as far apart: its p-value is known well enough then
ENOUGH = 20
BATCH = 256
# of the numbers that labels of one batch may have: memory does not grow with the pictures
LABELS = 1 << 22
# permutations that would be as far apart at the strictest threshold; more make the answer no surer
AT_THRESHOLD = 10
MOST = 100_000
# what rounding may do to two equal distances
SLACK = 1e-5


@dataclass(frozen=True)
class Chance:
    """How often chance alone is as far apart.

    Attributes:
        value: the statistic as observed.
        p: exact: at most a share `a` of looks without drift has p <= a (Besag & Clifford 1991).
        draws: permutations that were looked at.
    """

    value: float
    p: float
    draws: int


def permutations(tests: int, false_alarm: float) -> int:
    """How many are needed for a p-value below the strictest threshold of `tests` tests to be told from it."""
    return min(max(math.ceil(AT_THRESHOLD * tests / false_alarm), 999), MOST)


def chances(statistics: Mapping[str, Statistic], old: int, new: int, draws: int, seed: int) -> dict[str, Chance]:
    """The p-value of each statistic of pooled pictures, of which the last `new` are the new ones.

    A test that has seen `ENOUGH` permutations as far apart stops there: p = ENOUGH / draws so far; else it is
    (1 + how many) / (1 + draws). Both are exact, and never 0.
    """
    truth = np.arange(old + new)[None] >= old
    values = {name: float(statistic(truth)[0]) for name, statistic in statistics.items()}
    reached = dict.fromkeys(statistics, 0)
    done: dict[str, Chance] = {}
    drawn = 0
    for labels in _labels(old, new, draws, seed):
        for name in [name for name in statistics if name not in done]:
            least = values[name] - SLACK * abs(values[name])
            as_far = np.cumsum(statistics[name](labels) >= least) + reached[name]
            if as_far[-1] >= ENOUGH:
                used = drawn + int(np.argmax(as_far >= ENOUGH)) + 1
                done[name] = Chance(values[name], ENOUGH / used, used)
            reached[name] = int(as_far[-1])
        drawn += len(labels)
        if len(done) == len(statistics):
            break
    return {name: done.get(name) or Chance(values[name], (1 + reached[name]) / (1 + drawn), drawn)
            for name in statistics}


def holm(p_values: Sequence[float], false_alarm: float) -> list[tuple[float, bool]]:
    """Threshold of each test and whether it is an alarm: any alarm without drift has at most the rate `false_alarm`.

    Holm, A simple sequentially rejective multiple test procedure, 1979; whatever the tests have to do with each other.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    found: dict[int, tuple[float, bool]] = {}
    going = True
    for rank, i in enumerate(order):
        threshold = false_alarm / (len(p_values) - rank)
        going = going and p_values[i] <= threshold
        found[i] = (threshold, going)
    return [found[i] for i in range(len(p_values))]


def smallest_p(old: int, new: int) -> float:
    """No test of so few pictures has a p-value below it: one of all ways to choose the new ones."""
    return 1 / math.comb(old + new, new)


def detectable(old: int, new: int, tests: int, false_alarm: float, power: float = 0.8) -> float:
    """The smallest shift of a mean, in standard deviations, that such a look sees in a share `power` of the cases.

    Of two normal samples at the strictest of Holm's thresholds: a guide, not a promise.
    """
    from scipy.stats import norm

    wanted = norm.isf(false_alarm / (2 * tests)) + norm.ppf(power)
    return float(wanted * math.sqrt(1 / old + 1 / new))


def _labels(old: int, new: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Ways to choose `new` of all pictures, bool [up to BATCH, old + new]."""
    chance = np.random.default_rng(seed)
    size = max(1, min(BATCH, LABELS // (old + new)))
    for start in range(0, draws, size):
        keys = chance.random((min(size, draws - start), old + new), dtype=np.float32)
        chosen = np.argpartition(keys, new - 1, axis=1)[:, :new]
        labels = np.zeros(keys.shape, bool)
        np.put_along_axis(labels, chosen, True, axis=1)
        yield labels
