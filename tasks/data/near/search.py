"""Pairs of similar vectors, by faiss: all of them for some ten thousand pictures, nearly all for a million."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.base.progress import Progress

# vectors up to which each is compared with every other
EXACT = 20_000
NEIGHBOURS = 16
BLOCK = 1 << 13
# beyond: vectors are divided into cells by k-means, and the cells nearest to a vector are searched
CELLS_PER_ROOT, PROBES, TRAIN_PER_CELL, ROUNDS, SEED = 4, 24, 40, 8, 1234


@dataclass(frozen=True)
class Candidates:
    """Pairs of positions, `a` < `b`, ascending, and the cosine of their vectors.

    Attributes:
        capped: positions that have as many similar ones as are looked for: there may be more.
    """

    a: np.ndarray
    b: np.ndarray
    cosine: np.ndarray
    capped: int


def candidates(vectors: np.ndarray, least: float, others: Sequence[Callable[[], np.ndarray]] = (), own: bool = True,
               neighbours: int = NEIGHBOURS, exact: int = EXACT) -> Candidates:
    """Pairs whose cosine is at least `least`, up to `neighbours` for each vector; zero vectors have none.

    The same on each run: k-means is seeded, and no result depends on the order in which threads end.

    Args:
        vectors: float32 [n, d] of length 1, or zeros.
        others: each makes more vectors of the same pictures, of them mirrored or shifted, that are looked for among
            `vectors`.
        own: whether `vectors` themselves are looked for.
        exact: number of vectors up to which each is compared with every other.
    """
    shown = np.flatnonzero(vectors.any(axis=1))
    if len(shown) < 2:
        return Candidates(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32), 0)
    index, wanted = _index(vectors, shown, exact), min(neighbours + 1, len(shown))
    codes, cosines, full = [], [], np.zeros(len(vectors), bool)
    turns = [*([lambda: vectors] if own else []), *others]
    progress = Progress(len(shown) * len(turns), "searched")
    for make in turns:
        queries = make()
        for rows in _blocks(shown):
            cosine, place = index.search(np.ascontiguousarray(queries[rows]), wanted)
            good = (place >= 0) & (cosine >= least)
            full[rows] |= good.sum(axis=1) > neighbours
            first, second = np.repeat(rows, good.sum(axis=1)), shown[place[good]]
            codes.append(np.minimum(first, second) * len(vectors) + np.maximum(first, second))
            cosines.append(cosine[good])
            progress.step(count=len(rows))
    del index
    return _joined(codes, cosines, len(vectors), int(full.sum()))


def _index(vectors: np.ndarray, shown: np.ndarray, exact: int) -> Any:
    import faiss

    width = vectors.shape[1]
    index: Any
    if len(shown) <= exact:
        index = faiss.IndexFlatIP(width)
    else:
        cells = max(int(CELLS_PER_ROOT * len(shown) ** 0.5), 1)
        index = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatIP(width), width, cells, faiss.ScalarQuantizer.QT_fp16,
                                              faiss.METRIC_INNER_PRODUCT)
        index.cp.seed, index.cp.niter, index.nprobe = SEED, ROUNDS, PROBES
        some = np.random.default_rng(SEED).permutation(shown)[:TRAIN_PER_CELL * cells]
        index.train(np.ascontiguousarray(vectors[np.sort(some)]))
    for rows in _blocks(shown):
        index.add(np.ascontiguousarray(vectors[rows]))
    return index


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), BLOCK):
        yield rows[start:start + BLOCK]


def _joined(codes: list[np.ndarray], cosines: list[np.ndarray], count: int, capped: int) -> Candidates:
    """Each pair once, with its best cosine: most are found from both sides. A picture is no pair with itself."""
    code, cosine = _drained(codes), _drained(cosines)
    order = np.argsort(code, kind="stable")
    code = code[order]
    starts = np.flatnonzero(np.diff(code, prepend=-1))
    best = np.maximum.reduceat(cosine[order], starts) if len(starts) else cosine
    a, b = np.divmod(code[starts], count)
    return Candidates(a[a != b], b[a != b], best[a != b].astype(np.float32), capped)


def _drained(parts: list[np.ndarray]) -> np.ndarray:
    """One array of many, which are gone then: a million pictures have some ten million pairs."""
    whole = np.concatenate(parts)
    parts.clear()
    return whole
