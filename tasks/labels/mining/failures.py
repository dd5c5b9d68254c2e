"""Failures: pictures of the pool that look like those that the last evaluation got wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from tasks.base.errors import DataError
from tasks.labels.mining.pool import Failures, unit
from tasks.labels.mining.strategy import Params, Ranked, Strategy, Task
from tasks.metrics.mistakes import Mistake

CHUNK = 1 << 15


class Likeness(Params):
    """Parameters of `failures`.

    Attributes:
        most: failures that are gone by at most, the worst.
    """

    most: int = Field(default=500, ge=1, description="failures that are gone by at most, the worst")


def failures_of(mistakes: Sequence[Mistake], image_ids: np.ndarray, vectors: np.ndarray) -> Failures:
    """One row a picture with mistakes, worst first; severity is the sum of its mistakes'.

    Take an evaluation on val: pictures like those of test would make test easy.

    Args:
        image_ids: int64 [m], of the evaluated pictures; vectors: float [m, d], of the same.

    Raises:
        DataError: a mistake on a picture that has no vector.
    """
    row = {int(image): place for place, image in enumerate(image_ids)}
    severity: dict[int, float] = {}
    words: dict[int, list[str]] = {}
    for mistake in mistakes:
        if mistake.image_id not in row:
            raise DataError(f"picture {mistake.image_id} has a mistake and no vector", where="vectors",
                            mend="give the vectors of all evaluated pictures")
        severity[mistake.image_id] = severity.get(mistake.image_id, 0.0) + max(mistake.severity, 1e-6)
        told = f"{mistake.kind}: {mistake.true_class or mistake.found_class}"
        words.setdefault(mistake.image_id, []).append(told)
    order = sorted(severity, key=lambda image: (-severity[image], image))
    return Failures(vectors[[row[image] for image in order]] if order else vectors[:0],
                    np.array([severity[image] for image in order]),
                    [f"picture {image} ({', '.join(sorted(set(words[image]))[:3])})" for image in order])


def neighbours(vectors: np.ndarray, free: np.ndarray, failed: np.ndarray,
               count: int) -> tuple[np.ndarray, np.ndarray]:
    """For each failure the `count` free rows that are most like it: places int64 and cosines float32 [f, count].

    The pool is read once, a part at a time; what is held is `count` rows for each failure.
    """
    theirs = unit(failed)
    count = min(count, len(free))
    places = np.zeros((len(failed), 0), np.int64)
    cosines = np.zeros((len(failed), 0), np.float32)
    for start in range(0, len(free), CHUNK):
        rows = free[start:start + CHUNK]
        cosine = np.concatenate([cosines, theirs @ unit(vectors[rows]).T], axis=1)
        place = np.concatenate([places, np.broadcast_to(rows, (len(failed), len(rows)))], axis=1)
        keep = np.argsort(-cosine, axis=1, kind="stable")[:, :count] if cosine.shape[1] <= 4 * count else (
            _best(cosine, count))
        cosines, places = np.take_along_axis(cosine, keep, 1), np.take_along_axis(place, keep, 1)
    return places, cosines


def _best(cosine: np.ndarray, count: int) -> np.ndarray:
    some = np.sort(np.argpartition(-cosine, count - 1, axis=1)[:, :count], axis=1)
    order = np.argsort(-np.take_along_axis(cosine, some, 1), axis=1, kind="stable")
    return np.take_along_axis(some, order, 1)


def _failures(params: Likeness, task: Task) -> Ranked:
    failed, vectors = task.known.failures, task.pool.vectors
    assert failed is not None and vectors is not None
    many = min(len(failed.words), params.most)
    if not many:
        raise DataError("the last evaluation got nothing wrong", where="failures", mend="take another strategy")
    wanted = max(4, -(-4 * task.budget // many))
    while True:
        places, cosines = neighbours(vectors, task.free, failed.vectors[:many], wanted)
        taken = _in_turns(places, task.budget)
        if len(taken) >= min(task.budget, len(task.free)) or wanted >= len(task.free):
            break
        wanted *= 4
    row, column = np.divmod(taken, places.shape[1])
    cosine = cosines[row, column].astype(np.float64)
    reasons = [f"like {failed.words[r]} of the last evaluation (cosine {c:.3f})"
               for r, c in zip(row.tolist(), cosine.tolist(), strict=True)]
    return Ranked(places[row, column], failed.severity[row] * cosine, reasons,
                  {"severity": failed.severity[row], "cosine": cosine})


def _in_turns(places: np.ndarray, budget: int) -> np.ndarray:
    """Cells of the table, flattened: each failure's nearest, then each one's second, no picture twice."""
    turns = np.arange(places.size).reshape(places.shape).T.ravel()
    first = np.sort(np.unique(places.ravel()[turns], return_index=True)[1])
    return turns[first][:budget]


FAILURES = Strategy("failures", "pictures like those that the last evaluation got wrong", Likeness,
                    frozenset({"vectors", "failures"}), _failures)
