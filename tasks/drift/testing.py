"""The tests of one look: which questions are asked of which values, and Holm's correction over all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tasks.drift.measures import NUMBERS, Seen
from tasks.drift.permuting import Chance, chances, holm, permutations
from tasks.drift.statistics import (
    Statistic,
    anderson_darling,
    gap,
    kernel_mean,
    mean_difference,
    same_neighbours,
)


@dataclass(frozen=True)
class Side:
    """Values of one question, old and new; [n] numbers, or rows [n, k] of vectors or counts."""

    old: np.ndarray
    new: np.ndarray

    @property
    def pooled(self) -> np.ndarray:
        return np.concatenate([self.old, self.new])


@dataclass(frozen=True)
class Test:
    """One question and its answer.

    Attributes:
        name: a key of `words.QUESTIONS`.
        side: what was compared.
        chance: statistic, exact p-value and number of permutations.
        threshold: Holm's, of this p-value.
        alarm: whether it is below, and those of all smaller p-values too.
        gap: largest difference of cumulated shares, 0 to 1; None for what is no single number.
    """

    name: str
    side: Side
    chance: Chance
    threshold: float
    alarm: bool
    gap: float | None


def sides_of(old: Seen, new: Seen) -> dict[str, Side]:
    """What is compared of pictures alone: embeddings, twice, and numbers; near-duplicates count once."""
    numbers = {name: Side(old.numbers[name][old.units], new.numbers[name][new.units]) for name in NUMBERS}
    vectors = Side(old.vectors[old.units], new.vectors[new.units])
    return {"looks": vectors, "strangers": vectors, **numbers}


def is_constant(side: Side) -> bool:
    """Whether no test can tell anything."""
    return bool((side.pooled == side.pooled[0]).all())


MAKERS: dict[str, Callable[[np.ndarray], Statistic]] = {
    "looks": kernel_mean, "strangers": same_neighbours,
    # square roots, so that a few crowded pictures do not outweigh all others
    "classes": lambda rows: mean_difference(np.sqrt(rows))}


def run_tests(groups: list[dict[str, Side]], false_alarm: float, seed: int) -> list[Test]:
    """All tests, corrected together. The groups compare different pictures, so each is permuted by itself."""
    count = sum(map(len, groups))
    draws = permutations(max(count, 1), false_alarm)
    found: dict[str, Chance] = {}
    for sides in groups:
        if sides:
            first = next(iter(sides.values()))
            made = {name: MAKERS.get(name, anderson_darling)(side.pooled) for name, side in sides.items()}
            found |= chances(made, len(first.old), len(first.new), draws, seed)
    every = groups[0] | groups[1]
    judged = holm([found[name].p for name in every], false_alarm)
    return [Test(name, side, found[name], threshold, alarm, gap(side.old, side.new) if side.old.ndim == 1 else None)
            for (name, side), (threshold, alarm) in zip(every.items(), judged, strict=True)]
