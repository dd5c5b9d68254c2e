"""Small ONNX models as other programs write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tasks.foreign.description import Description
from tasks.foreign.reading import read_onnx, try_out
from tasks.foreign.wrap import wrap

FLOAT = TensorProto.FLOAT


def write(path: Path, nodes: list[Any], outputs: list[str], tensors: dict[str, np.ndarray] | None = None, *,
          shape: tuple[Any, ...] = (1, 3, 32, 32), name: str = "image", kind: int = FLOAT, opset: int = 17,
          more: list[Any] | None = None) -> Path:
    """A model of these nodes, with one picture input."""
    graph = helper.make_graph(
        nodes, "theirs", [helper.make_tensor_value_info(name, kind, shape), *(more or [])],
        [helper.make_tensor_value_info(output, FLOAT, None) for output in outputs],
        [numpy_helper.from_array(value, key) for key, value in (tensors or {}).items()])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(proto.SerializeToString())
    return path


def speaking(path: Path, said: dict[str, np.ndarray], **options: Any) -> Path:
    """A model that says the same of every picture: arrays by output, and a nothing that comes from the picture."""
    picture = options.get("name", "image")
    nodes = [helper.make_node("ReduceMean", [picture], ["mean"], keepdims=0),
             helper.make_node("Mul", ["mean", "zero"], ["nothing"])]
    nodes += [helper.make_node("Add", [f"{name}_value", "nothing"], [name]) for name in said]
    tensors = {"zero": np.array(0, np.float32)} | {f"{name}_value": value.astype(np.float32)
                                                   for name, value in said.items()}
    return write(path, nodes, list(said), tensors, **options)


def described(decoding: dict[str, Any], **more: Any) -> Description:
    return Description.model_validate({"title": "made by hand", "decoding": decoding, **more})


def run(file: Path, description: Description, picture: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """What the wrapped model says of one picture uint8 [1, 3, H, W]; grey when None."""
    import onnxruntime

    opened = try_out(read_onnx(file), description.input, file)
    made = wrap(opened, description, file)
    onnx.checker.check_model(made.proto, full_check=True)
    session = onnxruntime.InferenceSession(made.proto.SerializeToString(), providers=["CPUExecutionProvider"])
    image = np.full((1, 3, *opened.size), 114, np.uint8) if picture is None else picture
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(None, {"images": image}), strict=True))
