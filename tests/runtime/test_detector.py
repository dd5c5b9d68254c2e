"""Any artefact opens with the runtime that it is made for, and no other; what does not open says why."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tasks.base.errors import DataError, UserError
from tasks.runtime.apart import Apart
from tasks.runtime.backends import opening
from tasks.runtime.backends.description import describe
from tasks.runtime.detector import Detector, open_detector
from tests.runtime.hand_made import CLASSES, classifier, detector, expected, inputs, pictures


def engine(low: int, usual: int, high: int) -> str:
    return json.dumps({"batch": {"min": low, "opt": usual, "max": high}, "workspace_mb": 512, "capabilities": []})


def counting(found: Detector) -> list[int]:
    """How many pictures each call of the network gets from now on."""
    counts: list[int] = []
    ask = found.raw

    def raw(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        counts.append(len(images))
        return ask(images)

    found.raw = raw
    return counts


def test_a_file_is_opened_with_all_that_it_says(tmp_path: Path) -> None:
    suppression = '{"iou": null, "max_detections": 3, "top_k": 10}'
    found = open_detector(detector(tmp_path / "x.onnx", thresholds='{"a": 0.3}', suppression=suppression), 1)
    assert (found.classes, found.height, found.width, found.line) == (CLASSES, 8, 8, "0123")
    assert (found.runtime, found.precision, found.provider) == ("onnxruntime", "fp32", "CPUExecutionProvider")
    assert found.thresholds == {"a": 0.3}
    assert (found.suppression.iou, found.suppression.top_k, found.suppression.max_detections) == (None, 10, 3)
    assert [len(x) for x in found.predict(pictures(2), 0.0)] == [3, 3]
    assert [len(x) for x in found.predict(pictures(2), 0.0, max_detections=2)] == [2, 2]


def test_a_file_without_the_new_keys_is_for_onnx_runtime_on_a_cpu(tmp_path: Path) -> None:
    found = open_detector(detector(tmp_path / "x.onnx", precision="fp32", thresholds=None), 1)
    assert (found.runtime, found.thresholds, found.suppression.iou) == ("onnxruntime", {}, 0.55)


def test_raw_outputs_are_those_of_torch(tmp_path: Path) -> None:
    found = open_detector(detector(tmp_path / "x.onnx"), 1).raw(inputs())
    for one, other in zip(found, expected(inputs()), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_pictures_go_one_by_one_or_in_batches_and_the_detections_are_the_same(tmp_path: Path) -> None:
    single = open_detector(detector(tmp_path / "one.onnx"), 1)
    many = open_detector(detector(tmp_path / "many.onnx", dynamic=True, engine=engine(1, 2, 3)), 1)
    alone, together = counting(single), counting(many)
    some = pictures(5)
    for one, other in zip(single.predict(some, 0.1), many.predict(some, 0.1), strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-5)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
    assert (alone, together) == ([1] * 5, [3, 2])
    assert many.predict([]) == []


def test_fewer_pictures_than_the_least_are_filled_up(tmp_path: Path) -> None:
    found = open_detector(detector(tmp_path / "x.onnx", dynamic=True, engine=engine(4, 4, 8)), 1)
    boxes, scores = found.raw(inputs(3))
    assert (boxes.shape, scores.shape) == ((3, 16, 4), (3, 16, 2))
    np.testing.assert_allclose(boxes, expected(inputs(3))[0], atol=1e-5)


def test_a_batch_that_does_not_rise_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="batch min 2, opt 1, max 4"):
        open_detector(detector(tmp_path / "x.onnx", engine=engine(2, 1, 4)))


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00" * 100, b"PK\x03\x04" + b"x" * 500])
def test_what_is_no_onnx_file_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(DataError, match="does not open|metadata"):
        open_detector(tmp_path / "x.onnx")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_off_says_so(tmp_path: Path, share: float) -> None:
    whole = detector(tmp_path / "x.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DataError, match="cut off") as told:
        open_detector(tmp_path / "cut.onnx")
    assert "dvc repro" in str(told.value)


def test_no_file_and_no_folder_say_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        open_detector(tmp_path / "x.onnx")
    with pytest.raises(DataError, match="no model here"):
        open_detector(tmp_path / "folder")


def test_a_file_from_elsewhere_is_to_be_imported(tmp_path: Path) -> None:
    file = detector(tmp_path / "x.onnx", classes=None)
    with pytest.raises(DataError, match="without our metadata") as told:
        open_detector(file)
    assert f"visionmill import-model {file}" in str(told.value)


def test_a_file_of_three_gigabytes_says_where_its_weights_belong(tmp_path: Path) -> None:
    with (tmp_path / "x.onnx").open("wb") as file:
        file.truncate(3 * 10**9)  # no blocks are taken
    with pytest.raises(DataError, match="3.0 GB; one protobuf message ends at 2 GB") as told:
        open_detector(tmp_path / "x.onnx")
    assert "save_as_external_data" in str(told.value)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_weights_beside_the_file_are_read_or_missed(tmp_path: Path, runtime: str) -> None:
    file = detector(tmp_path / "x.onnx", external=True)
    assert describe(file).beside == (tmp_path / "weights.bin",)
    np.testing.assert_allclose(open_detector(file, 1, runtime).raw(inputs())[0], expected(inputs())[0], atol=1e-5)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(DataError, match="weights are missing: weights.bin"):
        open_detector(file, 1, runtime)


def test_weights_outside_the_folder_are_not_read(tmp_path: Path) -> None:
    file = detector(tmp_path / "x.onnx", external=True)
    file.write_bytes(file.read_bytes().replace(b"weights.bin", b"../etc/file"))
    with pytest.raises(DataError, match="outside its folder"):
        open_detector(file)


def test_an_opset_of_the_future_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="ONNX Runtime does not open it: ONNX opset 99") as told:
        open_detector(detector(tmp_path / "x.onnx", opset=99), 1)
    assert "newer runtime" in str(told.value)


@pytest.mark.parametrize(("key", "value", "message"), [
    ("classes", "[", "metadata is not understood"), ("classes", "[1, 2]", "no names"), ("classes", "[]", "no names"),
    ("height", "tall", "metadata is not understood"), ("width", None, "metadata is not understood"),
    ("suppression", '{"iou": 7}', "suppression"), ("runtime", "tflite", "'tflite', which is not known"),
    ("engine", "7", "metadata is not understood"), ("problem", "segment", "'segment', not 'detect'"),
])
def test_metadata_that_cannot_be_is_refused(tmp_path: Path, key: str, value: str | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_detector(detector(tmp_path / "x.onnx", **{key: value}))


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_other_outputs_are_named(tmp_path: Path, runtime: str) -> None:
    with pytest.raises(DataError, match="outputs are places, labels, not boxes and scores"):
        open_detector(detector(tmp_path / "x.onnx", outputs=("places", "labels")), 1, runtime)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_file_that_opens_and_does_not_run_says_so(tmp_path: Path, runtime: str) -> None:
    found = open_detector(detector(tmp_path / "x.onnx"), 1, runtime)
    with pytest.raises(DataError, match="does not run it") as told:
        found.raw(inputs()[:, :2])  # two channels
    assert str(tmp_path / "x.onnx") in str(told.value)


def test_a_classifier_is_no_detector(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'classify', not 'detect'"):
        open_detector(classifier(tmp_path / "x.onnx"))


def test_a_gpu_that_is_not_there_is_told_with_what_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match="CPUExecutionProvider") as told:
        open_detector(detector(tmp_path / "x.onnx"), device="cuda")
    assert told.value.exit_code == 2
    assert "here are: torch (cpu), ONNX Runtime (cpu)" in str(told.value)


def test_onnx_runtime_that_takes_the_cpu_in_silence_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    monkeypatch.setattr(opening, "missing", lambda runtime, device: None)
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"), \
            pytest.raises(UserError, match="did not take CUDAExecutionProvider; it has CPUExecutionProvider"):
        open_detector(detector(tmp_path / "x.onnx"), device="cuda")


@pytest.mark.parametrize("runtime", ["tensorrt", "tensorrt-rtx"])
def test_a_file_for_tensorrt_never_runs_elsewhere_in_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                            runtime: str) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    file = detector(tmp_path / "x.onnx", precision="fp16", runtime=runtime, device="cuda")
    with pytest.raises(UserError, match="needs an NVIDIA GPU"):
        open_detector(file)
    found = open_detector(file, 1, runtime="onnxruntime")
    assert (found.runtime, found.precision) == ("onnxruntime", "fp16")
    assert found.provider.startswith("CPUExecutionProvider, emulating TensorRT")
    np.testing.assert_allclose(found.raw(inputs())[1], expected(inputs())[1], atol=5e-3)


@pytest.mark.parametrize(("runtime", "device", "message"), [
    ("tensorflow", None, "did you mean 'tensorrt'"), ("torch", None, "an ONNX file does not run in torch"),
    ("openvino", "cuda", "OpenVINO runs on cpu, not on 'cuda'"), (None, "tpu", "not on 'tpu'"),
])
def test_what_cannot_run_together_is_told(tmp_path: Path, runtime: str | None, device: str | None,
                                          message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_detector(detector(tmp_path / "x.onnx"), 1, runtime, device)


def test_an_artefact_in_a_process_of_its_own_runs_where_it_is_asked_to(tmp_path: Path) -> None:
    with Apart(detector(tmp_path / "x.onnx"), 1, pictures(2), runtime="openvino") as run:
        assert run.provider.startswith("OpenVINO")
        assert len(run(3)) == 3


def test_a_refusal_comes_back_from_the_other_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def process(target: Callable[..., None], args: tuple[Any, ...], daemon: bool) -> SimpleNamespace:
        return SimpleNamespace(start=lambda: target(*args))  # a real one takes seconds to start

    here = SimpleNamespace(Pipe=multiprocessing.Pipe, Process=process)
    monkeypatch.setattr(multiprocessing, "get_context", lambda kind: here)
    with pytest.raises(UserError, match="OpenVINO runs on cpu") as told:
        Apart(detector(tmp_path / "x.onnx"), 1, pictures(1), runtime="openvino", device="cuda")
    assert str(tmp_path / "x.onnx") in str(told.value)
