"""How far two samples are apart: one number for each of many ways to call some of the pooled pictures the new ones.

A statistic is made once of the pooled values, and asked with labels bool [ways, pictures], True for a new picture; each
way has the same number of these. A larger number is farther apart.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Statistic = Callable[[np.ndarray], np.ndarray]
# neighbours of a picture that are asked whether they are new as well
NEIGHBOURS = 5
# pooled pictures whose distances give the kernel its width
MEDIAN_OF = 500


def anderson_darling(values: np.ndarray) -> Statistic:
    """The two-sample Anderson-Darling distance of numbers [n], in the form for ties.

    Pettitt 1976, with the weights for ties of Scholz & Stephens 1987, equation 6. It sees the tails better than
    Kolmogorov-Smirnov does.
    """
    order = np.argsort(values, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(values[order]) != 0, True))
    weight = np.diff(ends, prepend=-1)[:-1]
    below = (ends[:-1] + 1).astype(np.float64)
    total = len(values)

    def distance(labels: np.ndarray) -> np.ndarray:
        new = labels.sum(1, dtype=np.float64)[:, None]
        counted = np.cumsum(labels[:, order], axis=1, dtype=np.int32)[:, ends[:-1]]
        squares = (counted * total - new * below) ** 2 * (weight / (below * (total - below)))
        return squares.sum(1) / (new * (total - new))[:, 0]

    return distance


def kernel_mean(vectors: np.ndarray, seed: int = 0) -> Statistic:
    """Squared maximum mean discrepancy of vectors [n, d], 0 to 2, for a Gaussian kernel as wide as the median distance.

    Gretton et al., A kernel two-sample test, 2012.
    """
    squares = _squares(vectors)
    some = np.random.default_rng(seed).permutation(len(vectors))[:MEDIAN_OF]
    width = np.median(squares[np.ix_(some, some)][np.triu_indices(len(some), 1)]) or 1.0
    kernel = np.exp(squares / -width)
    centred = kernel - kernel.mean(0) - kernel.mean(1)[:, None] + kernel.mean()
    centred = centred.astype(np.float32)

    def discrepancy(labels: np.ndarray) -> np.ndarray:
        new = labels.astype(np.float32)
        count = new.sum(1)
        return (new @ centred * new).sum(1) * np.square(len(vectors) / (count * (len(vectors) - count)))

    return discrepancy


def same_neighbours(vectors: np.ndarray, count: int = NEIGHBOURS) -> Statistic:
    """The share of new ones among the nearest of each new picture: a few strangers among many are seen so.

    Schilling, Multivariate two-sample tests based on nearest neighbors, 1986; of the new pictures alone.
    """
    from scipy.sparse import csr_array

    squares = _squares(vectors)
    np.fill_diagonal(squares, np.inf)
    count = min(count, len(vectors) - 1)
    nearest = np.argpartition(squares, count - 1, axis=1)[:, :count]
    rows = np.repeat(np.arange(len(vectors)), count)
    graph = csr_array((np.ones(len(rows), np.float32), (rows, nearest.ravel())), shape=squares.shape)

    def counted(labels: np.ndarray) -> np.ndarray:
        new = labels.T.astype(np.float32)
        return (graph @ new * new).sum(0) / (count * new.sum(0))

    return counted


def mean_difference(rows: np.ndarray) -> Statistic:
    """Squared length of the difference of means of rows [n, k], each column in its own standard deviations."""
    spread = rows.std(0)
    scaled = ((rows - rows.mean(0)) / np.where(spread > 0, spread, 1)).astype(np.float32)

    def difference(labels: np.ndarray) -> np.ndarray:
        new = labels.astype(np.float32)
        count = new.sum(1)
        # of centred rows the sum over the new ones is minus that over the old ones
        return np.square(new @ scaled).sum(1) * np.square(len(rows) / (count * (len(rows) - count)))

    return difference


def gap(old: np.ndarray, new: np.ndarray) -> float:
    """Kolmogorov and Smirnov's distance, 0 to 1: the largest difference between two cumulated shares."""
    at = np.union1d(old, new)
    shares = [np.searchsorted(np.sort(part), at, side="right") / len(part) for part in (old, new)]
    return float(np.abs(shares[0] - shares[1]).max())


def _squares(vectors: np.ndarray) -> np.ndarray:
    lengths = np.square(vectors).sum(1)
    return np.maximum(lengths[:, None] + lengths - 2 * vectors @ vectors.T, 0)
