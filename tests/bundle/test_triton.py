"""Triton's model repository: configurations that its own format reads, and a Python model that finds what we find."""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory, text_format

from tasks.base.files import read_json
from tasks.bundle.make import check_bundle
from tasks.data.pictures import read_picture
from tasks.runtime.detector import Detector, open_detector

from .conftest import CLASSES, HEIGHT, WIDTH, limits_of, run_example, small_onnx

FIELD = descriptor_pb2.FieldDescriptorProto
# name, number, type or name of message or enumeration; what repeats ends in *. Of triton-inference-server/common,
# protobuf/model_config.proto: the part that these files may use
MESSAGES: dict[str, list[tuple[str, int, str]]] = {
    "ModelParameter": [("string_value", 1, "string")],
    "ModelInput": [("name", 1, "string"), ("data_type", 2, "DataType"), ("dims", 4, "int64*")],
    "ModelOutput": [("name", 1, "string"), ("data_type", 2, "DataType"), ("dims", 3, "int64*")],
    "ModelInstanceGroup": [("name", 1, "string"), ("count", 2, "int32"), ("gpus", 3, "int32*"), ("kind", 4, "Kind")],
    "Pair": [("key", 1, "string"), ("value", 2, "string")],
    "Parameter": [("key", 1, "string"), ("value", 2, "ModelParameter")],
    "Accelerator": [("name", 1, "string"), ("parameters", 2, "Pair*")],
    "ExecutionAccelerators": [("gpu_execution_accelerator", 1, "Accelerator*"),
                              ("cpu_execution_accelerator", 2, "Accelerator*")],
    "ModelOptimizationPolicy": [("execution_accelerators", 4, "ExecutionAccelerators")],
    "Step": [("model_name", 1, "string"), ("model_version", 2, "int64"), ("input_map", 3, "Pair*"),
             ("output_map", 4, "Pair*")],
    "ModelEnsembling": [("step", 1, "Step*")],
    "ModelConfig": [("name", 1, "string"), ("platform", 2, "string"), ("max_batch_size", 4, "int32"),
                    ("input", 5, "ModelInput*"), ("output", 6, "ModelOutput*"),
                    ("instance_group", 7, "ModelInstanceGroup*"), ("optimization", 12, "ModelOptimizationPolicy"),
                    ("parameters", 14, "Parameter*"), ("ensemble_scheduling", 15, "ModelEnsembling"),
                    ("backend", 17, "string")],
}
ENUMERATIONS = {"DataType": {"TYPE_INVALID": 0, "TYPE_UINT8": 2, "TYPE_INT32": 8, "TYPE_INT64": 9, "TYPE_FP32": 11,
                             "TYPE_STRING": 13},
                "Kind": {"KIND_AUTO": 0, "KIND_GPU": 1, "KIND_CPU": 2, "KIND_MODEL": 3}}
PLAIN = {"string": FIELD.TYPE_STRING, "int32": FIELD.TYPE_INT32, "int64": FIELD.TYPE_INT64}


def model_config() -> Any:
    """The message class ModelConfig."""
    file = descriptor_pb2.FileDescriptorProto(name="model_config.proto", package="inference", syntax="proto3")
    for name, values in ENUMERATIONS.items():
        enumeration = file.enum_type.add(name=name)
        for key, number in values.items():
            enumeration.value.add(name=key, number=number)
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for key, number, kind in fields:
            field = message.field.add(name=key, number=number,
                                      label=FIELD.LABEL_REPEATED if kind.endswith("*") else FIELD.LABEL_OPTIONAL)
            kind = kind.removesuffix("*")
            field.type = PLAIN.get(kind, FIELD.TYPE_ENUM if kind in ENUMERATIONS else FIELD.TYPE_MESSAGE)
            if kind not in PLAIN:
                field.type_name = f".inference.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))


CONFIG = model_config()


def configurations(bundle: Path) -> dict[str, Any]:
    """Folder's name → its configuration, read as Triton reads it: an unknown field is an error."""
    return {file.parent.name: text_format.Parse(file.read_text(), CONFIG())
            for file in sorted((bundle / "models").glob("*/config.pbtxt"))}


@pytest.fixture(scope="module")
def bundle(small: Path, bundle_of: Callable[..., Path]) -> Path:
    return bundle_of(small, kind="triton")


def tensors(entries: Any) -> dict[str, tuple[int, list[int]]]:
    return {entry.name: (entry.data_type, list(entry.dims)) for entry in entries}


def test_the_repository_is_laid_out_as_triton_wants(bundle: Path, small: Path) -> None:
    told = configurations(bundle)
    assert list(told) == ["small", "small_detector", "small_postprocess"]
    assert all(config.name == name and config.max_batch_size == 0 for name, config in told.items())
    detector, behind = told["small_detector"], told["small_postprocess"]
    assert (bundle / "models/small_detector/1/model.onnx").read_bytes() == small.read_bytes()
    assert (detector.platform, detector.backend, behind.backend) == ("onnxruntime_onnx", "onnxruntime", "python")
    assert [group.kind for group in detector.instance_group] == [ENUMERATIONS["Kind"]["KIND_CPU"]]
    assert not detector.HasField("optimization")
    assert tensors(detector.input) == {"images": (2, [1, 3, HEIGHT, WIDTH])}
    assert tensors(detector.output) == {"boxes": (11, [1, 192, 4]), "scores": (11, [1, 192, 3])}
    assert (bundle / "models/small/1").is_dir() and (bundle / "models/small_postprocess/1/model.py").is_file()
    assert read_json(bundle / "bundle.json")["model"] == "models/small_detector/1/model.onnx"
    assert "models/small/config.pbtxt" in check_bundle(bundle)


def test_the_ensemble_joins_tensors_of_one_kind(bundle: Path) -> None:
    """What Triton checks when it loads an ensemble: every input is fed, names and types and shapes agree."""
    told = configurations(bundle)
    ensemble = told["small"]
    assert ensemble.platform == "ensemble" and not ensemble.instance_group
    known = tensors(ensemble.input)
    for step in ensemble.ensemble_scheduling.step:
        model = told[step.model_name]
        assert step.model_version == -1
        assert {pair.key: known[pair.value] for pair in step.input_map} == tensors(model.input)
        offered = tensors(model.output)
        known |= {pair.value: offered[pair.key] for pair in step.output_map}
    assert {name: known[name] for name in tensors(ensemble.output)} == tensors(ensemble.output)
    assert list(tensors(ensemble.output)) == ["boxes", "scores", "class_ids", "classes"]


@pytest.mark.parametrize(("metadata", "kind", "accelerator"), [
    ({"device": "cuda"}, "KIND_GPU", None),
    ({"runtime": "tensorrt", "device": "cuda", "precision": "fp16"}, "KIND_GPU", "FP16"),
    ({"runtime": "openvino"}, "KIND_CPU", None)])
def test_device_and_runtime_choose_the_instances(tmp_path: Path, bundle_of: Callable[..., Path],
                                                 metadata: dict[str, str], kind: str, accelerator: str | None) -> None:
    made = bundle_of(small_onnx(tmp_path / "my model.2.onnx", **metadata), kind="triton")
    told = configurations(made)
    assert list(told) == ["my_model_2", "my_model_2_detector", "my_model_2_postprocess"]
    detector = told["my_model_2_detector"]
    assert detector.instance_group[0].kind == ENUMERATIONS["Kind"][kind]
    found = detector.optimization.execution_accelerators.gpu_execution_accelerator
    assert [entry.name for entry in found] == (["tensorrt"] if accelerator else [])
    assert [entry.parameters[0].value for entry in found] == ([accelerator] if accelerator else [])
    assert ("tensorrt_plan" in (made / "README.md").read_text()) == (accelerator is not None)


class Tensor:
    """pb_utils.Tensor."""

    def __init__(self, name: str, array: np.ndarray) -> None:
        self._name, self._array = name, array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> np.ndarray:
        return self._array


class Response:
    """pb_utils.InferenceResponse."""

    def __init__(self, output_tensors: list[Tensor], error: Any = None) -> None:
        self.tensors, self.error = {tensor.name(): tensor.as_numpy() for tensor in output_tensors}, error


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for what Triton gives a Python model."""
    utils = types.ModuleType("triton_python_backend_utils")
    utils.Tensor, utils.InferenceResponse = Tensor, Response  # type: ignore[attr-defined]
    utils.TritonError = RuntimeError  # type: ignore[attr-defined]
    utils.get_input_tensor_by_name = lambda request, name: request.get(name)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", utils)
    monkeypatch.setattr(sys, "path", list(sys.path))


def loaded(bundle: Path, name: str) -> Any:
    """The Python model as Triton starts it: the configuration comes as JSON."""
    file = bundle / f"models/{name}/1/model.py"
    spec = importlib.util.spec_from_file_location("model", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = json_format.MessageToDict(configurations(bundle)[name], preserving_proto_field_name=True)
    config["parameters"] = {entry["key"]: entry["value"] for entry in config["parameters"]}
    model = module.TritonPythonModel()
    model.initialize({"model_config": json.dumps(config), "model_name": name})
    return model


def request(detector: Detector, picture: np.ndarray) -> dict[str, Tensor]:
    boxes, scores = detector.raw(detector.fit(picture)[0])
    size = np.array(picture.shape[:2], np.int32)
    return {name: Tensor(name, array) for name, array in (("raw_boxes", boxes), ("raw_scores", scores), ("size", size))}


@pytest.mark.parametrize("suppression", [None, '{"iou": null, "max_detections": 7}', '{"iou": 0.2, "top_k": 30}'])
def test_the_python_model_finds_what_we_find(stub: None, photographs: list[Path], tmp_path: Path,
                                             bundle_of: Callable[..., Path], suppression: str | None) -> None:
    file = small_onnx(tmp_path / "x.onnx", **({"suppression": suppression} if suppression else {}))
    made, detector = bundle_of(file, kind="triton"), open_detector(file, threads=1)
    model, pictures = loaded(made, "x_postprocess"), [read_picture(path) for path in photographs]
    answers = model.execute([request(detector, picture) for picture in pictures])
    wanted = detector.predict(pictures, score_threshold=limits_of(detector))
    for answer, one in zip(answers, wanted, strict=True):
        assert answer.error is None
        assert np.array_equal(answer.tensors["boxes"], one.boxes)
        assert np.array_equal(answer.tensors["scores"], one.scores)
        assert np.array_equal(answer.tensors["class_ids"], one.class_ids)
        assert [name.decode() for name in answer.tensors["classes"]] == [CLASSES[k] for k in one.class_ids]
        stated = tensors(configurations(made)["x_postprocess"].output)
        assert answer.tensors["boxes"].dtype == np.float32 and answer.tensors["class_ids"].dtype == np.int64
        assert set(answer.tensors) == set(stated)
    assert sum(map(len, wanted)) > 20


@pytest.mark.parametrize("size", [[0, 5], [5], [-1, 3]])
def test_a_wrong_size_fails_that_request_alone(stub: None, bundle: Path, small: Path, photographs: list[Path],
                                               size: list[int]) -> None:
    good = request(open_detector(small, threads=1), read_picture(photographs[0]))
    bad = {**good, "size": Tensor("size", np.array(size, np.int32))}
    first, second = loaded(bundle, "small_postprocess").execute([bad, good])
    assert "height and width" in str(first.error) and second.error is None and len(second.tensors["boxes"])


def test_the_file_can_be_tried_without_triton(bundle: Path, alone: Path, photographs: list[Path]) -> None:
    assert run_example(bundle, *photographs[:2]) == run_example(alone, *photographs[:2])
