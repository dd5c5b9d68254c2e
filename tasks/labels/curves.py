"""Curves from a number in 0..1 to a probability: isotonic and beta, with weights; and how far a probability is off."""

from __future__ import annotations

from typing import Literal

import numpy as np

Kind = Literal["isotonic", "beta"]
# within these bounds a logarithm is finite; nobody reviews a million boxes to learn more
LEAST = 1e-4
KNOTS = 201
STEPS = 60
RIDGE = 1e-3  # keeps a beta curve finite where the right and the wrong do not mix


def logit(p: np.ndarray) -> np.ndarray:
    """ln(p / (1 − p)), p held within `LEAST` of 0 and 1."""
    inside = np.clip(p, LEAST, 1 - LEAST)
    return np.log(inside / (1 - inside))


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + e^−z)."""
    return 1 / (1 + np.exp(-np.clip(z, -40, 40)))


def knots(kind: Kind, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A curve as its corners: x float64 ascending, p float64; between them it is linear, beyond them flat.

    Args:
        x: what is known of each box, 0..1.
        y: right or not, 0..1.
        weight: above 0.
    """
    return isotonic(x, y, weight) if kind == "isotonic" else beta(x, y, weight)


def isotonic(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rising step curve with the least weighted squared error, by pooling adjacent violators.

    Zadrozny and Elkan 2002, "Transforming Classifier Scores into Accurate Multiclass Probability Estimates". A block is
    held at its middle; between the middles of two blocks it is linear, so that boxes keep their order.
    """
    from scipy.optimize import isotonic_regression

    order = np.argsort(x, kind="stable")
    x, y, weight = x[order], y[order], weight[order]
    starts = np.flatnonzero(np.diff(x, prepend=-1.0))
    heavy = np.add.reduceat(weight, starts)
    fit = isotonic_regression(np.add.reduceat(weight * y, starts) / heavy, weights=heavy)
    blocks = np.asarray(fit.blocks[:-1], np.int64)
    mass = np.add.reduceat(heavy, blocks)
    middle = np.add.reduceat(heavy * x[starts], blocks) / mass
    return middle, np.clip(np.asarray(fit.x)[blocks], LEAST, 1 - LEAST)


def beta(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """1 / (1 + 1 / (e^c x^a / (1 − x)^b)), a, b ≥ 0, by weighted logistic regression on ln x and −ln(1 − x).

    Kull, Silva Filho and Flach 2017, "Beta calibration": where a or b comes out below 0 the regression is done again
    without it. Returned on an even grid in the logit of x.
    """
    inside = np.clip(x, LEAST, 1 - LEAST)
    terms = np.stack([np.log(inside), -np.log(1 - inside), np.ones(len(x))], axis=1)
    free = np.array([True, True, True])
    start = np.array([1.0, 1.0, 0.0])
    found = logistic(terms, y, weight, start, np.array([RIDGE, RIDGE, 0.0]))
    for at in (0, 1):
        if free[at] and found[at] < 0:
            free[at] = False
            found = np.zeros(3)
            found[free] = logistic(terms[:, free], y, weight, start[free], np.array([RIDGE, RIDGE, 0.0])[free])
    grid = sigmoid(np.linspace(logit(np.zeros(1))[0], logit(np.ones(1))[0], KNOTS))
    curve = sigmoid(np.log(grid) * found[0] - np.log(1 - grid) * found[1] + found[2])
    return grid, np.clip(curve, LEAST, 1 - LEAST)


def logistic(terms: np.ndarray, y: np.ndarray, weight: np.ndarray, prior: np.ndarray,
             penalty: np.ndarray) -> np.ndarray:
    """Coefficients with the least weighted log loss + ½ Σ penalty (coefficient − prior)², by Newton's method.

    Args:
        terms: float64 [n, d].
        prior: float64 [d], where a coefficient stays when nothing speaks against it.
        penalty: float64 [d], at least 0.
    """
    found = prior.astype(np.float64).copy()
    loss = _loss(terms, y, weight, prior, penalty, found)
    for _ in range(STEPS):
        p = sigmoid(terms @ found)
        slope = terms.T @ (weight * (p - y)) + penalty * (found - prior)
        bend = (terms * (weight * p * (1 - p))[:, None]).T @ terms + np.diag(penalty + 1e-9)
        step = np.linalg.solve(bend, slope)
        # Newton's step overshoots where the curve is flat: half of it, and half again, until it leads down
        for _ in range(STEPS):
            trial = _loss(terms, y, weight, prior, penalty, found - step)
            if trial <= loss + 1e-12:
                break
            step /= 2
        found, loss = found - step, trial
        if np.abs(step).max() < 1e-9:
            break
    return found


def _loss(terms: np.ndarray, y: np.ndarray, weight: np.ndarray, prior: np.ndarray, penalty: np.ndarray,
          at: np.ndarray) -> float:
    z = terms @ at
    return float(weight @ (np.logaddexp(0, z) - y * z) + 0.5 * penalty @ (at - prior) ** 2)


def log_loss(p: np.ndarray, y: np.ndarray) -> float:
    """Mean of −y ln p − (1 − y) ln(1 − p); 0 for nothing."""
    inside = np.clip(p, LEAST, 1 - LEAST)
    return float(np.mean(-y * np.log(inside) - (1 - y) * np.log(1 - inside))) if len(p) else 0.0


def calibration_error(p: np.ndarray, right: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error, 0..1: Σ_b n_b / n · |mean p of b − share of right ones of b|; 0 for nothing.

    Naeini et al. 2015 as Guo et al. 2017 use it, "On Calibration of Modern Neural Networks": `bins` intervals of equal
    width, the upper end belongs to a bin.
    """
    if not len(p):
        return 0.0
    at = np.clip(np.ceil(np.asarray(p, np.float64) * bins).astype(np.int64) - 1, 0, bins - 1)
    gap = np.bincount(at, weights=np.asarray(p, np.float64) - np.asarray(right, np.float64), minlength=bins)
    return float(np.abs(gap).sum() / len(p))
