"""The same network for a runtime that delivers float32: the picture's bytes 0..255 come as numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tasks.base.errors import DataError

TYPED = "DequantizeLinear"  # the one reader of bytes that takes no float


def float_input(proto: onnx.ModelProto, file: Path) -> None:
    """Give a network a float32 input in place of uint8, in place; its outputs stay the same for the same pixels.

    Exported files read bytes by one `DequantizeLinear`, which becomes the subtraction and the multiplication that it
    stands for; or by a `Cast`, which takes floats as well.

    Raises:
        DataError: the input is read in another way.
    """
    graph = proto.graph
    image = next((value for value in graph.input if value.name == "images"), None)
    if image is None:
        raise DataError("the file has no input `images`", where=file, mend="export it again")
    if image.type.tensor_type.elem_type == TensorProto.FLOAT:
        return
    readers = [node for node in graph.node if "images" in node.input]
    unknown = sorted({node.op_type for node in readers} - {TYPED, "Cast"})
    if unknown:
        raise DataError(f"the input's bytes are read by {', '.join(unknown)}: no float input is known for that",
                        where=file, mend="export it again, or bundle the unpruned fp32 file")
    image.type.tensor_type.elem_type = TensorProto.FLOAT
    for at, node in enumerate(readers):
        if node.op_type == TYPED:
            _in_numbers(graph, node, at)


def _in_numbers(graph: onnx.GraphProto, node: onnx.NodeProto, at: int) -> None:
    """(images − zero point) × scale in place of the dequantisation; exact for scales that are powers of two."""
    scale = _constant(graph, node.input[1])
    zero = _constant(graph, node.input[2]) if len(node.input) > 2 else np.zeros_like(scale)
    names = [f"images_{part}_{at}" for part in ("zero", "scale", "shifted", "scaled")]
    graph.initializer.extend([numpy_helper.from_array(zero.astype(np.float32).reshape(()), names[0]),
                              numpy_helper.from_array(scale.astype(np.float32).reshape(()), names[1])])
    position = list(graph.node).index(node)
    output = node.output[0]
    half = scale.dtype == np.float16
    steps = [helper.make_node("Sub", ["images", names[0]], [names[2]], name=f"images_sub_{at}"),
             helper.make_node("Mul", [names[2], names[1]], [names[3] if half else output], name=f"images_mul_{at}")]
    if half:
        steps.append(helper.make_node("Cast", [names[3]], [output], to=TensorProto.FLOAT16, name=f"images_half_{at}"))
    graph.node.remove(node)
    for step in reversed(steps):
        graph.node.insert(position, step)
    used = {name for other in graph.node for name in other.input}
    for unused in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(unused)


def asymmetric(proto: onnx.ModelProto) -> bool:
    """True when activations are quantised with a zero point other than 0 or as unsigned bytes, which TensorRT refuses.

    How the picture's own bytes are read does not count.
    """
    graph = proto.graph
    makers = {name for node in graph.node if node.op_type == "QuantizeLinear" for name in node.input[2:3]}
    return any(_is_unsigned(tensor) for tensor in graph.initializer if tensor.name in makers)


def _is_unsigned(tensor: onnx.TensorProto) -> bool:
    return tensor.data_type == TensorProto.UINT8 or bool(np.any(numpy_helper.to_array(tensor)))


def _constant(graph: onnx.GraphProto, name: str) -> np.ndarray:
    found = next((tensor for tensor in graph.initializer if tensor.name == name), None)
    if found is not None:
        return numpy_helper.to_array(found)
    node = next(node for node in graph.node if name in node.output and node.op_type == "Constant")
    return numpy_helper.to_array(node.attribute[0].t)
