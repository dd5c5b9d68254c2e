from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasks.data.near.embedding import look
from tasks.data.near.groups import chains, smallest
from tests.data.near.scenes import copy, save


@pytest.mark.parametrize(("pairs", "near"), [
    ([], [0, 1, 2, 3, 4, 5]),
    ([(1, 4)], [0, 1, 2, 3, 1, 5]),
    ([(4, 5), (2, 4)], [0, 1, 2, 3, 2, 2]),
    ([(0, 1), (2, 3), (4, 5), (1, 4)], [0, 0, 2, 2, 0, 0]),
])
def test_the_smallest_of_what_hangs_together(pairs: list[tuple[int, int]], near: list[int]) -> None:
    a, b = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    assert smallest(6, a, b).tolist() == near
    assert smallest(6, b, a).tolist() == near


def test_no_pictures() -> None:
    assert smallest(0, np.empty(0, np.int64), np.empty(0, np.int64)).shape == (0,)


def test_a_chain_whose_ends_differ_is_told(tmp_path: Path) -> None:
    files = [save(tmp_path / f"{n}.png", n) for n in (0, 1, 3, 4)]
    files += [copy(tmp_path / f"{kind}.jpg", 4, kind) for kind in ("encoded", "resized")]
    looks = look([str(n) for n in range(6)], lambda ids: [files[i] for i in ids], "descriptor", tmp_path / "cache")
    assert chains(looks, np.array([0, 1, 2, 3, 3, 3])) == []
    assert chains(looks, np.array([0, 0, 2, 3, 3, 3])) == [], "of two, each is known to be like the other"
    [chain] = chains(looks, np.array([0, 1, 2, 2, 2, 2]))
    assert (chain.size, chain.first) == (4, 2) and chain.similarity < 0.5 and chain.last in (3, 4, 5)
    found = chains(looks, np.array([0, 0, 0, 3, 3, 0]))
    assert [one.size for one in found] == [4]
