"""Which runtimes can run here, and why the others cannot."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from flows import checkup
from tasks.base.errors import UserError
from tasks.runtime import runtimes
from tests.runtime.hand_made import detector


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)


def without(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """As if this Python module were not installed."""
    find = runtimes.importlib.util.find_spec
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda name: None if name == module else find(name))


def test_what_runs_on_a_cpu_is_not_missing() -> None:
    for name in ("torch", "onnxruntime", "openvino"):
        assert runtimes.missing(name) is None
        assert (name, "cpu") in runtimes.here()


@pytest.mark.parametrize(("runtime", "device", "message"), [
    ("tensorrt", "cpu", "TensorRT needs an NVIDIA GPU; this machine has none"),
    ("tensorrt-rtx", "cuda", "TensorRT-RTX needs an NVIDIA GPU; this machine has none"),
    ("torch", "cuda", "torch needs an NVIDIA GPU for cuda; this machine has none"),
    ("onnxruntime", "cuda", "CPUExecutionProvider"),
    ("openvino", "cuda", "OpenVINO does not run on 'cuda' here; it does on cpu"),
])
def test_why_a_runtime_cannot_run(no_gpu: None, monkeypatch: pytest.MonkeyPatch, runtime: str, device: str,
                                  message: str) -> None:
    monkeypatch.setattr(runtimes.Path, "exists", lambda path: False)
    assert message in (runtimes.missing(runtime, device) or "")
    assert (runtime, device) not in runtimes.here()


def test_a_gpu_that_torch_does_not_see_is_told_apart(no_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes.Path, "exists", lambda path: True)
    assert "does not see the one here" in (runtimes.missing("tensorrt") or "")


@pytest.mark.parametrize(("runtime", "device", "module", "extra"), [
    ("openvino", "cpu", "openvino", "visionmill[openvino]"), ("onnxruntime", "cpu", "onnxruntime", "visionmill[cpu]"),
    ("tensorrt", "cuda", "tensorrt", "visionmill[tensorrt]"),
    ("tensorrt-rtx", "cuda", "tensorrt_rtx", "visionmill[rtx]"),
])
def test_what_is_not_installed_names_the_command(with_gpu: None, monkeypatch: pytest.MonkeyPatch, runtime: str,
                                                 device: str, module: str, extra: str) -> None:
    without(monkeypatch, module)
    assert f"is not installed: pip install {extra}" in (runtimes.missing(runtime, device) or "")


def test_onnx_runtime_without_cuda_on_a_machine_with_a_gpu(with_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "providers", lambda: ["CPUExecutionProvider"])
    said = runtimes.missing("onnxruntime", "cuda") or ""
    assert "it has CPUExecutionProvider" in said and "pip install visionmill[gpu]" in said


@pytest.mark.parametrize(("generation", "runs"), [((9, 0), False), ((8, 9), True), ((12, 0), True)])
def test_tensorrt_rtx_runs_on_the_gpus_that_it_knows(with_gpu: None, monkeypatch: pytest.MonkeyPatch,
                                                     generation: tuple[int, int], runs: bool) -> None:
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: generation)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "a GPU")
    said = runtimes.missing("tensorrt-rtx")
    assert (said is None) == runs
    if not runs:
        assert said and said.startswith("TensorRT-RTX does not run on a GPU (SM90); it does on SM75, SM80")


def test_an_unknown_runtime_offers_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'openvino'"):
        runtimes.missing("openvinno")


def test_a_file_says_what_it_is_made_for(tmp_path: Path) -> None:
    file = detector(tmp_path / "x.onnx", runtime="tensorrt", device="cuda")
    assert runtimes.runtime_of(file) == ("tensorrt", "cuda")
    assert runtimes.runtime_of(detector(tmp_path / "y.onnx")) == ("onnxruntime", "cpu")


def test_versions_are_those_of_the_wheels() -> None:
    found = runtimes.versions()
    assert set(found) <= set(runtimes.names())
    assert found["openvino"] == importlib.metadata.version("openvino")
    assert found["torch"] == importlib.metadata.version("torch")


def test_doctor_says_which_runtimes_run_and_what_installs_the_others(no_gpu: None,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "openvino")
    found = {finding.text.partition(":")[0]: finding for finding in checkup.runtimes()}
    assert found["ONNX Runtime (cpu)"].mark == checkup.OK
    assert found["OpenVINO (cpu)"].mark == checkup.NOTE
    assert '".[openvino]"' in found["OpenVINO (cpu)"].mend
    assert "needs an NVIDIA GPU" in found["TensorRT (cuda)"].text and not found["TensorRT (cuda)"].mend
