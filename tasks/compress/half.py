"""FP16 by casting the ONNX file: weights and features in 16 bits, inputs, outputs and decoding as they were."""

from __future__ import annotations

import numpy as np
import onnx

from tasks.base.errors import DataError
from tasks.compress.onnx_file import decoding

FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
LARGEST = float(np.finfo(np.float16).max)
# inputs that ONNX wants in 32 bits whatever the features are: the scales of Resize
FIXED = {"Resize": (1, 2)}


def to_half(proto: onnx.ModelProto) -> None:
    """Cast what stands before the decoding to 16 bits, in place; what decodes boxes and scores stays in 32.

    A half holds 11 binary digits: the position of a box's side in a picture of 2,048 pixels would be off by a pixel.

    Raises:
        DataError: a weight is larger than a half can be.
    """
    graph = proto.graph
    late = set(decoding(proto))
    early = [node for node in graph.node if node.name not in late]
    del graph.value_info[:]  # types of tensors as they were
    _cast_weights(graph, early, late)
    made = {name for node in early for name in node.output}
    for node in early:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == FLOAT:
                attribute.i = HALF
    _cast_back(graph, made, late)


def _cast_weights(graph: onnx.GraphProto, early: list[onnx.NodeProto], late: set[str]) -> None:
    weights = {x.name: x for x in graph.initializer if x.data_type == FLOAT}
    kept = {name for node in graph.node if node.name in late for name in node.input}
    for node in early:
        for place, name in enumerate(node.input):
            if name not in weights or place in FIXED.get(node.op_type, ()):
                kept.update([name] if name in weights else [])
                continue
            node.input[place] = f"{name}_half"
    used = {name for node in early for name in node.input}
    for name, weight in weights.items():
        if f"{name}_half" in used:
            graph.initializer.append(_half(weight, f"{name}_half"))
        if name not in kept:
            graph.initializer.remove(weight)


def _half(weight: onnx.TensorProto, name: str) -> onnx.TensorProto:
    values = onnx.numpy_helper.to_array(weight)
    if values.size and float(np.abs(values).max()) > LARGEST:
        raise DataError(f"{weight.name} has a weight of {np.abs(values).max():.3g}, a 16-bit float holds {LARGEST:.0f}",
                        mend="export to a target of precision fp32")
    return onnx.numpy_helper.from_array(values.astype(np.float16), name)


def _cast_back(graph: onnx.GraphProto, made: set[str], late: set[str]) -> None:
    """Features become 32-bit again where the decoding reads them."""
    nodes = list(graph.node)
    for at, node in reversed(list(enumerate(nodes))):
        for place, name in enumerate(node.input):
            if node.name in late and name in made:
                node.input[place] = f"{name}_float"
        if node.name not in late:
            for name in node.output:
                if any(f"{name}_float" in other.input for other in nodes):
                    cast = onnx.helper.make_node("Cast", [name], [f"{name}_float"], name=f"{name}_float", to=FLOAT)
                    graph.node.insert(at + 1, cast)
