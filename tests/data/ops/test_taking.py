"""Rows taken into a new version: damaged and older folders, and small tools over columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.base.errors import DataError
from tasks.data.ops import Parent, exclude, filter, merge, relabel, sample
from tasks.data.ops._arrays import codes, components, contains, distinct, tally, torn
from tasks.data.ops._taking import batches
from tasks.data.rows import rows
from tasks.data.table import ANNOTATIONS, IMAGES
from tests.data.ops.versions import apply, said, version

CAT = ("cat", 1, 1, 10, 10)
ONE = {"a": [CAT, CAT], "b": {"labels": ["dog"]}, "c": []}
OTHER = {"c": []}
RUNS: list[tuple[Any, dict[str, Any]]] = [
    (merge, {}), (exclude, {}), (filter, {"expression": "class in ('cat', 'dog')"}), (relabel, {"map": {"cat": "x"}}),
    (sample, {"count": 2, "stratify": True})]


def change(parent: Parent, table: str, **columns: Any) -> Parent:
    path = parent.folder / f"{table}.parquet"
    found = pq.read_table(path)
    for name, values in columns.items():
        position = found.schema.get_field_index(name)
        field = found.schema.field(position)
        found = found.set_column(position, field, pa.array(values, field.type))
    pq.write_table(found, path)
    return parent


@pytest.mark.parametrize("module,params", RUNS)
@pytest.mark.parametrize(("table", "columns"), [
    ("images", {"image_id": [0, 1, 7]}), ("images", {"image_id": [1, 0, 2]}), ("images", {"image_id": [0, 1, -1]}),
    ("images", {"labels": [None, [9], None]}), ("images", {"labels": [None, [None], None]}),
    ("annotations", {"image_id": [0, 9]}), ("annotations", {"image_id": [-1, 0]}),
    ("annotations", {"image_id": [1, 0]}), ("annotations", {"class_id": [0, -1]}),
])
def test_a_damaged_folder_is_named(tmp_path: Path, module: Any, params: Any, table: str, columns: Any) -> None:
    """Ids that point nowhere are an error, or their rows do not get in: nothing wrong is written."""
    parents = [change(version(tmp_path / "a", ONE), table, **columns)]
    if module in (merge, exclude):
        parents.append(version(tmp_path / "b", OTHER))
    try:
        made = apply(module, parents, tmp_path / "out", **params)
    except DataError as error:
        assert "damaged dataset folder" in str(error)
    else:
        for row in rows(made.folder):
            assert all(0 <= box["class_id"] < 2 for box in row.boxes)
            assert all(0 <= label < 2 for label in row.image["labels"] or ())


@pytest.mark.parametrize("module,params", RUNS)
@pytest.mark.parametrize("table", ["images", "annotations"])
@pytest.mark.parametrize("content", [None, b"PAR1 and no more"])
def test_a_folder_without_a_table(tmp_path: Path, module: Any, params: Any, table: str, content: bytes | None) -> None:
    parent, other = version(tmp_path / "a", ONE), version(tmp_path / "b", {"z": []})
    path = parent.folder / f"{table}.parquet"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="damaged dataset folder"):
        apply(module, [parent, other] if module in (merge, exclude) else [parent], tmp_path / "out", **params)


def test_runs_of_rows_that_nobody_wants_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.data.table.ROW_GROUP", 4)
    parent = version(tmp_path / "a", {f"{i:02}": [CAT] * 2 for i in range(20)})
    path = parent.folder / "annotations.parquet"
    wanted = np.zeros(20, bool)
    wanted[[3, 19]] = True
    found = pa.concat_tables(batches(parent.folder, "annotations", ANNOTATIONS, wanted))
    assert found["image_id"].to_pylist() == [2, 2, 3, 3, 18, 18, 19, 19]
    assert list(batches(parent.folder, "annotations", ANNOTATIONS, np.zeros(20, bool))) == []
    assert said(apply(exclude, [parent, version(tmp_path / "b", {f"{i:02}": [] for i in range(19)})],
                      tmp_path / "out")) == {"19": [("cat", 1)] * 2}
    pq.write_table(pq.read_table(path), path, row_group_size=4, write_statistics=False)
    assert sum(batch.num_rows for batch in batches(parent.folder, "annotations", ANNOTATIONS, wanted)) == 40


def test_a_broken_page(tmp_path: Path) -> None:
    parent = version(tmp_path / "a", {f"{i:02}": [CAT] for i in range(20)})
    for name in ("images", "annotations"):
        path = parent.folder / f"{name}.parquet"
        content = path.read_bytes()
        path.write_bytes(content[:8] + b"\xff" * 300 + content[308:])
        with pytest.raises(DataError, match="damaged dataset folder"):
            list(batches(parent.folder, name, IMAGES if name == "images" else ANNOTATIONS))


def test_an_older_folder_gets_the_new_columns(tmp_path: Path) -> None:
    parent = version(tmp_path / "a", {"a": [CAT], "b": []})
    for name in ("images", "annotations"):
        path = parent.folder / f"{name}.parquet"
        old = [field for field in pq.read_schema(path).names if field not in ("group", "labels", "rle", "attributes")]
        pq.write_table(pq.read_table(path).select(old), path)
    made = apply(exclude, [parent, version(tmp_path / "b", {"x": []})], tmp_path / "out")
    assert said(made) == {"a": [("cat", 1)], "b": []}
    assert pq.read_schema(made.folder / "annotations.parquet").equals(ANNOTATIONS)


@settings(deadline=None)
@given(st.lists(st.integers(-5, 5)))
def test_distinct_tally_and_contains(values: list[int]) -> None:
    array = np.array(values, np.int64)
    found, counts = tally(array)
    assert dict(zip(found.tolist(), counts.tolist(), strict=True)) == {v: values.count(v) for v in sorted(set(values))}
    assert distinct(array).tolist() == sorted(set(values))
    assert contains(distinct(array), np.arange(-7, 8)).tolist() == [v in values for v in range(-7, 8)]


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from(["a", "b", "c", None]))))
def test_codes_are_equal_for_equal_texts_over_all_chunks(chunks: list[list[str | None]]) -> None:
    found = codes(pa.chunked_array(chunks, pa.string())).tolist()
    values = [value for chunk in chunks for value in chunk]
    assert [number == -1 for number in found] == [value is None for value in values]
    assert len(set(zip(found, values, strict=True))) == len(set(found)) == len(set(values))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 6), st.integers(-1, 6))))
def test_components_are_what_hangs_together(keys: list[tuple[int, int]]) -> None:
    every = np.arange(len(keys))
    columns = [np.array([key[side] for key in keys], np.int64) for side in (0, 1)]
    found = components(len(keys), [(every, column) for column in columns]).tolist()
    plain = list(range(len(keys)))
    for _ in keys:
        for i, one in enumerate(keys):
            for j, other in enumerate(keys):
                if any(a == b >= 0 for a, b in zip(one, other, strict=True)):
                    plain[i] = plain[j] = min(plain[i], plain[j])
    assert len(set(zip(found, plain, strict=True))) == len(set(found)) == len(set(plain))
    assert set(found) == set(range(len(set(plain))))


def test_torn() -> None:
    assert torn(np.array([0, 0, 1, 1, 2, 2]), np.array([1, 2, 3, 3, -1, 4])) == 1
    assert torn(np.zeros(0, np.int64), np.zeros(0, np.int64)) == 0
