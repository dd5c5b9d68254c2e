"""Coverage: each next picture is the farthest from all that are labelled or picked.

k-centre greedy, Sener and Savarese 2018, "Active Learning for Convolutional Neural Networks: A Core-Set Approach".
"""

from __future__ import annotations

import numpy as np

from tasks.labels.mining.pool import unit
from tasks.labels.mining.strategy import Params, Ranked, Strategy, Task

CHUNK, WIDE = 1 << 15, 1024
# candidates that are compared with all centres at once
LEAST_BLOCK, MOST_BLOCK = 1 << 12, 1 << 16
# more labelled pictures than this are stood for by so many of them, drawn
LABELLED = 20_000
FIRST = 3.0  # the bound of the first picture where nothing is known: farther than any distance
SAME = 1e-5  # nothing farther than this is left: copies of what was picked


def k_centres(vectors: np.ndarray, free: np.ndarray, known: np.ndarray | None, count: int,
              rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Places picked, int64, and the distance 1 − cosine of each to the nearest known or earlier one; float64.

    Exactly farthest-first, though not all are compared with all: a distance only ever falls, so the old one is a
    bound, and those with the largest bounds are brought up to date, some thousand at a time, until the farthest of
    them is farther than any other's bound. Of equal ones the first is picked. Fewer than `count` come back where all
    that is left is a copy of what was picked; pictures that show nothing, vectors of zeros, are copies of each other.
    Without known vectors the first is the one nearest to the mean.

    Args:
        vectors: float [n, d], may be mapped from a file; free: int64, rows that may be picked.
        known: float [m, d]; of more than 20,000 as many are drawn.
    """
    bound = _start(vectors, free, known, rng)
    seen = np.zeros(len(free), np.int32)
    centres = np.zeros((min(count, len(free)), vectors.shape[1] + 1), np.float32)
    picked: list[int] = []
    distance: list[float] = []
    size = LEAST_BLOCK
    while len(picked) < len(centres):
        block, others = _largest(bound, size)
        rows = _rows(vectors[free[block]])
        bound[block] = _brought_up(rows, centres[:len(picked)], bound[block], seen[block])
        before = len(picked)
        while len(picked) < len(centres):
            at = int(bound[block].argmax())
            if bound[block[at]] < others or bound[block[at]] <= SAME:
                break
            picked.append(int(block[at]))
            distance.append(float(bound[block[at]]))
            centres[len(picked) - 1] = rows[at]
            bound[block] = np.minimum(bound[block], 1 - rows @ rows[at])
            bound[picked[-1]] = -1
        seen[block] = len(picked)
        if len(picked) == before and bound.max() <= SAME:
            break
        size = LEAST_BLOCK if len(picked) > before + 8 else min(2 * size, MOST_BLOCK)
    return free[np.array(picked, np.int64)], np.array(distance)


def _start(vectors: np.ndarray, free: np.ndarray, known: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """The distance of each free row to the nearest known one; without any, `FIRST` for the one nearest to the mean."""
    bound = np.full(len(free), 2.0, np.float32)
    if known is None or not len(known):
        mean = sum((_rows(vectors[free[i:i + CHUNK]]).sum(axis=0, dtype=np.float64)
                    for i in range(0, len(free), CHUNK)), np.zeros(vectors.shape[1] + 1))
        for i in range(0, len(free), CHUNK):
            near = _rows(vectors[free[i:i + CHUNK]]) @ unit(mean[None])[0]
            bound[i:i + CHUNK] = 3 + near
        first = int(bound.argmax())
        bound[:] = 2
        bound[first] = FIRST
        return bound
    if len(known) > LABELLED:
        known = known[np.sort(rng.choice(len(known), LABELLED, replace=False))]
    theirs = _rows(known)
    for i in range(0, len(free), CHUNK):
        bound[i:i + CHUNK] = _nearest(_rows(vectors[free[i:i + CHUNK]]), theirs)
    return bound


def _rows(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1 with one more column, which zeros have: else each black picture were far from all others."""
    rows = unit(vectors)
    return np.concatenate([rows, ~rows.any(axis=1, keepdims=True)], axis=1, dtype=np.float32)


def _largest(bound: np.ndarray, size: int) -> tuple[np.ndarray, float]:
    """The places of the largest bounds, ascending, and the largest of all others."""
    if size >= len(bound):
        return np.arange(len(bound)), -np.inf
    order = np.argpartition(-bound, size)
    return np.sort(order[:size]), float(bound[order[size]])


def _brought_up(rows: np.ndarray, centres: np.ndarray, bound: np.ndarray, seen: np.ndarray) -> np.ndarray:
    new = centres[int(seen.min(initial=len(centres))):]
    # what was picked has -1 and keeps it
    return np.minimum(bound, _nearest(rows, new)) if len(new) else bound


def _nearest(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    best = np.full(len(rows), -1.0, np.float32)
    for i in range(0, len(centres), WIDE):
        np.maximum(best, (rows @ centres[i:i + WIDE].T).max(axis=1), out=best)
    return 1 - best


def farthest(task: Task, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`k_centres` of a task among some of its places, beside what is known."""
    assert task.pool.vectors is not None
    return k_centres(task.pool.vectors, among, task.known.vectors, task.budget, task.rng)


def _coverage(params: Params, task: Task) -> Ranked:
    places, distance = farthest(task, task.free)
    reasons = [far_words(value) for value in distance]
    return Ranked(places, distance, reasons, {"distance": distance}, fewer(task, places))


def fewer(task: Task, places: np.ndarray) -> list[str]:
    """What is told where less is picked than was asked for and is there."""
    lacking = min(task.budget, len(task.free)) - len(places)
    return [f"{lacking:,} fewer than asked: all others look like one of them"] if lacking else []


def far_words(distance: float) -> str:
    """Why a picture that is so far from all others is worth a look."""
    if distance > FIRST - 0.5:
        return "the first, nearest to the middle of the pool"
    return f"unlike all that is labelled or picked: {distance:.3f} from the nearest (1 − cosine)"


COVERAGE = Strategy("coverage", "pictures farthest from all that are labelled", Params, frozenset({"vectors"}),
                    _coverage)
