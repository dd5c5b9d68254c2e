from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import neighbours
from tasks.base.errors import DataError
from tasks.data.near.groups import smallest
from tasks.data.near.leaks import Leak, Pair, alike, leaks
from tests.data.folders import put
from tests.data.near.scenes import copy, save, table

Row = tuple[int, int, float, str]


def dataset(folder: Path, splits: str, rows: list[Row]) -> tuple[Path, Path]:
    """Pictures 0.jpg, 1.jpg, … with a letter each for their splits (t, v, e for test, - for none), and their pairs."""
    names = {"t": "train", "v": "val", "e": "test"}
    files = [put(folder / f"{number}.jpg", str(number)).name for number in range(len(splits))]
    given = {file: names[letter] for file, letter in zip(files, splits, strict=True) if letter != "-"}
    data, near = table(folder, files, folder / "tables", given), folder / "near"
    near.mkdir()
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], [], []]
    pq.write_table(pa.table(columns, schema=neighbours.PAIRS), near / "pairs.parquet")
    first = smallest(len(splits), np.array(columns[0], np.int64), np.array(columns[1], np.int64))
    groups = pa.table([np.arange(len(splits)), first], schema=neighbours.GROUPS)
    pq.write_table(groups, near / "groups.parquet")
    return data, near


def short(found: list[Leak]) -> list[str]:
    return [f"{one.first[:-4]}{one.first_split[0]} {one.second[:-4]}{one.second_split[0]} {one.kind}" for one in found]


@pytest.mark.parametrize(("splits", "rows", "named"), [
    ("tte", [], []),
    ("tte", [(0, 1, 0.9, "near")], []),
    ("tte", [(1, 2, 0.9, "near")], ["2t 1t near"]),
    ("t-e", [(0, 1, 0.9, "near"), (1, 2, 0.9, "near")], []),
    ("tve", [(0, 1, 0.9, "near"), (0, 2, 0.95, "flipped")], ["2t 0t flipped", "1v 0t near"]),
    ("tet", [(0, 1, 1.0, "exact"), (0, 2, 1.0, "exact")], ["1t 0t exact", "1t 2t exact"]),
    ("eee", [(0, 1, 1.0, "exact")], []),
    # the copy of 0 stands in test, and 2 is near to both
    ("tet", [(0, 1, 1.0, "exact"), (0, 2, 0.9, "near")], ["1t 2t near", "1t 0t exact"]),
    ("tttev", [(0, 2, 0.9, "near"), (0, 1, 1.0, "exact"), (2, 3, 1.0, "exact"), (2, 4, 1.0, "exact")],
     ["3t 0t near", "3t 2t exact", "3t 4v exact"]),
])
def test_what_stands_in_two_splits(tmp_path: Path, splits: str, rows: list[Row], named: list[str]) -> None:
    assert short(leaks(*dataset(tmp_path, splits, rows))) == named


def test_as_text_and_as_json(tmp_path: Path) -> None:
    data, near = dataset(tmp_path, "tet", [(0, 1, 0.8765432, "near"), (0, 2, 1.0, "exact")])
    assert [str(one) for one in leaks(data, near)] == ["near 0.88: 1.jpg (test) and 0.jpg (train)"]
    assert [str(one) for one in alike(data, near)] == ["near 0.88: 0.jpg and 1.jpg", "exact: 0.jpg and 2.jpg"]
    [row] = [one.to_json() for one in leaks(data, near)]
    assert json.loads(json.dumps(row)) == {"first": "1.jpg", "second": "0.jpg", "similarity": 0.8765, "kind": "near",
                                           "first_split": "test", "second_split": "train"}
    assert alike(data, near)[1] == Pair("0.jpg", "2.jpg", 1.0, "exact")


def test_of_what_the_stage_writes(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 4)
    copy(tmp_path / "b.jpg", 4, "everything")
    save(tmp_path / "c.png", 7)
    data = table(tmp_path, ["a.png", "b.jpg", "c.png"], tmp_path / "tables", {"a.png": "train", "b.jpg": "val"})
    neighbours.run(neighbours.Params(), raw=tmp_path, data=data, out=tmp_path / "near", cache=tmp_path / "cache")
    assert short(leaks(data, tmp_path / "near")) == ["bv at near"]
    assert [(one.first, one.second) for one in alike(data, tmp_path / "near")] == [("a.png", "b.jpg")]


def test_nothing_to_read(tmp_path: Path) -> None:
    data, near = dataset(tmp_path / "a", "tte", [(0, 1, 0.9, "near")])
    other, _ = dataset(tmp_path / "b", "tt", [])
    for read in (leaks, alike):
        with pytest.raises(DataError, match="near-duplicates of another dataset"):
            read(other, near)
        with pytest.raises(DataError, match=r"no near-duplicates can be read[\s\S]*pairs\.parquet"):
            read(data, tmp_path)
    put(near / "pairs.parquet", "text")
    with pytest.raises(DataError, match="no near-duplicates can be read"):
        leaks(data, near)
    pq.write_table(pa.table({"a": [0], "b": [1]}), near / "pairs.parquet")
    with pytest.raises(DataError, match="no column similarity"):
        leaks(data, near)
    with pytest.raises(DataError, match="not a dataset folder"):
        leaks(tmp_path / "none", dataset(tmp_path / "c", "tt", [])[1])
