"""The mixed recipe: unsure boxes of the classes that the model knows least, then pictures that differ.

After Yang et al. 2024, "Plug and Play Active Learning for Object Detection" (PPAL, CVPR), with the vectors of whole
pictures in the place of its features of boxes.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from tasks.base.errors import ParamsError, nearest
from tasks.labels.mining.coverage import far_words, farthest, fewer
from tasks.labels.mining.strategy import Ranked, Strategy, Task, best
from tasks.labels.mining.uncertain import Summed, at_score, by_entropy, sums, unsure_boxes

ALPHA, STRENGTH = 0.3, 0.2


class Mixture(Summed):
    """Parameters of `mixed`.

    Attributes:
        times: how many times the budget go to the second stage.
        quality: how well a class is known, 0..1 by name, for instance its AP50 on val; the mean for others.
    """

    times: float = Field(default=4.0, ge=1, description="times the budget among which pictures that differ are picked")
    quality: dict[str, float] = Field(default={}, description="how well a class is known, 0 to 1, by name")


def class_weights(quality: np.ndarray) -> np.ndarray:
    """w = 1 + αβ ln((e^(1/α) − 1)(1 − q) + 1), α = 0.3, β = 0.2: 1 for a class that is known, 1.2 for one that is not.

    Args:
        quality: q, float [K] in 0..1.
    """
    return 1 + ALPHA * STRENGTH * np.log((np.exp(1 / ALPHA) - 1) * (1 - np.asarray(quality, np.float64)) + 1)


def _mixed(params: Mixture, task: Task) -> Ranked:
    weights = class_weights(_quality(params.quality, task.pool.classes))
    total = sums(task.pool, by_entropy, params.most, params.floor, weights)
    shortlist = best(total, task.free, int(np.ceil(params.times * task.budget)), task.rng)
    # farthest-first would take the outliers of all of these alike: the surest are no candidates
    places, distance = farthest(task, np.sort(shortlist))
    count, named = unsure_boxes(task.pool, places, by_entropy, params, at_score)
    reasons = [f"{total[place]:.2f} weighted bits open ({', '.join(boxes) or 'nothing was found in it'}); "
               f"{far_words(far)}" for place, boxes, far in zip(places, named, distance, strict=True)]
    return Ranked(places, total[places], reasons, {"unsure": total[places], "distance": distance,
                                                   "boxes": count.astype(np.float64)}, fewer(task, places))


def _quality(given: dict[str, float], classes: list[str]) -> np.ndarray:
    for name, value in given.items():
        if name not in classes or not 0 <= value <= 1:
            guess = nearest(name, classes)
            raise ParamsError(f"quality: {name!r}: {value!r}", where="quality", mend="a value from 0 to 1 of one of "
                              f"{', '.join(classes)}" + (f"; did you mean {guess!r}?" if guess else ""))
    usual = float(np.mean(list(given.values()))) if given else 1.0
    return np.array([given.get(name, usual) for name in classes])


MIXED = Strategy("mixed", "unsure boxes of poorly known classes, then pictures that differ", Mixture,
                 frozenset({"boxes", "vectors"}), _mixed)
