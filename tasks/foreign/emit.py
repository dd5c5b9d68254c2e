"""Nodes of a graph of opset 20, written one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx


class Emit:
    """Collects nodes and the tensors they read; every name begins with `prefix`.

    Args:
        prefix: of names of nodes and values, so that no name of the model's own is met.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def __call__(self, op: str, *inputs: str | np.ndarray, out: str | None = None, **attributes: Any) -> str:
        """Write one node; arrays become tensors of the graph. Returns the name of its output."""
        from onnx import helper

        names = [self.tensor(value) if isinstance(value, np.ndarray) else value for value in inputs]
        name = f"{self.prefix}{op.lower()}_{len(self.nodes)}"
        result = out or f"{name}_out"
        self.nodes.append(helper.make_node(op, names, [result], name=name, **attributes))
        return result

    def tensor(self, value: np.ndarray) -> str:
        """A tensor of the graph; returns its name."""
        from onnx import numpy_helper

        name = f"{self.prefix}tensor_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name))
        return name

    def columns(self, value: str, start: int, end: int) -> str:
        """Columns `start` to `end` of the last dimension."""
        return self("Slice", value, ints(start), ints(end), ints(-1))

    def reshape(self, value: str, *shape: int) -> str:
        return self("Reshape", value, ints(*shape))

    def join(self, values: list[str], axis: int) -> str:
        """One after the other along `axis`; a single value as it is."""
        return values[0] if len(values) == 1 else self("Concat", *values, axis=axis)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)
