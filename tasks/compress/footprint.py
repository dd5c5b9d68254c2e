"""What an ONNX graph asks of a small device: bytes of its weights, and of the feature maps alive at once."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx

# one value in, one out, nothing else looked at: an interpreter writes over its input
IN_PLACE = frozenset({"Relu", "Clip", "Sigmoid", "HardSwish", "HardSigmoid", "Tanh", "Exp", "Sqrt", "Identity", "Cast",
                      "Reshape", "Flatten", "Squeeze", "Unsqueeze", "QuantizeLinear", "DequantizeLinear", "Add", "Mul",
                      "Sub", "Div"})
FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE}


def weight_bytes(proto: onnx.ModelProto, width: int) -> int:
    """Bytes of all constants, floating-point ones of at least 64 values at `width` bytes each, the rest as they are."""
    return sum(_bytes(tensor, width) for tensor in _constants(proto))


def _constants(proto: onnx.ModelProto) -> Iterable[onnx.TensorProto]:
    yield from proto.graph.initializer
    for node in proto.graph.node:
        if node.op_type == "Constant":
            yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))


def _bytes(tensor: onnx.TensorProto, width: int) -> int:
    size = int(np.prod(tensor.dims))
    own = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return size * (min(width, own) if tensor.data_type in FLOATS and size >= 64 else own)


def peak_activations(proto: onnx.ModelProto, width: int) -> int:
    """Largest sum of bytes of the tensors that are alive at once, nodes run in the file's order.

    A tensor lives from the node that makes it to the last one that reads it. A node that works value by value takes
    over the room of an input that nobody reads afterwards. Each value counts `width` bytes, the picture one.

    Raises:
        ValueError: the graph has a shape that is not fixed.
    """
    graph = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph
    sizes = _sizes(graph, width)
    constant = {t.name for t in graph.initializer} | {n.output[0] for n in graph.node if n.op_type == "Constant"}
    last = {name: at for at, node in enumerate(graph.node) for name in node.input}
    last |= {output.name: len(graph.node) for output in graph.output}
    alive = {value.name: sizes[value.name] for value in graph.input if value.name not in constant}
    most = sum(alive.values())
    for at, node in enumerate(graph.node):
        if node.op_type == "Constant":
            continue
        made = {name: sizes.get(name, 0) for name in node.output if name}
        ending = {name for name in node.input if name in alive and last.get(name) == at}
        reused = max((alive[n] for n in ending), default=0) if node.op_type in IN_PLACE else 0
        most = max(most, sum(alive.values()) + sum(made.values()) - min(reused, sum(made.values())))
        alive = {name: size for name, size in (alive | made).items() if name not in ending and name in last}
    return most


def _sizes(graph: onnx.GraphProto, width: int) -> dict[str, int]:
    found = {}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        kind = value.type.tensor_type
        dims = [d.dim_value for d in kind.shape.dim]
        if any(not d.dim_value for d in kind.shape.dim):
            raise ValueError(f"the shape of {value.name} is not fixed")
        own = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).itemsize
        found[value.name] = int(np.prod(dims)) * (width if kind.elem_type in FLOATS else own)
    return found
