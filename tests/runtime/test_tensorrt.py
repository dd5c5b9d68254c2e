"""Engines that run: these tests need an NVIDIA GPU."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tasks.runtime.detector import open_detector
from tasks.runtime.runtimes import missing
from tests.runtime.hand_made import detector, expected, inputs, pictures

pytestmark = pytest.mark.gpu
CLOSE = {"fp32": 1e-4, "fp16": 5e-3, "int8": 0.03}


@pytest.fixture(params=["tensorrt", "tensorrt-rtx"])
def runtime(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Skips where it cannot run, with the reason."""
    reason = missing(request.param, "cuda")
    if reason:
        pytest.skip(reason)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return str(request.param)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_an_engine_answers_as_torch_does(tmp_path: Path, runtime: str, precision: str) -> None:
    file = detector(tmp_path / "x.onnx", precision=precision, runtime=runtime, device="cuda")
    found = open_detector(file)
    assert found.runtime == runtime
    for turn in range(3):
        images = inputs(seed=turn)
        np.testing.assert_allclose(found.raw(images)[1], expected(images)[1], atol=CLOSE[precision])
    boxes, _ = open_detector(file, runtime="onnxruntime").raw(inputs())
    np.testing.assert_allclose(found.raw(inputs())[0], boxes, atol=8 * CLOSE[precision])


def test_a_batch_between_least_and_largest(tmp_path: Path, runtime: str) -> None:
    engine = json.dumps({"batch": {"min": 2, "opt": 4, "max": 8}})
    found = open_detector(detector(tmp_path / "x.onnx", dynamic=True, runtime=runtime, device="cuda", engine=engine))
    for count in (1, 3, 8):
        np.testing.assert_allclose(found.raw(inputs(count))[1], expected(inputs(count))[1], atol=1e-4)
    assert len(found.predict(pictures(11), 0.1)) == 11


def test_the_second_opening_builds_nothing(tmp_path: Path, runtime: str) -> None:
    file = detector(tmp_path / "x.onnx", runtime=runtime, device="cuda")
    first = open_detector(file).raw(inputs())
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.*")}
    np.testing.assert_array_equal(open_detector(file).raw(inputs())[0], first[0])
    assert kept and {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.*")} == kept
