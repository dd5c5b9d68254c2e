"""Strategies that sum over a picture's boxes how unsure each is: entropy, margin, flip consistency."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
from pydantic import Field

from tasks.base.errors import DataError
from tasks.labels.columns import entropy, optional, ranked_within
from tasks.labels.mining.pool import Pool, boxes_on, whole_pictures
from tasks.labels.mining.strategy import Params, Ranked, Strategy, Task, best

Unsure = Callable[[pa.Table], np.ndarray]
Say = Callable[[str, float, float], str]
NAMED = 3


class Summed(Params):
    """Parameters of the strategies that sum over boxes.

    Attributes:
        most: boxes of a class in a picture that count at most: a crowd is no more informative than a few.
        floor: boxes of a lower probability, or score where there is none, do not count.
    """

    most: int = Field(default=5, ge=1, description="boxes of a class in a picture that count at most")
    floor: float = Field(default=0.05, ge=0, le=1, description="boxes of a lower score do not count")


def sums(pool: Pool, unsure: Unsure, most: int, floor: float, weights: np.ndarray | None = None) -> np.ndarray:
    """S = Σ over classes k of w_k · the `most` largest u of boxes of k above `floor`; float64 [pictures].

    Args:
        unsure: u of each row of a table.
        weights: w, float [K]; 1 for all when None.

    Raises:
        DataError: a class that the pool has no name for, or a score that is no number.
    """
    total = np.zeros(len(pool))
    for place, table in whole_pictures(pool):
        rows = (place >= 0) & ~(belief(table) <= floor)  # NaN too: it is told
        label, value, where = table["class_id"].to_numpy()[rows].astype(np.int64), unsure(table)[rows], place[rows]
        _refuse(label, value, len(pool.classes))
        counts = ranked_within(where * (1 << 20) + label, value) < most
        heavy = value if weights is None else value * weights[label]
        total += np.bincount(where[counts], weights=heavy[counts], minlength=len(pool))
    return total


def by_entropy(table: pa.Table) -> np.ndarray:
    """Binary entropy in bits of how likely the box is right: each class is a question of yes or no.

    YMIR's formula, −Σ c log₂ c over all anchors before suppression, lacks the other half and grows with the crowd.
    """
    return entropy(belief(table))


def by_margin(table: pa.Table) -> np.ndarray:
    """1 − (best − second best) of three answers: the box's class, s; the next class there, s − margin; none, 1 − s.

    Scheffer, Decomain and Wrobel 2001; for detection Roy et al. 2018, "Deep active learning for object detection". The
    third answer keeps boxes that are two classes at 0.2 each, so most likely nothing, from being taken for the most
    unsure. Where the column `margin` is null or not there: 1 − |2 s − 1|.
    """
    score, margin = optional(table, "score", 0.0), optional(table, "margin", np.inf)
    answers = np.sort(np.stack([score, score - margin, 1 - score], axis=1), axis=1)
    return 1 - (answers[:, 2] - answers[:, 1])


def by_flip(table: pa.Table) -> np.ndarray:
    """score · (1 − flip): a box that the model is sure of, and that it does not see in the mirror."""
    return optional(table, "score", 0.0) * (1 - optional(table, "flip", 1.0))


def belief(table: pa.Table) -> np.ndarray:
    """The column `probability` (`difficulty.rate`) where it is there, else the score: float64 [n]."""
    return optional(table, "probability" if "probability" in table.column_names else "score", 0.0)


def _entropy(params: Summed, task: Task) -> Ranked:
    return _ranked(task, params, by_entropy, at_score, "{count} open, {total:.2f} bits in all: {boxes}")


def _margin(params: Summed, task: Task) -> Ranked:
    return _ranked(task, params, by_margin, lambda name, score, u: f"{name} at {score:.2f} (margin {1 - u:.2f})",
                   "{count} could as well be something else: {boxes}")


def _flip(params: Summed, task: Task) -> Ranked:
    return _ranked(task, params, by_flip, lambda name, score, u:
                   f"{name} at {score:.2f} (agreement {1 - u / max(score, 1e-9):.2f})",
                   "{count} not seen alike in the mirror: {boxes}")


def at_score(name: str, score: float, unsure: float) -> str:
    """`cell at 0.48`."""
    return f"{name} at {score:.2f}"


def _ranked(task: Task, params: Summed, unsure: Unsure, say: Say, words: str) -> Ranked:
    total = sums(task.pool, unsure, params.most, params.floor)
    places = best(total, task.free, task.budget, task.rng)
    count, named = unsure_boxes(task.pool, places, unsure, params, say)
    reasons = [words.format(count=plural(int(n), "box", "boxes"), total=total[place], boxes=", ".join(boxes)) if boxes
               else "nothing was found in it" for n, place, boxes in zip(count, places, named, strict=True)]
    return Ranked(places, total[places], reasons, {"boxes": count.astype(np.float64)})


def unsure_boxes(pool: Pool, places: np.ndarray, unsure: Unsure, params: Summed,
                 say: Say) -> tuple[np.ndarray, list[list[str]]]:
    """Of each picked picture: how many boxes count, and the most unsure ones in words."""
    at, table = boxes_on(pool, places)
    count, named = np.zeros(len(places), np.int64), [list[str]() for _ in places]
    if table is None:
        return count, named
    rows = np.flatnonzero(belief(table) > params.floor)
    value, label = unsure(table)[rows], table["class_id"].to_numpy()[rows].astype(np.int64)
    held = ranked_within(at[rows] * (1 << 20) + label, value) < params.most
    rows, value = rows[held], value[held]
    count = np.bincount(at[rows], minlength=len(places))
    top = np.flatnonzero(ranked_within(at[rows], value) < NAMED)
    top = top[np.lexsort((-value[top], at[rows[top]]))]
    few = table.take(pa.array(rows[top]))
    told = zip(at[rows[top]].tolist(), few["class_id"].to_pylist(), few["score"].to_pylist(), value[top].tolist(),
               strict=True)
    for place, number, score, u in told:
        named[place].append(say(class_name(pool.classes, number), score, u))
    return count, named


def _refuse(label: np.ndarray, value: np.ndarray, classes: int) -> None:
    wrong = np.flatnonzero((label < 0) | (label >= classes))
    if len(wrong):
        raise DataError(f"a detection of class {label[wrong[0]]}, and the pool has {classes} classes", where="pool",
                        mend="pre-label the pool again with a model of these classes, or map them")
    if not np.isfinite(value).all():
        raise DataError("a detection whose score is no number", where="pool", mend="pre-label the pool again")


def class_name(classes: Sequence[str], number: int) -> str:
    """Its name, or `class 7` where it has none."""
    return classes[number] if 0 <= number < len(classes) else f"class {number}"


def plural(count: int, one: str, more: str) -> str:
    """`1 box`, `2 boxes`."""
    return f"{count:,} {one if count == 1 else more}"


ENTROPY = Strategy("entropy", "most bits open over the boxes, a few of each class", Summed, frozenset({"boxes"}),
                   _entropy)
MARGIN = Strategy("margin", "boxes between two classes, or between yes and no", Summed, frozenset({"boxes"}), _margin)
FLIP = Strategy("flip", "sure boxes that are not seen in the mirror", Summed, frozenset({"boxes", "flip"}), _flip)
