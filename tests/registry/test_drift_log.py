"""Runs that are no part of a line: a look for drift, and the champion of the night."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tasks.base.errors import UserError
from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, Meta, write_dataset
from tasks.metrics.detections import detections_table
from tasks.registry import nightly, store
from tasks.registry.drift_log import log_look
from tasks.runtime.detections import Detections

LOOK = {"verdict": "drift", "text": "Drift: brightness is lower", "false_alarm": 0.01, "folder": "new",
        "reference": "data/split", "reference_digest": "a" * 64, "model": None, "seed": 0, "far_share": 0.2,
        "pictures": {"counted": 40},
        "tests": [{"name": "brightness", "p": 0.0001, "gap": 0.4, "alarm": True},
                  {"name": "looks", "p": 0.3, "gap": None, "alarm": False}]}


@pytest.fixture
def workspace(tmp_path: Path, empty_store: Path, quiet: None) -> Path:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return tmp_path


def test_a_look_is_a_run_with_its_page(workspace: Path) -> None:
    run_id = log_look(LOOK, "<html></html>", workspace)
    assert run_id
    run = store.client(workspace).get_run(run_id)
    assert run.info.status == "FINISHED" and run.data.tags["visionmill.kind"] == "drift"
    assert run.data.tags["visionmill.verdict"] == "drift"
    assert run.data.metrics == {"drift": 1, "counted": 40, "alarms": 1, "p/brightness": 0.0001, "p/looks": 0.3,
                                "gap/brightness": 0.4, "far_share": 0.2}
    names = {entry.path for entry in store.client(workspace).list_artifacts(run_id)}
    assert names == {"drift.html", "drift.json"}


def test_nothing_is_logged_where_nothing_is_tracked(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISIONMILL_TRACKING", "off")
    assert log_look(LOOK, "", workspace) is None


def write_split(folder: Path, count: int) -> None:
    """Test pictures with one box each; no picture is opened."""
    images = [{"image_id": i, "file": f"{i}.png", "width": 100, "height": 100, "digest": f"{i:064}", "bytes": 1,
               "orientation": 1, "split": "test"} for i in range(count)]
    boxes = [{"annotation_id": i, "image_id": i, "class_id": 0, "x": 10.0, "y": 10.0, "w": 40.0, "h": 40.0,
              "area": 1600.0, "iscrowd": False, "difficult": False, "source": "human", "row": str(i)}
             for i in range(count)]
    write_dataset(folder, Dataset(pa.Table.from_pylist(images, schema=IMAGES),
                                  pa.Table.from_pylist(boxes, schema=ANNOTATIONS), Meta(name="it", classes=["a"])))


def champion(**tags: str) -> dict[str, Any]:
    return {"name": "cells", "version": "3", "tags": {f"visionmill.{name}": value for name, value in tags.items()}}


def test_the_champion_of_the_night(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the boxes are found: AP50 is about 0.5, and 0.9 when it was registered."""
    write_split(workspace / "data/split", 40)
    box = np.array([[10, 10, 50, 50]], np.float32)
    found = dict.fromkeys(range(20), Detections(box, np.array([0.9], np.float32), np.array([0])))
    monkeypatch.setattr("tasks.registry.gates.answers.answers", lambda *given: detections_table(found))
    monkeypatch.setattr(nightly.versions, "champion", lambda **given: champion(AP="0.9", AP50="0.9", test_hash="old"))
    night = nightly.evaluate_champion(workspace)
    assert night and night.AP50.value == pytest.approx(0.5, abs=0.02) and not night.same_test
    assert night.change.value == pytest.approx((night.AP.value or 0) - 0.9) and night.shown
    value, low, high = night.change.value or 0, night.change.low or 0, night.change.high or 0
    assert -0.9 < low < value < high < 0
    assert "-40" in night.told() or "-39" in night.told()
    run = store.client(workspace).get_run(str(night.run_id))
    assert run.data.tags["visionmill.kind"] == "nightly" and run.data.metrics["AP50"] == night.AP50.value
    assert {"AP_change", "AP_change_low", "AP_change_high", "pictures"} <= set(run.data.metrics)


def test_a_version_without_numbers_and_no_champion(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nightly.versions, "champion", lambda **given: None)
    assert nightly.evaluate_champion(workspace) is None
    monkeypatch.setattr(nightly.versions, "champion", lambda **given: champion(AP="n/a"))
    write_split(workspace / "data/split", 0)
    with pytest.raises(UserError, match="no test pictures"):
        nightly.evaluate_champion(workspace)
    write_split(workspace / "data/split", 4)
    monkeypatch.setattr("tasks.registry.gates.answers.answers", lambda *given: detections_table({}))
    night = nightly.evaluate_champion(workspace)
    assert night and night.change == (None, None, None) and not night.shown and "nothing to measure" in night.told()
