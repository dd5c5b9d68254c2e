"""The pictures that are most unlike those of the training, for a person to look at; no test hangs on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.drift.measures import Entry, Seen

# share of the training that is farther from the rest of it: what counts as far
FAR = 0.99
BLOCK = 1024


@dataclass(frozen=True)
class Stranger:
    """A picture that arrived, and the picture of the training that it is nearest to.

    Attributes:
        distance: 1 - cosine of their vectors, 0 to 2.
        share: of pictures of the training that are nearer to another one of it than this one is, 0 to 1.
    """

    entry: Entry
    nearest: Entry
    distance: float
    share: float


def strangers(old: Seen, new: Seen, came: Sequence[Entry], known: Sequence[Entry], shown: int
              ) -> tuple[list[Stranger], float]:
    """The most unlike pictures, the farthest first; and the share of new ones that are far.

    Far is what is farther from its nearest picture of the training than 99 % of those are from each other.

    Args:
        came, known: entries of the rows of `new` and `old`.
    """
    nearest, distance = _nearest(new.vectors[new.units], old.vectors[old.units], itself=False)
    _, usual = _nearest(old.vectors[old.units], old.vectors[old.units], itself=True)
    usual = np.sort(usual)
    share = np.searchsorted(usual, distance, side="left") / len(usual)
    order = np.argsort(-distance, kind="stable")[:shown]
    found = [Stranger(came[new.units[i]], known[old.units[nearest[i]]], float(distance[i]), float(share[i]))
             for i in order]
    return found, float((distance > np.quantile(usual, FAR)).mean())


def _nearest(vectors: np.ndarray, among: np.ndarray, itself: bool) -> tuple[np.ndarray, np.ndarray]:
    """Position and distance of each one's nearest; `itself`: the same vectors, and none is its own nearest."""
    places, distances = [], []
    for start in range(0, len(vectors), BLOCK):
        cosine = vectors[start:start + BLOCK] @ among.T
        if itself:
            rows = np.arange(len(cosine))
            cosine[rows, start + rows] = -np.inf
        place = cosine.argmax(1)
        places.append(place)
        distances.append(1 - cosine[np.arange(len(cosine)), place])
    return np.concatenate(places), np.concatenate(distances)
