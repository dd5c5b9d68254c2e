"""Boxes that need no person: above thresholds that reviewed labels have earned, with a bound that is stated.

The claim: with a probability of at least 1 − miss, of the boxes of each class that are accepted no more than
`max_error` are wrong. It is about pictures like the reviewed ones, which must be drawn from the same pool, and about
the boxes that are there: objects that the model misses are no part of it (`difficulty.rate_pictures` counts these).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from tasks.base.params import Params
from tasks.labels.bounds import design_effect, lower, needed, upper
from tasks.labels.columns import optional

GROWTH = 1.15  # each step of a sequence looks at so many times as many boxes
# how far errors of one picture come together shows late: of a class of which 6 % are wrong, correlated by 0.3, 10
# pictures with 15 boxes each earned the promise of 5 % in 14 of 100 samples; from 20 pictures on in fewer than 5
PICTURES = 20


class Settings(Params):
    """What is promised.

    Attributes:
        max_error: share of the accepted boxes that may be wrong.
        miss: probability with which the promise, of all classes at once, may fail.
        per: `class`: a threshold for each class; `pooled`: one for all.
        starts: sequences that are begun with more and more boxes; each has its part of `miss`.
        clusters: whether errors of one picture may come together (`bounds.design_effect`).
        column: what the threshold is on.
    """

    max_error: float = Field(default=0.05, gt=0, lt=1, description="share of the accepted boxes that may be wrong")
    miss: float = Field(default=0.05, gt=0, lt=0.5, description="probability with which that may fail")
    per: Literal["class", "pooled"] = "class"
    starts: int = Field(default=3, ge=1, le=10, description="sequences that are begun with more and more boxes")
    clusters: bool = Field(default=True, description="errors of one picture may come together")
    column: str = Field(default="probability", description="what the threshold is on")


@dataclass(frozen=True)
class Threshold:
    """What was earned, of one class, or of all (`class_id` None).

    Attributes:
        threshold: boxes from here on are accepted; None: nothing is.
        bound: what is promised: the share of wrong ones is at most this. It is `max_error`, also where the test at
            the threshold was passed with room to spare: that number was chosen by the data that it is from.
        tested: the Clopper–Pearson bound of that test.
        wrong, reviewed: among the reviewed boxes from the threshold on.
        reason: in words.
        lacking: reviewed pictures with its boxes that are missing before anything can be promised.
    """

    class_id: int | None
    threshold: float | None
    bound: float | None
    tested: float | None
    wrong: int
    reviewed: int
    reason: str
    lacking: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON; `Threshold(**…)` reads it."""
        return asdict(self)


@dataclass(frozen=True)
class Accepted:
    """Which boxes are accepted, and which pictures need nobody.

    Attributes:
        boxes: bool [n].
        done, people: image_ids of pictures whose boxes are all accepted, and of those that go to people.
        bound: the share of wrong ones among all accepted is at most this: the classes' bounds, by their boxes.
    """

    boxes: np.ndarray
    done: np.ndarray
    people: np.ndarray
    bound: float | None


@dataclass(frozen=True)
class Check:
    """A reviewed sample of accepted boxes against the bound; `alarm` where it contradicts it."""

    wrong: int
    reviewed: int
    observed: float
    least: float
    bound: float
    alarm: bool
    said: str


def earn(found: pa.Table, right: np.ndarray, settings: Settings | None = None,
         classes: Sequence[str] = ()) -> list[Threshold]:
    """Thresholds from the boxes of reviewed pictures.

    A threshold that is the best of many by the data that judge it promises too much. So it is a fixed sequence test
    (Bauer 1991; Angelopoulos et al. 2021, "Learn then Test"): the candidates go from the highest score down, each with
    1.15 times as many boxes as the one before; each is tested by the Clopper–Pearson bound at the same level, and the
    first failure ends the sequence. No correction is needed for its length. Candidates depend on scores alone, not on
    what is right. There are `starts` sequences, begun where n, 2 n, 4 n … boxes are seen, n being the fewest that
    could pass: one wrong box near the top would end a single one. They share `miss` evenly, and so do the classes.
    With `clusters` counts are divided by the design effect, and boxes of fewer than `PICTURES` pictures are no test.

    `settings.column` must not know what is right here: the score; or the probability by a calibration that was learnt
    on other pictures, or, with `per: class`, one without features, which keeps the order of the scores of a class.

    Args:
        found: class_id, image_id and `settings.column`; right: bool [n], as `calibration.right_boxes` has it.

    Returns:
        One for each class that occurs or is named, ascending; one alone for `pooled`.
    """
    settings = settings or Settings()
    value, right = optional(found, settings.column, 0.0), np.asarray(right, bool)
    image, label = found["image_id"].to_numpy(), found["class_id"].to_numpy()
    if settings.per == "pooled":
        return [_earned(value, ~right, image, None, settings, settings.miss, "all classes")]
    numbers = sorted(set(np.unique(label).tolist()) | set(range(len(classes))))
    name = {k: classes[k] if k < len(classes) else f"class {k}" for k in numbers}
    return [_earned(value[label == k], ~right[label == k], image[label == k], k, settings,
                    settings.miss / len(numbers), name[k]) for k in numbers]


def accept(found: pa.Table, thresholds: Sequence[Threshold], settings: Settings | None = None,
           shown: float = 0.0) -> Accepted:
    """What the thresholds accept, and what goes to people.

    Args:
        found: image_id, class_id and `settings.column`.
        shown: boxes below it are not looked at by anybody and keep no picture from being done.
    """
    settings = settings or Settings()
    value, label = optional(found, settings.column, 0.0), found["class_id"].to_numpy()
    taken, expected = np.zeros(len(value), bool), 0.0
    for one in thresholds:
        if one.threshold is not None and one.bound is not None:
            mine = (value >= one.threshold) & (True if one.class_id is None else label == one.class_id)
            taken |= mine
            expected += one.bound * int(mine.sum())
    image = found["image_id"].to_numpy()
    people = np.unique(image[~taken & (value >= shown)])
    return Accepted(taken, np.setdiff1d(image, people), people, expected / int(taken.sum()) if taken.any() else None)


def audit(accepted: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Rows of accepted boxes that people should review, drawn: int64, ascending; all where there are fewer."""
    rows = np.flatnonzero(accepted)
    return np.sort(np.random.default_rng(seed).permutation(rows)[:count])


def check(right: np.ndarray, picture: np.ndarray, bound: float, miss: float = 0.05) -> Check:
    """Whether a reviewed sample of accepted boxes contradicts the bound.

    Alarm: even the lower Clopper–Pearson bound of the error is above it, which happens to a promise that is kept with
    a probability of at most `miss`. Counts are divided by the design effect.
    """
    wrong = ~np.asarray(right, bool)
    factor = design_effect(wrong, picture)
    k, n = int(wrong.sum()), len(wrong)
    least = float(lower(k / factor, n / factor, miss)) if n else 0.0
    alarm, observed = least > bound, k / n if n else 0.0
    said = (f"{k} of {n} accepted boxes are wrong ({observed:.1%}, at least {least:.1%}); at most {bound:.1%} was "
            "promised")
    if alarm:
        said += ": the promise is broken; the reviewed pictures were not like these. Accept nothing, review, earn again"
    elif n < needed(bound):
        said += f"; {needed(bound)} would have to be reviewed to confirm it"
    return Check(k, n, observed, least, bound, alarm, said)


def _earned(value: np.ndarray, wrong: np.ndarray, image: np.ndarray, label: int | None, settings: Settings,
            miss: float, name: str) -> Threshold:
    order = np.argsort(-value, kind="stable")
    level, fewest = miss / settings.starts, needed(settings.max_error, miss / settings.starts)
    if len(value) < fewest:
        return Threshold(label, None, None, None, int(wrong.sum()), len(value),
                         f"{name}: {len(value)} reviewed boxes; at least {fewest} are needed, all of them right")
    value, wrong, image = value[order], wrong[order], image[order]
    if settings.clusters and (few := len(np.unique(image))) < PICTURES:
        return Threshold(label, None, None, None, int(wrong.sum()), len(value), f"{name}: {len(value)} reviewed boxes "
                         f"on {few} pictures; at least {PICTURES} pictures are needed, as errors of one picture come "
                         "together", PICTURES - few)
    best: tuple[int, float] | None = None
    for begin in range(settings.starts):
        found = _sequence(value, wrong, image, fewest * 2 ** begin, level, settings)
        best = found if found and (best is None or found[0] > best[0]) else best
    if best is None:
        at = _to_ties(value, fewest)
        return Threshold(label, None, None, None, int(wrong[:at].sum()), at,
                         f"{name}: {int(wrong[:at].sum())} of the best {at} reviewed boxes are wrong, and more of them "
                         f"tell no better: at most {settings.max_error:.0%} cannot be promised")
    count, bound = best
    threshold, bad = float(value[count - 1]), int(wrong[:count].sum())
    return Threshold(label, threshold, settings.max_error, bound, bad, count,
                     f"{name}: from {threshold:.3f} on {bad} of {count} reviewed boxes are wrong: at most "
                     f"{settings.max_error:.1%} with {1 - miss:.1%} confidence")


def _sequence(value: np.ndarray, wrong: np.ndarray, image: np.ndarray, begin: int, level: float,
              settings: Settings) -> tuple[int, float] | None:
    """How many of the boxes, sorted, pass, and their bound; None where the first test fails."""
    passed, count = None, begin
    while count <= len(value):
        at = _to_ties(value, count)
        if settings.clusters and len(np.unique(image[:at])) < PICTURES:
            count = max(at + 1, int(np.ceil(at * GROWTH)))
            continue
        factor = design_effect(wrong[:at], image[:at]) if settings.clusters else 1.0
        bound = float(upper(wrong[:at].sum() / factor, at / factor, level))
        if bound > settings.max_error:
            break
        passed = at, bound
        count = max(at + 1, int(np.ceil(at * GROWTH)))
    return passed


def _to_ties(value: np.ndarray, count: int) -> int:
    """With all boxes that have the score of the last one."""
    return int(np.searchsorted(-value, -value[count - 1], side="right"))
