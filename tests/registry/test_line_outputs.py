"""What a registration takes for its own: which version, which exports and records, and how a store's errors read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.base.errors import UserError, VisionmillError
from tasks.base.files import write_json
from tasks.metrics.detections import write_detections
from tasks.registry import store
from tasks.registry.describe import artefact_table
from tasks.registry.outputs import edited_params, read_outputs
from tasks.registry.register import register

from .cases import KINDS, evaluation, found_by

Make = Callable[..., Path]


def gate_of(workspace: Path, text: str) -> None:
    (workspace / "conf/gate").mkdir(parents=True, exist_ok=True)
    (workspace / "conf/gate/own.yaml").write_text(text)


def test_a_verdict_on_another_artefact_makes_another_version(make_workspace: Make) -> None:
    workspace = make_workspace(gate="own")
    gate_of(workspace, "latency: {max_ms: 1}\n")
    first = register(workspace)
    assert (first.gate.artefact, first.gate.passed, first.aliases) == ("pruned/cpu-int8", False, ["candidate"])
    gate_of(workspace, "prefer: pruned/cpu-fp32\n")
    second = register(workspace)
    assert (second.version, second.new, second.aliases) == ("2", True, ["candidate", "champion"])
    one, two = (store.client(workspace).get_model_version("cells", number).tags for number in ("1", "2"))
    assert two["visionmill.artefact"] == second.gate.artefact == "pruned/cpu-fp32"
    assert one["visionmill.gate"].startswith("refused")
    again = register(workspace)
    assert (again.version, again.new) == ("2", False)


def test_another_artefact_of_the_champions_outputs_must_beat_the_champion(make_workspace: Make) -> None:
    workspace = make_workspace(gate="own")
    gate_of(workspace, "prefer: pruned/cpu-int8\n")
    write_detections(workspace / "results/evaluate/detections/pruned__cpu-fp32.parquet", found_by(0.4))
    assert register(workspace).aliases == ["candidate", "champion"]
    gate_of(workspace, "prefer: pruned/cpu-fp32\n")
    again = register(workspace)
    assert (again.version, again.gate.artefact) == ("1", "pruned/cpu-int8")
    allowed = "champion: {max_AP_drop: 0.2, max_AP50_drop: 0.2, max_AP_slide: null, max_AP50_slide: null}\n"
    gate_of(workspace, f"prefer: pruned/cpu-fp32\n{allowed}")
    second = register(workspace)
    assert (second.version, second.gate.champion, second.gate.artefact) == ("2", "1", "pruned/cpu-fp32")


def test_equal_accuracy_is_not_refused_for_the_last_bit_of_a_float(make_workspace: Make) -> None:
    workspace = make_workspace(gate="own")
    gate_of(workspace, "champion: {max_AP_drop: 0, max_AP50_drop: 0, ask: equality, max_AP_slide: 0}\n")
    register(workspace)
    (workspace / "models/pruned/model.safetensors").write_bytes(b"other weights, equally good")
    second = register(workspace)
    assert (second.version, second.gate.passed, second.gate.champion) == ("2", True, "1")


def drop_int8(workspace: Path) -> None:
    """What is left after `configure export.targets=[cpu-fp32]` and `dvc repro`: DVC deletes nothing."""
    params = (workspace / "params.yaml").read_text()
    (workspace / "params.yaml").write_text(params.replace("[cpu-fp32, cpu-int8]", "[cpu-fp32]\n  opset: 18"))
    with (workspace / "dvc.lock").open("a") as lock:
        lock.write("".join(
            f"  export@{target}:\n    cmd: e\n    params:\n      params.yaml:\n        export.opset: {opset}\n"
            for target, opset in (("cpu-fp32", 18), ("cpu-int8", 17))))
        lock.write("  gone:\n    cmd: g\n    params:\n      params.yaml:\n        gone.x: 1\n")
    record = json.loads((workspace / "runs/train.json").read_text())
    for name, changes in {"export-cpu-fp32": {"stage": "export@cpu-fp32"}, "export-cpu-int8": {
            "stage": "export@cpu-int8"}, "evaluate": {"stage": "evaluate", "line": "an earlier one"}}.items():
        write_json(workspace / f"runs/{name}.json", {**record, **changes})


def test_a_dropped_target_is_no_part_of_the_line(make_workspace: Make) -> None:
    workspace = make_workspace()
    drop_int8(workspace)
    assert edited_params(workspace) == []
    found = read_outputs(workspace)
    assert list(found.exports) == ["cpu-fp32"]
    assert sorted(record["stage"] for record in found.records) == ["export@cpu-fp32", "prune", "train"]
    key = found.key()
    (workspace / "exports/cpu-int8/pruned.onnx").write_bytes(b"changed")
    assert read_outputs(workspace).key() == key
    (workspace / "exports/cpu-fp32/pruned.onnx").write_bytes(b"changed")
    assert read_outputs(workspace).key() != key


def test_a_listed_target_is_still_compared(make_workspace: Make) -> None:
    workspace = make_workspace()
    drop_int8(workspace)
    params = (workspace / "params.yaml").read_text()
    (workspace / "params.yaml").write_text(params.replace("opset: 18", "opset: 19"))
    with pytest.raises(UserError, match=r"edited after this line was made: export\.opset"):
        register(workspace)


def test_artefacts_are_described_in_the_order_of_every_table(make_workspace: Make) -> None:
    workspace = make_workspace()
    mixed = evaluation()
    mixed["artefacts"] = {name: mixed["artefacts"][name] for name in sorted(KINDS)}
    write_json(workspace / "results/evaluate/metrics.json", mixed)
    rows = artefact_table(read_outputs(workspace)).splitlines()[2:]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == list(KINDS)


def refuse(message: str, code: str = "INTERNAL_ERROR") -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> None:
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import ErrorCode

        raise MlflowException(message, ErrorCode.Value(code))
    return call


def test_a_store_that_refuses_is_told_in_words(make_workspace: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_workspace()
    monkeypatch.setattr("mlflow.MlflowClient.create_model_version", refuse("no room left\nmore lines"))
    with pytest.raises(VisionmillError, match=r"as a version was registered: no room left\n") as caught:
        register(workspace)
    assert not isinstance(caught.value, UserError) and "mlflow.db" in str(caught.value) and caught.value.mend


def test_a_store_that_goes_away_is_told_in_words(make_workspace: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_workspace()

    def gone(*_: Any, **__: Any) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        refuse("connection lost")()

    monkeypatch.setattr("mlflow.MlflowClient.log_model_artifacts", gone)
    with pytest.raises(UserError, match=r"cannot be reached(.|\n)*127\.0\.0\.1:9(.|\n)*unset MLFLOW_TRACKING_URI"):
        register(workspace)


def test_errors_of_ours_pass_unchanged(tmp_path: Path) -> None:
    for error in (UserError("x"), OSError(28, "disk is full"), KeyError("a bug")):
        with pytest.raises(type(error)) as caught, store.told_in_words("nothing was done", tmp_path):
            raise error
        assert caught.value is error


def test_a_store_that_is_away_does_not_read_as_no_champion(registered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.registry.gates.opponents import opponent

    monkeypatch.setattr("mlflow.MlflowClient.get_model_version_by_alias", refuse("busy", "TEMPORARILY_UNAVAILABLE"))
    with (pytest.raises(VisionmillError, match="a version was registered: busy"),
          store.told_in_words("a version was registered", registered)):
        opponent(store.client(registered), "cells", "champion")
