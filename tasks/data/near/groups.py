"""Which pictures hang together, and whether a chain of small changes leads to pictures that have nothing in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.data.near.embedding import Looks
from tasks.data.near.verify import similarity

# two pictures of a group that agree less than this are no copies of each other
APART = 0.5
LISTED = 20


@dataclass(frozen=True)
class Chain:
    """A group whose two most different pictures agree too little: positions, and how far they agree."""

    size: int
    first: int
    last: int
    similarity: float


def smallest(count: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The smallest position that each one hangs together with through the pairs `a`, `b`; int64 [count]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(count, count))
    labels = connected_components(graph, directed=False)[1]
    first = np.full(count, count, np.int64)
    np.minimum.at(first, labels, np.arange(count))
    return first[labels]


def chains(looks: Looks, near: np.ndarray) -> list[Chain]:
    """Groups of three and more in which the two pictures that are farthest apart are not alike, the largest first.

    The farthest two by their vectors are found in two sweeps, from the group's middle to the farthest from it and from
    there to the farthest; pixels then say how far these agree.

    Args:
        near: the smallest position of each one's group.
    """
    order = np.argsort(near, kind="stable")
    starts = np.flatnonzero(np.diff(near[order], prepend=-1))
    groups = [members for members in np.split(order, starts[1:]) if len(members) > 2]
    if not groups:
        return []
    first, last = (np.array(ends) for ends in zip(*(_farthest(looks.vectors, members) for members in groups),
                                                  strict=True))
    agree = similarity(looks.thumbs(first), looks.thumbs(last))
    found = [Chain(len(members), int(a), int(b), round(float(value), 4))
             for members, a, b, value in zip(groups, first, last, agree, strict=True) if value < APART]
    return sorted(found, key=lambda chain: (-chain.size, chain.first))


def _farthest(vectors: np.ndarray, members: np.ndarray) -> tuple[int, int]:
    mine = vectors[members]
    first = int((mine @ mine.mean(0)).argmin())
    last = int((mine @ mine[first]).argmin())
    return int(members[min(first, last)]), int(members[max(first, last)])
