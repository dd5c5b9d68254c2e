"""The desk where known labels answer: what it leaves, what it mends, and what it costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tasks.base.errors import DataError, UserError
from tasks.data.store.labelled import publish_labels
from tasks.data.store.layout import Store, Version
from tasks.data.table import ANNOTATIONS, read_dataset
from tasks.improving.oracle import OracleDesk
from tasks.labelling.jobs.fetching import fetch
from tasks.labelling.jobs.sending import send

Shapes = tuple[Store, Version]


def prelabelled(store: Store, truth: Version, rows: list[dict[str, object]], keep: list[int]) -> Version:
    """Pictures of the truth with other boxes."""
    table = pa.Table.from_pylist(rows, schema=pa.schema([ANNOTATIONS.field(name) for name in (
        "image_id", "class_id", "x", "y", "w", "h", "source", "score")])) if rows else ANNOTATIONS.empty_table()
    return publish_labels(store, truth, out="before", owner="me", said={"by": "model:toy"}, annotations=table,
                          keep=np.array(keep))[0]


def test_a_good_box_stays_a_bad_one_is_moved_a_strange_one_goes(shapes: Shapes, workspace: Path) -> None:
    store, truth = shapes
    rows = read_dataset(truth.folder).annotations.to_pylist()
    mine = [row for row in rows if row["image_id"] in (0, 1)]
    assert len(mine) == 4
    near, far, renamed, _ = (dict(row) | {"source": "model:toy", "score": 0.9} for row in mine)
    near["x"] = near["x"] + 1.0
    far["x"], far["w"] = far["x"] + far["w"] / 4, far["w"]
    renamed["class_id"] = 1 - renamed["class_id"]
    strange = near | {"x": 0.0, "y": 0.0, "w": 3.0, "h": 3.0}
    before = prelabelled(store, truth, [near, far, renamed, strange], [0, 1])
    desk = OracleDesk(truth, content=0.8)
    job = send(before, store, desk, workspace=workspace)
    assert desk.status(job).done == 2
    found = fetch(job, store, "after", "me", desk=desk)
    assert {key: n for key, n in found.clicks.counts.items() if n} == {
        "accepted": 1, "adjusted": 1, "class": 1, "deleted": 1, "drawn": 1}
    assert found.clicks.clicks == 2 + 1 + 1 + 2 and found.clicks.from_nothing == 8
    assert found.version is not None
    after = read_dataset(found.version.folder).annotations.to_pylist()
    kept = next(row for row in after if row["source"] == "model:toy")
    assert kept["x"] == near["x"] and kept["reviewed_by"] == "oracle"
    drawn = {(row["x"], row["y"], row["class_id"]) for row in mine[1:]}
    assert {(row["x"], row["y"], row["class_id"]) for row in after if row["source"] == "human"} == drawn


def test_it_says_the_same_again_and_nothing_new_comes_of_it(shapes: Shapes, workspace: Path) -> None:
    store, truth = shapes
    before = prelabelled(store, truth, [], [3, 4, 5])
    desk = OracleDesk(truth)
    job = send(before, store, desk, workspace=workspace)
    first, again = (fetch(job, store, "after", "me", desk=OracleDesk(truth)) for _ in range(2))
    assert first.new and not again.new
    assert first.clicks.clicks == first.clicks.from_nothing == 12


def test_a_picture_without_objects_is_answered_as_empty(shapes: Shapes, workspace: Path) -> None:
    store, truth = shapes
    whole = read_dataset(truth.folder)
    rows = whole.annotations.filter(pa.array(whole.annotations["image_id"].to_numpy() != 0))
    known = publish_labels(store, truth, out="known", owner="me", said={"by": "me"}, annotations=rows)[0]
    before = prelabelled(store, truth, [], [0])
    desk = OracleDesk(known)
    found = fetch(send(before, store, desk, workspace=workspace), store, "after", "me", desk=desk)
    assert found.version is not None and found.done == found.total == 1
    assert read_dataset(found.version.folder).annotations.num_rows == 0


def test_without_known_labels_there_is_no_oracle(shapes: Shapes) -> None:
    store, truth = shapes
    empty = publish_labels(store, truth, out="empty", owner="me", said={"by": "nobody"},
                           annotations=ANNOTATIONS.empty_table())[0]
    with pytest.raises(UserError, match="answers from known labels"):
        OracleDesk(empty)


def test_pictures_that_it_does_not_know_are_told(shapes: Shapes, workspace: Path) -> None:
    store, truth = shapes
    whole = read_dataset(truth.folder)
    inside = whole.annotations["image_id"].to_numpy() < 2
    known = publish_labels(store, truth, out="known", owner="me", said={"by": "me"}, keep=np.array([0, 1]),
                           annotations=whole.annotations.filter(pa.array(inside)))[0]
    job = send(prelabelled(store, truth, [], [1, 2]), store, OracleDesk(known), workspace=workspace)
    with pytest.raises(DataError, match="1 pictures of the job have no known labels"):
        OracleDesk(known).fetch(job)
