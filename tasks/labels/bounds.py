"""Exact bounds of a share from a sample of it."""

from __future__ import annotations

import numpy as np


def upper(wrong: np.ndarray | float, reviewed: np.ndarray | float, miss: float = 0.05) -> np.ndarray:
    """The one-sided Clopper–Pearson bound: the true share is above it with a probability of at most `miss`.

    The 1 − miss quantile of Beta(wrong + 1, reviewed − wrong); 1 where all or nothing was seen (Clopper and Pearson
    1934). Numbers need not be whole (`effective`).
    """
    from scipy.stats import beta

    k, n = np.broadcast_arrays(np.asarray(wrong, np.float64), np.asarray(reviewed, np.float64))
    inside = n - k > 1e-12
    return np.where(inside, beta.ppf(1 - miss, k + 1, np.where(inside, n - k, 1)), 1.0)


def lower(wrong: np.ndarray | float, reviewed: np.ndarray | float, miss: float = 0.05) -> np.ndarray:
    """The other side: the true share is below it with a probability of at most `miss`; 0 where none was wrong."""
    return 1 - upper(np.asarray(reviewed, np.float64) - np.asarray(wrong, np.float64), reviewed, miss)


def needed(share: float, miss: float = 0.05) -> int:
    """How many must be reviewed, all of them right, before `upper` is at most `share`: ln miss / ln(1 − share)."""
    return int(np.ceil(np.log(miss) / np.log1p(-share) - 1e-9)) if share < 1 else 1


def design_effect(wrong: np.ndarray, picture: np.ndarray) -> float:
    """How many times the variance of the share is that of independent boxes, at least 1.

    Errors of one picture come together. The variance between pictures by linearisation, m / (m − 1) Σ (x_i − p n_i)² /
    n², over p (1 − p) / n (Kish 1965); 1 for one picture, or where none or all are wrong.
    """
    count, share = len(wrong), float(np.mean(wrong)) if len(wrong) else 0.0
    _, place = np.unique(picture, return_inverse=True)
    pictures = int(place.max(initial=-1)) + 1
    if pictures < 2 or not 0 < share < 1:
        return 1.0
    residual = np.bincount(place, weights=np.asarray(wrong, np.float64) - share)
    between = pictures / (pictures - 1) * float((residual ** 2).sum()) / count ** 2
    return max(1.0, between / (share * (1 - share) / count))


def effective(wrong: np.ndarray, picture: np.ndarray) -> tuple[float, float]:
    """Wrong ones and reviewed ones, both divided by the design effect, for `upper` (Korn and Graubard 1998)."""
    factor = design_effect(wrong, picture)
    return float(np.sum(wrong)) / factor, len(wrong) / factor
