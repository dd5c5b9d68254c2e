from __future__ import annotations

import faiss
import numpy as np
import pytest

from benchmarks.neighbours import make
from tasks.data.near.search import Candidates, candidates


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def pairs(found: Candidates) -> set[tuple[int, int]]:
    return set(zip(found.a.tolist(), found.b.tolist(), strict=True))


def slow(vectors: np.ndarray, least: float) -> set[tuple[int, int]]:
    cosine = vectors @ vectors.T
    return {(a, b) for a in range(len(vectors)) for b in range(a + 1, len(vectors)) if cosine[a, b] >= least}


@pytest.mark.parametrize(("count", "width"), [(0, 8), (1, 8), (2, 8), (60, 8), (300, 64)])
def test_all_pairs_of_a_few(count: int, width: int) -> None:
    vectors = unit(np.random.default_rng(count).normal(size=(count, width)))
    found = candidates(vectors, 0.4, neighbours=count)
    assert pairs(found) == slow(vectors, 0.4) and found.capped == 0
    assert (found.a < found.b).all() and (np.diff(found.a * (count + 1) + found.b) > 0).all()
    assert np.allclose(found.cosine, (vectors[found.a] * vectors[found.b]).sum(1), atol=1e-5)


def test_zero_vectors_have_no_neighbours() -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(20, 8)))
    vectors[[3, 7, 9]] = 0
    assert not {3, 7, 9} & {place for pair in pairs(candidates(vectors, -1.0)) for place in pair}
    assert not pairs(candidates(np.zeros((5, 8), np.float32), -1.0))


def test_thousands_of_equal_vectors_give_few_pairs_that_join_all() -> None:
    vectors = np.repeat(unit(np.ones((1, 16))), 3000, axis=0)
    found = candidates(vectors, 0.5, neighbours=8)
    assert len(found.a) <= 9 * 3000 and found.capped == 3000
    joined = {0}
    for a, b in sorted(pairs(found)):
        if a in joined or b in joined:
            joined |= {a, b}
    assert len(joined) == 3000


def test_other_vectors_of_the_same_pictures_are_looked_for() -> None:
    rng = np.random.default_rng(0)
    vectors = unit(rng.normal(size=(30, 64)))
    other = unit(rng.normal(size=(30, 64)))
    other[4], other[9] = vectors[20], vectors[9]
    assert pairs(candidates(vectors, 0.9)) == set()
    for own in (True, False):
        assert pairs(candidates(vectors, 0.9, [lambda: other], own=own)) == {(4, 20)}


def test_a_pair_that_is_found_twice_has_its_best_cosine() -> None:
    vectors = unit(np.array([[1, 0, 0], [0.8, 0.6, 0], [0, 0, 1]]))
    found = candidates(vectors, 0.5, [lambda: vectors[[1, 1, 2]]])
    assert pairs(found) == {(0, 1)} and found.cosine[0] == pytest.approx(1)


@pytest.mark.parametrize("threads", [1, 2])
def test_many_are_searched_nearly_all_and_always_alike(threads: int) -> None:
    vectors, a, b, cosine = make(6000)
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        found = candidates(vectors, 0.6, exact=1000)
        again = candidates(vectors, 0.6, exact=1000)
    finally:
        faiss.omp_set_num_threads(before)
    planted = set(zip(a[cosine >= 0.9].tolist(), b[cosine >= 0.9].tolist(), strict=True))
    assert len(planted & pairs(found)) >= 0.95 * len(planted)
    assert pairs(found) == pairs(again)
    assert len(pairs(found) - pairs(candidates(vectors, 0.6))) <= 2  # 16-bit numbers round at the limit
