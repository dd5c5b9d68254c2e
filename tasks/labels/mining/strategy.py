"""What a strategy is: a name, parameters, what it needs, and a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import Field

from tasks.base.params import Params as Section
from tasks.labels.mining.pool import Known, Pool


class Params(Section):
    """What every strategy has.

    Attributes:
        epsilon: share of the budget that is drawn at random, whatever the model believes.
        seed: of all that is drawn; the same seed picks the same pictures.
    """

    epsilon: float = Field(default=0.05, ge=0, le=1, description="share of the budget that is drawn at random")
    seed: int = Field(default=0, ge=0, description="of all that is drawn")


@dataclass(frozen=True)
class Ranked:
    """Picked places in the pool, best first; arrays of one length.

    Attributes:
        places: int64.
        score: float64, what the strategy went by.
        reasons: in words.
        parts: further numbers by name.
        notes: what else is to be told.
    """

    places: np.ndarray
    score: np.ndarray
    reasons: list[str]
    parts: dict[str, np.ndarray] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Task:
    """What a strategy is asked: `budget` of the places `free` of a pool, given what is known."""

    pool: Pool
    known: Known
    free: np.ndarray
    budget: int
    rng: np.random.Generator


@dataclass(frozen=True)
class Strategy:
    """One way to pick.

    Attributes:
        name, about: for people.
        params: its parameters, a subclass of `Params`.
        needs: of `boxes`, `flip`, `vectors`, `aldd`, `consistency`, `failures`.
        select: at most `budget` of the free places, best first.
    """

    name: str
    about: str
    params: type[Params]
    needs: frozenset[str]
    select: Callable[[Any, Task], Ranked]


def best(score: np.ndarray, free: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """The `count` free places with the highest score; equal ones in an order that is drawn."""
    values = score[free]
    if 0 < count < len(free):
        # all that reach the last one's score, so that the draw is among all equal ones
        edge = np.partition(values, len(values) - count)[len(values) - count]
        free, values = free[values >= edge], values[values >= edge]
    return free[np.lexsort((rng.random(len(free)), -values))][:count]
