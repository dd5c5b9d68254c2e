"""Statistics and p-values: exact where all ways can be counted, honest where they are drawn."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest

from tasks.drift.permuting import Chance, chances, detectable, holm, permutations, smallest_p
from tasks.drift.statistics import Statistic, anderson_darling, gap, kernel_mean, mean_difference, same_neighbours

MAKERS: dict[str, Callable[[np.ndarray], Statistic]] = {
    "ad": lambda rows: anderson_darling(rows[:, 0]), "mmd": kernel_mean,
    "near": lambda rows: same_neighbours(rows, 2), "mean": mean_difference}


@pytest.mark.parametrize("name", MAKERS)
def test_a_p_value_is_the_share_of_all_ways(name: str) -> None:
    rows = np.random.default_rng(3).normal(size=(9, 3))
    rows[6:] += 1.5
    statistic = MAKERS[name](rows)
    every = np.zeros((84, 9), bool)
    for i, chosen in enumerate(combinations(range(9), 3)):
        every[i, list(chosen)] = True
    truth = (np.arange(9) >= 6)[None]
    exact = float((statistic(every) >= statistic(truth)[0] * (1 - 1e-5)).mean())
    drawn = chances({name: statistic}, 6, 3, 20_000, seed=0)[name]
    # 20 hits end a test: its standard error is about p / sqrt(20)
    assert drawn.p == pytest.approx(exact, rel=0.8)


def test_pettitt() -> None:
    # by hand: pooled 1 2 3 4, old 1 2, new 3 4; sum over i of (M_i N - n i)^2 / (i (N - i)) / (m n)
    statistic = anderson_darling(np.array([1.0, 2.0, 3.0, 4.0]))
    labels = np.array([[False, False, True, True]])
    assert statistic(labels)[0] == pytest.approx(((-2) ** 2 / 3 + (-4) ** 2 / 4 + (4 - 6) ** 2 / 3) / 4)


def test_ties_count_by_their_number_and_their_order_does_not() -> None:
    values = np.array([1.0, 1.0, 2.0, 2.0, 2.0, 5.0])
    labels = np.array([[False, True, False, True, True, False]])
    order = np.array([1, 0, 4, 2, 3, 5])
    assert anderson_darling(values)(labels) == pytest.approx(anderson_darling(values[order])(labels[:, order]))


def test_kernel_mean_is_the_plain_formula() -> None:
    rows = np.random.default_rng(0).normal(size=(12, 4))
    squares = ((rows[:, None] - rows) ** 2).sum(2)
    kernel = np.exp(-squares / np.median(squares[np.triu_indices(12, 1)]))
    plain = kernel[:7, :7].mean() + kernel[7:, 7:].mean() - 2 * kernel[:7, 7:].mean()
    assert kernel_mean(rows)((np.arange(12) >= 7)[None])[0] == pytest.approx(plain, rel=1e-4)


def test_nothing_is_ever_quite_impossible() -> None:
    rows = np.concatenate([np.zeros(20), np.ones(20)])
    found = chances({"it": anderson_darling(rows)}, 20, 20, 999, seed=0)["it"]
    assert found == Chance(found.value, 1 / 1000, 999)


def test_a_test_without_a_difference_ends_early() -> None:
    rows = np.random.default_rng(0).normal(size=60)
    found = chances({"it": anderson_darling(rows)}, 40, 20, 50_000, seed=0)["it"]
    assert found.draws < 5000 and found.p == 20 / found.draws


def test_the_rate_of_false_alarms_is_the_one_asked() -> None:
    """p-values of samples without drift are uniform: 400 looks, each with three tests corrected by Holm."""
    rng, alarms = np.random.default_rng(1), 0
    for number in range(400):
        rows = rng.normal(size=(45, 3))
        made = {"a": anderson_darling(rows[:, 0]), "b": kernel_mean(rows), "c": same_neighbours(rows)}
        found = chances(made, 30, 15, permutations(3, 0.1), seed=number)
        alarms += any(alarm for _, alarm in holm([one.p for one in found.values()], 0.1))
    # binomial with 400 and at most 0.1: above 61 once in 2,000 runs; below 8 the test would be of no use
    assert 8 <= alarms <= 61


def test_holm() -> None:
    found = holm([0.04, 0.001, 0.02, 0.5], 0.05)
    assert [round(threshold, 4) for threshold, _ in found] == [0.025, 0.0125, 0.0167, 0.05]
    assert [alarm for _, alarm in found] == [False, True, False, False]
    assert holm([], 0.05) == []
    # one that fails ends the descent: 0.03 is below its own threshold of 0.05, and no alarm
    assert [alarm for _, alarm in holm([0.03, 0.026], 0.05)] == [False, False]


def test_few_pictures_see_little() -> None:
    assert smallest_p(1000, 1) == pytest.approx(1 / 1001)
    assert detectable(1000, 5, 10, 0.01) > 1.5 > detectable(1000, 50, 10, 0.01) > 0.5
    assert gap(np.array([1.0, 2.0]), np.array([3.0])) == 1 and gap(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0
