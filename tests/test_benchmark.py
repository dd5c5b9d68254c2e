"""Stage `benchmark`: what can run is timed, what cannot is said, and 8 bits that gain nothing are reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from tasks import benchmark
from tasks.base.errors import DataError, ParamsError
from tasks.base.params import check
from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, Meta, write_dataset
from tasks.measure import timing
from tasks.measure.comparing import slower_than_float
from tasks.models.preset import DetectorPreset
from tasks.models.store import Structure, save_model
from tests.registry.cases import tiny_onnx

CLASSES = ["round", "square"]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Two pictures, two untrained models of 32 px, and the files of two targets: cpu and gpu."""
    monkeypatch.setenv("VISIONMILL_TRACKING", "off")
    monkeypatch.chdir(tmp_path)
    paths = {name: tmp_path / name for name in ("raw", "data", "trained", "pruned", "exports", "out")}
    paths["raw"].mkdir()
    rows = []
    for image in range(2):
        Image.fromarray(np.full((32, 32, 3), 90 * image, np.uint8)).save(paths["raw"] / f"{image}.png")
        rows.append({"image_id": image, "file": f"{image}.png", "width": 32, "height": 32, "digest": str(image),
                     "bytes": 1, "orientation": 1, "split": "test"})
    images = pa.Table.from_pylist(rows, schema=IMAGES)
    write_dataset(paths["data"], Dataset(images, ANNOTATIONS.empty_table(), Meta(name="x", classes=CLASSES)))
    preset = DetectorPreset(backbone="resnet18", levels=3, fpn_channels=32, head_convs=1, image_size=64)
    structure = Structure(preset, CLASSES, 64, 64, "0123abcd")
    for name in ("trained", "pruned"):
        save_model(paths[name], structure, structure.build().state_dict())
        for target in ("cpu", "gpu"):
            tiny_onnx(paths["exports"] / target / f"{name}.onnx")
    Path("params.yaml").write_text("export:\n  targets: [cpu, gpu]\n")
    return {**paths, "run": tmp_path / "runs" / "benchmark.json"}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch stays in this process, and memory is not measured: processes of their own have tests elsewhere."""
    from tasks.runtime.apart import Here

    class Within(Here):
        def __init__(self, *given: Any, passive: bool = False) -> None:
            super().__init__(*given)

        def __enter__(self) -> Within:
            return self

        def __exit__(self, *_: object) -> None:
            return None

    monkeypatch.setattr(timing, "Apart", Within)
    monkeypatch.setattr(timing, "peak_mb", lambda *_: 100.0)


def run(workspace: dict[str, Path]) -> dict[str, Any]:
    benchmark.run(benchmark.Params(rounds=1, pictures=2, threads=1), **workspace)
    return json.loads((workspace["out"] / "benchmark.json").read_text())


def _no_gpu(path: Path) -> str | None:
    return "TensorRT needs an NVIDIA GPU" if path.parent.name == "gpu" else None


def test_only_what_can_run_is_timed_and_the_rest_is_said(workspace, quick, monkeypatch, capsys) -> None:
    monkeypatch.setattr(benchmark, "why_not", _no_gpu)
    found = run(workspace)
    assert set(found["artefacts"]) == {"trained/torch", "pruned/torch", "trained/cpu", "pruned/cpu"}
    assert found["left_out"] == dict.fromkeys(("trained/gpu", "pruned/gpu"), "TensorRT needs an NVIDIA GPU")
    one = found["artefacts"]["trained/cpu"]
    assert (one["runtime"], one["device"], one["precision"]) == ("onnxruntime", "cpu", "fp32")
    assert 0 < one["median_ms"] <= one["p95_ms"] and one["bytes"] > 100
    assert found["machine"]["threads"] == 1 and {"torch", "onnxruntime"} <= set(found["machine"])
    assert "trained/gpu: not timed, TensorRT needs an NVIDIA GPU" in capsys.readouterr().out
    record = json.loads(workspace["run"].read_text())
    assert record["metrics"]["trained/cpu/median_ms"][0]["value"] == one["median_ms"]


def test_8_bits_that_are_slower_than_float_are_reported(workspace, quick, monkeypatch, capsys) -> None:
    kinds = {"cpu": "fp32", "gpu": "int8"}

    def slow(candidates: Any, *_: Any) -> dict[str, dict[str, Any]]:
        return {name: {"median_ms": 9.0 if name.endswith("gpu") else 5.0, "p95_ms": 10.0, "bytes": 1, "provider": "x",
                       "peak_memory_mb": 1.0, "precision": kinds.get(name.partition("/")[2], "fp32"),
                       "runtime": "torch" if name.endswith("torch") else "onnxruntime", "device": "cpu"}
                for name in candidates}

    monkeypatch.setattr(benchmark, "timings", slow)
    found = run(workspace)["artefacts"]
    assert found["pruned/gpu"]["slower_than_float"] is True and found["pruned/gpu"]["faster_float"] == "pruned/cpu"
    assert "slower_than_float" not in found["pruned/cpu"]
    assert "warning: pruned/gpu is slower than pruned/cpu" in capsys.readouterr().out


def _timed(ms: float, precision: str, runtime: str = "onnxruntime", device: str = "cpu") -> dict[str, Any]:
    return {"median_ms": ms, "precision": precision, "runtime": runtime, "device": device}


@pytest.mark.parametrize(("timed", "expected"), [
    ({}, {}),
    ({"a/int8": _timed(9, "int8")}, {}),
    ({"a/int8": _timed(9, "int8"), "a/fp32": _timed(8, "fp32")}, {"a/int8": "a/fp32"}),
    ({"a/int8": _timed(7, "int8"), "a/fp32": _timed(8, "fp32")}, {}),
    ({"a/int8": _timed(9, "int8"), "b/fp32": _timed(8, "fp32")}, {}),
    ({"a/int8": _timed(9, "int8"), "a/ov": _timed(8, "fp32", "openvino")}, {}),
    ({"a/int8": _timed(9, "int8"), "a/gpu": _timed(8, "fp32", device="cuda")}, {}),
    ({"a/int8": _timed(7, "int8"), "a/fp32": _timed(8, "fp32"), "a/half": _timed(6, "fp16")}, {"a/int8": "a/half"}),
])
def test_slower_than_float_compares_one_model_runtime_and_device(timed, expected) -> None:
    assert slower_than_float(timed) == expected


def _broken(workspace: dict[str, Path]) -> None:
    (workspace["exports"] / "cpu" / "pruned.onnx").write_bytes(b"\x08\x09broken")


def _gone(workspace: dict[str, Path]) -> None:
    (workspace["exports"] / "cpu" / "pruned.onnx").unlink()


def _no_pictures(workspace: dict[str, Path]) -> None:
    write_dataset(workspace["data"], Dataset(IMAGES.empty_table(), ANNOTATIONS.empty_table(),
                                             Meta(name="x", classes=CLASSES)))


@pytest.mark.parametrize(("spoil", "message"), [
    (_broken, "pruned.onnx"), (_gone, "pruned.onnx"), (_no_pictures, "no picture to run on")])
def test_bad_inputs_write_nothing(workspace, quick, spoil, message) -> None:
    spoil(workspace)
    with pytest.raises(DataError, match=message):
        run(workspace)
    assert not workspace["out"].exists() and not workspace["run"].exists()


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(ParamsError, match="did you mean 'rounds'"):
        check(benchmark.Params, {"round": 3}, "params.yaml: benchmark")
