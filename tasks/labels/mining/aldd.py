"""ALDD: neighbouring places of a class's heat map contradict each other.

Aghdam et al. 2019, "Active Learning for Deep Detection Neural Networks" (ICCV), as YMIR's executors code it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from tasks.base.errors import ParamsError, nearest
from tasks.labels.mining.strategy import Params, Ranked, Strategy, Task, best
from tasks.labels.mining.uncertain import class_name

WINDOW, CELL = 9, 32


class Weighted(Params):
    """Parameters of `aldd`.

    Attributes:
        weights: of classes by name; 1 for those that are not named.
    """

    weights: dict[str, float] = Field(default={}, description="weight of a class by name, 1 for the others")


def scores(heat: np.ndarray, window: int = WINDOW, cell: int = CELL) -> np.ndarray:
    """S of each class of one picture, float64 [K].

    With H(p) = −p ln p − (1 − p) ln(1 − p) and avg the mean over a window (what is outside does not count):
    U = Σ over channels of H(avg(P)) − avg(H(P)), at least 0 since H is concave; S = mean over cells of the cell's
    largest U. So a place counts where its neighbourhood is of two minds, and not where all of it is unsure alike.

    Args:
        heat: float [channels, K, H, W]: probabilities; the scales and shapes of a network are channels, brought to
            the size of the input.
        window: side of the neighbourhood; cell: side of a cell, smaller ones at the right and at the bottom.
    """
    p = np.asarray(heat, np.float64)
    if 0 in p.shape:
        return np.zeros(p.shape[1])
    unsure = (_nats(_mean(p, window)) - _mean(_nats(p), window)).sum(axis=0)
    rows, columns = (np.arange(0, size, cell) for size in unsure.shape[1:])
    return np.maximum.reduceat(np.maximum.reduceat(unsure, rows, axis=1), columns, axis=2).mean(axis=(1, 2))


def _nats(p: np.ndarray) -> np.ndarray:
    inside = np.clip(p, 1e-12, 1 - 1e-12)
    return -inside * np.log(inside) - (1 - inside) * np.log(1 - inside)


def _mean(x: np.ndarray, window: int) -> np.ndarray:
    """The mean over a square around each place, cut off at the borders, along the last two axes."""
    for axis in (-2, -1):
        size, half = x.shape[axis], window // 2
        total = np.concatenate([np.zeros_like(x.take([0], axis)), np.cumsum(x, axis=axis)], axis=axis)
        low, high = (np.clip(np.arange(size) + step, 0, size) for step in (-half, window - half))
        shape = [1] * x.ndim
        shape[axis] = size
        x = (total.take(high, axis) - total.take(low, axis)) / (high - low).reshape(shape)
    return x


def _aldd(params: Weighted, task: Task) -> Ranked:
    classes, each = task.pool.classes, task.pool.columns["aldd"]
    weights = np.ones(len(classes))
    for name, value in params.weights.items():
        if name not in classes:
            guess = nearest(name, classes)
            raise ParamsError(f"no class {name!r}", where="weights", mend=f"did you mean {guess!r}?" if guess else
                              f"the classes are {', '.join(classes)}")
        weights[classes.index(name)] = value
    total = np.asarray(each @ weights, np.float64)
    places = best(total, task.free, task.budget, task.rng)
    parts: Any = each[places] * weights
    leading = parts.argmax(axis=1) if len(places) else np.zeros(0, int)
    reasons = [f"neighbouring places contradict each other, most for {class_name(classes, int(k))} "
               f"({row[k]:.3f} of {sum(row):.3f})" for k, row in zip(leading, parts, strict=True)]
    return Ranked(places, total[places], reasons)


ALDD = Strategy("aldd", "heat maps whose neighbouring places contradict each other", Weighted, frozenset({"aldd"}),
                _aldd)
