"""A detector of one convolution, written node by node: 8 × 8 pixels, 16 candidates, 2 classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES = ["a", "b"]
TYPES = {"fp32": TensorProto.FLOAT, "int8": TensorProto.FLOAT, "fp16": TensorProto.FLOAT16}


def pictures(count: int, seed: int = 0) -> list[np.ndarray]:
    """Pictures uint8 [8, 8, 3], which fit the network as they are."""
    return list(np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8))


def inputs(count: int = 1, seed: int = 0) -> np.ndarray:
    """Network inputs uint8 [count, 3, 8, 8]."""
    return np.ascontiguousarray(np.stack(pictures(count, seed)).transpose(0, 3, 1, 2))


def weights() -> np.ndarray:
    return np.random.default_rng(7).normal(0, 0.3, (6, 3, 3, 3)).astype(np.float32)


def expected(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the network says in FP32, computed by torch."""
    import torch

    x = torch.from_numpy(images).float() / 255
    y = torch.nn.functional.conv2d(x, torch.from_numpy(weights()), stride=2, padding=1)
    flat = y.permute(0, 2, 3, 1).reshape(len(images), -1, 6)
    return (flat[..., :4] * 8).numpy(), torch.sigmoid(flat[..., 4:]).numpy()


def detector(path: Path, *, precision: str = "fp32", dynamic: bool = False, opset: int = 20, external: bool = False,
             outputs: tuple[str, str] = ("boxes", "scores"), **metadata: Any) -> Path:
    """Write the detector; `metadata` adds to what an exported file says, None drops a key."""
    batch: int | str = "N" if dynamic else 1
    kind = TYPES[precision]
    values = {"weight": weights().astype(np.float16 if precision == "fp16" else np.float32),
              "byte": np.array(1 / 255, np.float16 if precision == "fp16" else np.float32),
              "flat": np.array([0, -1, 6]), "parts": np.array([4, 2]), "side": np.array(8, np.float32)}
    nodes = [helper.make_node("Cast", ["images"], ["x"], to=kind), helper.make_node("Mul", ["x", "byte"], ["y"])]
    if precision == "int8":
        values |= {"step": np.array(1 / 127, np.float32), "fine": np.array(0.01, np.float32),
                   "zero": np.array(0, np.int8)}
        for name, step in (("y", "step"), ("weight", "fine")):
            nodes += [helper.make_node("QuantizeLinear", [name, step, "zero"], [f"{name}_q"]),
                      helper.make_node("DequantizeLinear", [f"{name}_q", step, "zero"], [f"{name}_dq"])]
    made = "_dq" if precision == "int8" else ""
    nodes += [helper.make_node("Conv", [f"y{made}", f"weight{made}"], ["z"], strides=[2, 2], pads=[1, 1, 1, 1]),
              helper.make_node("Cast", ["z"], ["f"], to=TensorProto.FLOAT),
              helper.make_node("Transpose", ["f"], ["t"], perm=[0, 2, 3, 1]),
              helper.make_node("Reshape", ["t", "flat"], ["r"]),
              helper.make_node("Split", ["r", "parts"], ["b", "s"], axis=2),
              helper.make_node("Mul", ["b", "side"], [outputs[0]]), helper.make_node("Sigmoid", ["s"], [outputs[1]])]
    graph = helper.make_graph(
        nodes, "hand made", [helper.make_tensor_value_info("images", TensorProto.UINT8, [batch, 3, 8, 8])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 16, width])
         for name, width in zip(outputs, (4, 2), strict=True)],
        [numpy_helper.from_array(value, name) for name, value in values.items()])
    return _write(graph, path, opset, external, {"precision": precision, **metadata})


def classifier(path: Path, **metadata: Any) -> Path:
    """Two classes from the mean of the red and of the green channel."""
    nodes = [helper.make_node("Cast", ["images"], ["x"], to=TensorProto.FLOAT),
             helper.make_node("GlobalAveragePool", ["x"], ["m"]), helper.make_node("Flatten", ["m"], ["f"]),
             helper.make_node("Gather", ["f", "two"], ["g"], axis=1), helper.make_node("Softmax", ["g"], ["scores"])]
    graph = helper.make_graph(
        nodes, "hand made", [helper.make_tensor_value_info("images", TensorProto.UINT8, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(np.array([0, 1]), "two")])
    return _write(graph, path, 20, False, {"problem": "classify", "thresholds": None, **metadata})


def _write(graph: onnx.GraphProto, path: Path, opset: int, external: bool, metadata: dict[str, Any]) -> Path:
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    told = {"classes": json.dumps(CLASSES), "thresholds": "{}", "height": "8", "width": "8", "line": "0123",
            "problem": "detect", **metadata}
    helper.set_model_props(proto, {key: str(value) for key, value in told.items() if value is not None})
    onnx.save(proto, path, save_as_external_data=external, location="weights.bin", size_threshold=100)
    return path
