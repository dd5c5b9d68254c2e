"""A model repository for Triton Inference Server: the detector, what stands behind it, and both as an ensemble.

Names of fields: `ModelConfig` in triton-inference-server/common, protobuf/model_config.proto.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.base.files import write_atomic
from tasks.bundle import content
from tasks.bundle.exported import Exported
from tasks.bundle.gather import gather
from tasks.bundle.source import Source

CODE = Path(__file__).with_name("triton_model.py")
Tensor = tuple[str, str, Sequence[int]]  # name, type, dims


def write_triton(folder: Path, found: Exported, source: Source) -> dict[str, Any]:
    """Write `models/` into a folder; returns what `bundle.json` says."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", source.name) or "detector"
    models = folder / "models"
    detector, behind = f"{name}_detector", f"{name}_postprocess"
    for model in (name, detector, behind):
        (models / model / "1").mkdir(parents=True)
    shutil.copyfile(found.file, models / detector / "1/model.onnx")
    write_atomic(models / behind / "1/model.py", CODE.read_text(encoding="utf-8"))
    write_atomic(models / behind / "1" / "choosing.py", gather("tasks.runtime.choosing", "choose"))
    write_atomic(models / detector / "config.pbtxt", detector_config(detector, found))
    write_atomic(models / behind / "config.pbtxt", behind_config(behind, found))
    write_atomic(models / name / "config.pbtxt", ensemble_config(name, detector, behind, found))
    # an ensemble has a version like any model, and an empty folder would not be copied by every tool
    write_atomic(models / name / "1/README", "An ensemble: its config.pbtxt is all there is.\n")
    told = content.describe(found, source, "triton", f"models/{detector}/1/model.onnx")
    return {**told, "triton": name}


def detector_config(name: str, found: Exported) -> str:
    """`config.pbtxt` of the ONNX file: a batch of one, on the device that it is made for."""
    return "".join([
        f"name: {_text(name)}\n", 'platform: "onnxruntime_onnx"\n', 'backend: "onnxruntime"\n', "max_batch_size: 0\n",
        _tensors("input", [_image(found)]),
        _tensors("output", _raw(found, "boxes", "scores")),
        _instances("KIND_GPU" if found.device == "cuda" else "KIND_CPU"), _accelerator(found)])


def behind_config(name: str, found: Exported) -> str:
    """`config.pbtxt` of the Python model; thresholds and suppression are parameters, each one JSON."""
    rule = found.suppression
    values = {"classes": found.classes, "thresholds": [found.thresholds[name] for name in found.classes],
              "input": [found.height, found.width], "iou": rule.iou, "top_k": rule.top_k,
              "max_detections": rule.max_detections}
    parameters = "".join(f"parameters {{ key: {_text(key)} value {{ string_value: "
                         f"{_text(json.dumps(value, ensure_ascii=False))} }} }}\n" for key, value in values.items())
    return "".join([
        f"name: {_text(name)}\n", 'backend: "python"\n', "max_batch_size: 0\n",
        _tensors("input", [*_raw(found, "raw_boxes", "raw_scores"), ("size", "TYPE_INT32", [2])]),
        _tensors("output", _answers()), _instances("KIND_CPU"), parameters])


def ensemble_config(name: str, detector: str, behind: str, found: Exported) -> str:
    """`config.pbtxt` of the ensemble: `images` and `size` in, detections out."""
    first = _step(detector, {"images": "images"}, {"boxes": "raw_boxes", "scores": "raw_scores"})
    names = [answer[0] for answer in _answers()]
    second = _step(behind, {key: key for key in ("raw_boxes", "raw_scores", "size")}, {key: key for key in names})
    return "".join([
        f"name: {_text(name)}\n", 'platform: "ensemble"\n', "max_batch_size: 0\n",
        _tensors("input", [_image(found), ("size", "TYPE_INT32", [2])]), _tensors("output", _answers()),
        f"ensemble_scheduling {{\n{first}{second}}}\n"])


def _image(found: Exported) -> Tensor:
    return "images", "TYPE_UINT8", [1, 3, found.height, found.width]


def _raw(found: Exported, boxes: str, scores: str) -> list[Tensor]:
    return [(boxes, "TYPE_FP32", [1, found.candidates, 4]),
            (scores, "TYPE_FP32", [1, found.candidates, len(found.classes)])]


def _answers() -> list[Tensor]:
    return [("boxes", "TYPE_FP32", [-1, 4]), ("scores", "TYPE_FP32", [-1]), ("class_ids", "TYPE_INT64", [-1]),
            ("classes", "TYPE_STRING", [-1])]


def _tensors(kind: str, tensors: Sequence[Tensor]) -> str:
    rows = ",\n".join(f"  {{ name: {_text(name)}, data_type: {dtype}, dims: [ {', '.join(map(str, dims))} ] }}"
                      for name, dtype, dims in tensors)
    return f"{kind} [\n{rows}\n]\n"


def _instances(kind: str) -> str:
    return f"instance_group [ {{ count: 1, kind: {kind} }} ]\n"


def _accelerator(found: Exported) -> str:
    """TensorRT inside ONNX Runtime, for files that are made for it: nothing has to be built beforehand."""
    if not found.runtime.startswith("tensorrt"):
        return ""
    precision = {"fp32": "FP32", "fp16": "FP16", "int8": "INT8"}[found.precision]
    return ("optimization { execution_accelerators { gpu_execution_accelerator [ { name: \"tensorrt\" "
            f"parameters {{ key: \"precision_mode\" value: \"{precision}\" }} }} ] }} }}\n")


def _step(model: str, inputs: dict[str, str], outputs: dict[str, str]) -> str:
    maps = "".join(f"    {kind} {{ key: {_text(key)} value: {_text(value)} }}\n"
                   for kind, pairs in (("input_map", inputs), ("output_map", outputs)) for key, value in pairs.items())
    return f"  step {{\n    model_name: {_text(model)}\n    model_version: -1\n{maps}  }}\n"


def _text(text: str) -> str:
    # JSON's escapes are protobuf's, but for characters that are written out here
    return json.dumps(text, ensure_ascii=False)
