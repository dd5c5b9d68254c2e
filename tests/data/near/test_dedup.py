from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.base.errors import DataError
from tasks.base.files import digest_tree
from tasks.data.near.finding import EXACT, FLIPPED, NEAR, Found
from tasks.data.ops import Making
from tasks.data.ops.dedup import Params, Removed, apply, choose
from tests.data.folders import put
from tests.data.near.scenes import copy, save
from tests.data.ops.scenes import by_file, content, label, making, parent, report

Row = tuple[int, int, float, int]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def pairs(count: int, rows: list[Row]) -> Found:
    a, b, similarity, kind = (np.array([row[place] for row in rows]) for place in range(4))
    first = np.arange(count)
    for one, other, _, way in rows:
        first[other] = one if way == EXACT else first[other]
    none = np.empty(0, np.int64)
    return Found(a.astype(int), b.astype(int), similarity, kind, first, none, 0, 0, None, none)


def chosen(found: Found, ranks: list[int], labels: list[int] | None = None) -> tuple[dict[int, int], int]:
    removed, differing = choose(found, np.array(ranks), np.array(labels or [0] * len(ranks)))
    return {one.picture: one.stays for one in removed}, differing


def test_nothing_alike() -> None:
    assert chosen(pairs(3, []), [0, 1, 2]) == ({}, 0)


def test_the_preferred_copy_stays() -> None:
    copies = [(0, 1, 1.0, EXACT), (0, 2, 1.0, EXACT)]
    assert chosen(pairs(4, copies), [0, 1, 2, 3]) == ({1: 0, 2: 0}, 0)
    assert chosen(pairs(4, copies), [3, 1, 0, 2]) == ({0: 2, 1: 2}, 0)
    assert chosen(pairs(2, [(0, 1, 0.9, NEAR)]), [1, 0]) == ({0: 1}, 0)


def test_of_a_chain_those_stay_that_are_not_alike() -> None:
    chain = [(0, 1, 0.9, NEAR), (1, 2, 0.8, NEAR), (2, 3, 0.9, FLIPPED)]
    assert chosen(pairs(4, chain), [0, 1, 2, 3]) == ({1: 0, 3: 2}, 0)
    assert chosen(pairs(4, chain), [1, 0, 3, 2]) == ({0: 1, 2: 3}, 0)


def test_copies_of_what_goes_go_for_the_same_picture() -> None:
    rows = [(0, 1, 0.9, NEAR), (1, 2, 1.0, EXACT)]
    removed, _ = choose(pairs(3, rows), np.array([0, 1, 2]), np.zeros(3))
    assert removed == [Removed(1, 0, 0.9, NEAR), Removed(2, 0, 0.9, NEAR)]
    assert chosen(pairs(3, rows), [1, 2, 0]) == ({0: 2, 1: 2}, 0), "the preferred copy stands for its equals"


def test_near_duplicates_with_other_labels_stay() -> None:
    rows = [(0, 1, 0.9, NEAR), (0, 2, 0.8, NEAR), (1, 2, 0.95, NEAR)]
    assert chosen(pairs(3, rows), [0, 1, 2], [5, 6, 6]) == ({2: 1}, 1)
    assert chosen(pairs(3, rows), [0, 1, 2], [5, 6, 7]) == ({}, 3)
    assert chosen(pairs(2, [(0, 1, 1.0, EXACT)]), [0, 1], [5, 6]) == ({1: 0}, 0), "equal bytes are one picture"


SCENES = {"a.png": [label(5, 5, 20, 20, source="import")], "b.png": [label(6, 5, 20, 20, source="human")],
          "c.jpg": [label(5, 5, 20, 20)], "d.png": [label(1, 2, 3, 4)], "e.jpg": [label(1, 2, 3, 4), label(9, 9, 3, 4)]}


def deduplicated(folder: Path, told: dict[str, dict[str, Any]] | None = None, **params: Any) -> Making:
    """Of SCENES: a and b have equal bytes, c is a copy of them; e is a copy of d, with other labels."""
    save(folder / "a.png", 4)
    put(folder / "b.png", (folder / "a.png").read_bytes())
    copy(folder / "c.jpg", 4, "encoded")
    save(folder / "d.png", 7)
    copy(folder / "e.jpg", 7, "cropped")
    made = making(folder)
    apply(Params.model_validate(params), [parent(folder, SCENES, told)], made)
    return made


@pytest.mark.parametrize(("params", "left"), [
    ({}, ["b.png", "d.png", "e.jpg"]),
    ({"keep": "first"}, ["a.png", "d.png", "e.jpg"]),
    ({"keep": "first", "differing": "drop"}, ["a.png", "d.png"]),
    ({"keep": "largest", "differing": "drop"}, ["a.png", "d.png"]),
    ({"method": "off"}, ["b.png", "c.jpg", "d.png", "e.jpg"]),
    ({"threshold": 1.0}, ["b.png", "c.jpg", "d.png", "e.jpg"]),
])
def test_one_of_each_stays(tmp_path: Path, params: dict[str, Any], left: list[str]) -> None:
    made = deduplicated(tmp_path, **params)
    assert [row.image["file"] for row in content(made)] == left
    assert all(len(row.boxes) == len(SCENES[row.image["file"]]) for row in content(made))


def test_the_copy_in_the_more_important_split_stays(tmp_path: Path) -> None:
    told = {"a.png": {"split": "train"}, "b.png": {"split": "train"}, "c.jpg": {"split": "test"}}
    boxes = SCENES["b.png"][0]
    boxes["source"] = "import"
    try:
        assert [file for file in by_file(deduplicated(tmp_path, told)) if file < "d"] == ["c.jpg"]
    finally:
        boxes["source"] = "human"


def test_what_went_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(deduplicated(tmp_path), "dedup")
    assert (found["exact"], found["near"], found["flipped"], found["differing"]) == (1, 1, 0, 1)
    assert [(row["file"], row["stays"], row["kind"]) for row in found["named"]] == [
        ("a.png", "b.png", "exact"), ("c.jpg", "b.png", "near")]
    told = capsys.readouterr().out
    assert "1 exact, 1 near, 0 flipped copies go, 3 pictures stay" in told
    assert "1 pairs of near-duplicates have other labels and stay (differing: drop takes one out)" in told


def test_the_same_version_each_time(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    assert digest_tree(deduplicated(first).folder) == digest_tree(deduplicated(second).folder)


def test_several_parents(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 4)
    one = parent(tmp_path, {"a.png": []})
    with pytest.raises(DataError, match="this takes one version, not 2"):
        apply(Params(), [one, one], making(tmp_path))
