"""Which pictures the strategies take, in which order: cases that are counted by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tasks.labels.mining.pool import Failures, Known, Pool, table_batches
from tasks.labels.mining.registry import mine

ONE = {"epsilon": 0}


def pool_of(rows: list[tuple[int, int, float]], images: int, vectors: np.ndarray | None = None,
            **columns: np.ndarray) -> Pool:
    """Boxes by image, class and score."""
    image, label, score = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    boxes = pa.table({"image_id": pa.array(image, pa.int64()), "class_id": pa.array(label, pa.int32()),
                      **{name: pa.array([0.0] * len(rows)) for name in "xywh"}, "score": pa.array(score, pa.float64())})
    return Pool(np.arange(images), ["cell", "platelet"], table_batches(boxes), vectors, None, columns)


def picks(pool: Pool, name: str, budget: int, known: Known | None = None, **values: object) -> list[int]:
    return list(mine(pool, name, budget, known, ONE | values).table["image_id"].to_pylist())


def around(*degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def test_entropy_takes_the_most_open_and_not_the_largest_crowd() -> None:
    crowd = [(0, 0, 0.95)] * 30
    pool = pool_of([*crowd, (1, 0, 0.5), (1, 1, 0.5), (2, 0, 0.6)], 3)
    # of the crowd five count: 5 · H(0.95) = 1.43 bits, H(0.5) twice is 2, H(0.6) is 0.97
    assert picks(pool, "entropy", 3) == [1, 0, 2]
    assert picks(pool, "entropy", 3, most=30) == [0, 1, 2]


def test_cald_takes_the_lowest_consistency_first() -> None:
    pool = pool_of([(i, 0, 0.9) for i in range(4)], 4, consistency=np.array([0.9, 0.1, 0.5, 0.3]))
    assert picks(pool, "cald", 2, shortlist=1.0) == [1, 3]
    table = mine(pool, "cald", 4, None, ONE | {"shortlist": 1.0}).table
    assert sorted(table["score"].to_pylist()) == pytest.approx([-0.9, -0.5, -0.3, -0.1])


def test_cald_then_balances_the_classes_over_a_shortlist() -> None:
    # 1.5 · 2 = 3 of 4 are candidates, by consistency 1, 3, 2; the labels are cells, the only platelet is on 2
    pool = pool_of([(0, 1, 0.9), (1, 0, 0.9), (2, 1, 0.9), (3, 0, 0.9)], 4, consistency=np.array([0.9, 0.1, 0.5, 0.3]))
    assert picks(pool, "cald", 2, Known(counts=np.array([9, 0])), shortlist=1.5)[0] == 2


def test_cald_takes_empty_pictures_beyond_their_share_only_where_no_others_are_left() -> None:
    pool = pool_of([(i, 0, 0.9) for i in range(3)], 20, consistency=np.r_[0.3, 0.2, 0.1, np.zeros(17)])
    got = picks(pool, "cald", 10)
    assert len(got) == 10 and set(got[:3]) == {0, 1, 2} and min(got[3:]) > 2
    full = pool_of([(i, 0, 0.9) for i in range(19)], 20, consistency=np.r_[np.full(19, 0.5), 0])
    assert picks(full, "cald", 10).count(19) == 1 and 19 not in picks(full, "cald", 10, empties=0)


def test_mixed_takes_what_differs_among_four_times_the_budget() -> None:
    # 9 is unlike all others and sure: it is no candidate. Of the 8 most unsure ones 0 is nearest to their middle (the
    # sum of their vectors points to 18°), and 7 is farthest from it
    scores = [0.5, 0.5, 0.5, 0.5, 0.45, 0.45, 0.4, 0.4, 0.98, 0.99]
    vectors = around(18, 17, 10, 11, 12, 13, 20, 45, 90, 180)
    pool = pool_of([(i, 0, score) for i, score in enumerate(scores)], 10, vectors)
    assert picks(pool, "mixed", 2) == [0, 7]
    assert picks(pool, "mixed", 2, times=5) == [6, 9]
    assert picks(pool, "mixed", 1, times=1, quality={"cell": 1.0}, seed=3)[0] in {0, 1, 2, 3}


def test_mixed_weighs_the_class_that_is_known_least() -> None:
    # H(0.4) = 0.971 bits; times 1.2 it goes before H(0.5) = 1
    pool = pool_of([(0, 0, 0.5), (1, 1, 0.4)], 2, around(0, 90))
    assert picks(pool, "mixed", 1, times=1, quality={"cell": 1.0, "platelet": 0.0}) == [1]
    assert picks(pool, "mixed", 1, times=1, quality={"cell": 1.0, "platelet": 1.0}) == [0]


def test_failures_take_turns_each_its_nearest() -> None:
    pool = pool_of([], 6, around(1, 2, 3, 88, 80, 45))
    failed = Failures(around(0, 90), np.array([2.0, 1.0]), ["picture 7 (missed: cell)", "picture 9 (missed: cell)"])
    table = mine(pool, "failures", 4, Known(failures=failed), ONE).table
    assert table["image_id"].to_pylist() == [0, 3, 1, 4]
    assert table["score"].to_pylist() == pytest.approx(
        [2 * np.cos(np.radians(1)), np.cos(np.radians(2)), 2 * np.cos(np.radians(2)), np.cos(np.radians(10))], abs=1e-5)
    assert table["reason"][1].as_py() == "like picture 9 (missed: cell) of the last evaluation (cosine 0.999)"


def test_aldd_weighs_classes() -> None:
    pool = pool_of([], 3, aldd=np.array([[0.3, 0.0], [0.0, 0.2], [0.1, 0.15]]))
    assert picks(pool, "aldd", 3) == [0, 2, 1]
    assert picks(pool, "aldd", 3, weights={"platelet": 3.0}) == [1, 2, 0]


@pytest.mark.parametrize(("budget", "drawn"), [(20, 1), (50, 2), (200, 10)])
def test_a_share_is_drawn_at_random_in_all_of_them(budget: int, drawn: int) -> None:
    rng = np.random.default_rng(0)
    pool = pool_of([(i, 0, float(rng.random())) for i in range(300)], 300, rng.normal(size=(300, 4)),
                   aldd=rng.random((300, 2)), consistency=rng.random(300))
    known = Known(failures=Failures(rng.normal(size=(3, 4)), np.ones(3), ["a", "b", "c"]))
    for name in ("entropy", "margin", "aldd", "cald", "coverage", "mixed", "failures"):
        assert sum(mine(pool, name, budget, known).table["random"].to_pylist()) == drawn, name
