"""The detections table, the digest of a test set, and the chosen targets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from tasks.base.errors import DataError, ParamsError
from tasks.data.table import Meta
from tasks.metrics.detections import SCHEMA, detections_table, read_detections, write_detections
from tasks.metrics.targets import chosen_targets
from tasks.metrics.testset import digest_testset
from tasks.runtime.detections import Detections


def some(count: int) -> Detections:
    boxes = np.arange(4 * count, dtype=np.float32).reshape(count, 4) + np.float32([0, 0, 10, 20])
    return Detections(boxes, np.linspace(0.9, 0.1, count, dtype=np.float32), np.arange(count))


def test_table_of_detections() -> None:
    table = detections_table({7: some(2), 3: some(1), 5: some(0)})
    assert table.schema == SCHEMA
    assert table["image_id"].to_pylist() == [3, 7, 7]
    assert table.slice(2, 1).drop_columns("score").to_pylist() == [
        {"image_id": 7, "class_id": 1, "x": 4, "y": 5, "w": 12, "h": 22}]


@pytest.mark.parametrize("found", [{}, {0: some(0)}])
def test_table_of_nothing(found) -> None:
    assert detections_table(found).equals(SCHEMA.empty_table())


def test_written_and_read(tmp_path) -> None:
    table = detections_table({n: some(n) for n in range(5)})
    path = tmp_path / "deep" / "a.parquet"
    write_detections(path, table)
    assert read_detections(path).equals(table)
    chunked = pa.concat_tables([table.slice(0, 3), table.slice(3)])
    write_detections(tmp_path / "b.parquet", chunked)
    assert path.read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_unreadable_tables_are_refused(tmp_path) -> None:
    path = tmp_path / "a.parquet"
    with pytest.raises(DataError, match="missing"):
        read_detections(path)
    path.write_text("boxes")
    with pytest.raises(DataError, match="no table of detections"):
        read_detections(path)
    pa.parquet.write_table(pa.table({"image_id": [1]}), path)
    with pytest.raises(DataError, match="no table of detections"):
        read_detections(path)


def test_digest_of_a_test_set_is_about_pictures_and_boxes_alone(make_dataset) -> None:
    rows = [(0, 0, 1, 1, 5, 5), (1, 1, 2, 2, 6, 6), (1, 0, 3, 3, 7, 7)]
    dataset = make_dataset(["a", "b"], 2, rows)
    digest = digest_testset(dataset)
    assert len(digest) == 64
    assert digest_testset(make_dataset(["a", "b"], 2, rows[::-1])) == digest
    swapped = make_dataset(["b", "a"], 2, [(row[0], 1 - row[1], *row[2:]) for row in rows])
    assert digest_testset(swapped) == digest
    assert digest_testset(replace(dataset, meta=Meta(name="other", classes=["a", "b"]))) == digest
    others = [make_dataset(["a", "c"], 2, rows), make_dataset(["a", "b"], 3, rows),
              make_dataset(["a", "b"], 2, rows[:2]), make_dataset(["a", "b"], 2, [(0, 0, 1, 1, 5, 5.5), *rows[1:]]),
              make_dataset(["a", "b"], 2, [(*rows[0], "difficult"), *rows[1:]])]
    assert len({digest, *map(digest_testset, others)}) == 6


def test_chosen_targets(tmp_path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("export:\n  targets: [cpu, cpu-int8]\n")
    assert chosen_targets(path) == ["cpu", "cpu-int8"]
    path.write_text("export:\n  targets: cpu\n")
    with pytest.raises(ParamsError, match="export.targets"):
        chosen_targets(path)
