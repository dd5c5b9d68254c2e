"""A foreign graph inside our contract: uint8 RGB pictures in, boxes in input pixels and scores out.

In front stand our own normalisation, so that quantisation reads the picture's bytes as it does in our own files, and a
1×1 convolution that turns it into the model's: other means, other scales, other order of colours. Behind stands the
decoding. Between them the model is as it was.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.base.errors import UserError
from tasks.foreign.decode import Decoded, Said, decode
from tasks.foreign.description import Description, Input
from tasks.foreign.emit import Emit
from tasks.foreign.reading import Opened, constants, open_session
from tasks.foreign.stretch import extent, stretch, unstretch
from tasks.runtime.postprocess import Suppression

if TYPE_CHECKING:
    import onnx

INSIDE = "model/"
TYPES = {"float32": 1, "uint8": 2, "float16": 10}  # onnx.TensorProto's numbers
SLACK = 1e-3  # by which a score may leave 0..1 through rounding
QUANTISED = {"QuantizeLinear", "QLinearConv", "ConvInteger", "DynamicQuantizeLinear"}


@dataclass(frozen=True)
class Wrapped:
    """A model in our contract.

    Attributes:
        classes: how many it tells apart.
        candidates: boxes before suppression; 1 for a classifier.
        problem: `detect` or `classify`.
        size: height and width of the input in pixels.
    """

    proto: onnx.ModelProto
    classes: int
    candidates: int
    problem: str
    size: tuple[int, int]


def wrap(opened: Opened, description: Description, file: Path) -> Wrapped:
    """Build the model that takes our input and gives our outputs.

    A model that was trained on stretched pictures stretches the letterboxed picture itself.

    Raises:
        Misfit: the description does not fit what the model says.
        UserError: its scores are outside 0..1, or not finite.
    """
    import onnx.compose

    proto = onnx.compose.add_prefix(opened.proto, INSIDE)
    graph = proto.graph
    _name_nodes(graph)
    front, plain = Emit("input/"), Emit("decoding/")
    _feed_constants(front, proto, description.input, opened, file)
    shown = _adapt(front, description.input, opened)
    floating = {value.name.removeprefix(INSIDE): _as_float(plain, value) for value in graph.output}
    back = _Renamed(plain, floating)
    found = decode(back, description.decoding, Said(opened.outputs, opened.size))
    if shown is not None and found.boxes is not None:
        found = replace(found, boxes=unstretch(back, found.boxes, shown, opened.size))
    _close(proto, front, back, found, opened.size)
    _check(proto, opened.size, file)
    return Wrapped(proto, found.classes, found.candidates, "classify" if found.boxes is None else "detect",
                   opened.size)


def fits(opened: Opened, description: Description) -> bool:
    """True when the description's decoding reads what the model says; normalisation is not seen in a file."""
    how = description.input
    if (how.height, how.width) not in ((None, None), opened.size):
        return False
    try:
        decode(Emit("try/"), description.decoding, Said(opened.outputs, opened.size))
    except UserError:
        return False
    return True


class _Renamed(Emit):
    """An `Emit` that knows the model's outputs by their own names: inside they have others, and are float32."""

    def __init__(self, emit: Emit, names: dict[str, str]) -> None:
        self.prefix, self.nodes, self.initializers = emit.prefix, emit.nodes, emit.initializers
        self._names = names

    def __call__(self, op: str, *inputs: str | np.ndarray, out: str | None = None, **attributes: Any) -> str:
        known = [self._names.get(value, value) if isinstance(value, str) else value for value in inputs]
        return super().__call__(op, *known, out=out, **attributes)


def _as_float(emit: Emit, value: onnx.ValueInfoProto) -> str:
    if value.type.tensor_type.elem_type == TYPES["float32"]:
        return value.name
    return emit("Cast", value.name, to=TYPES["float32"])


def _name_nodes(graph: onnx.GraphProto) -> None:
    # quantisation tells nodes apart by their names, and some exporters write none, or one twice
    seen: set[str] = set()
    for place, node in enumerate(graph.node):
        if node.name in ("", INSIDE) or node.name in seen:
            node.name = f"{INSIDE}{node.op_type.lower()}_{place}"
        seen.add(node.name)


def _feed_constants(front: Emit, proto: onnx.ModelProto, how: Input, opened: Opened, file: Path) -> None:
    from onnx import numpy_helper

    inputs = {entry.name: entry for entry in open_session(opened.proto, file).get_inputs()}
    for name, value in constants(how, inputs, opened.input, file).items():
        front.initializers.append(numpy_helper.from_array(value, INSIDE + name))


def _adapt(front: Emit, how: Input, opened: Opened) -> str | None:
    """From the picture's bytes to what the model reads; returns the picture's extent where it is stretched."""
    from tasks.models.fcos import SCALE, ZERO_POINT
    from tasks.runtime.letterbox import FILL

    ours = front("Div", front("Sub", front("Cast", "images", to=TYPES["float32"]), np.array(ZERO_POINT, np.float32)),
                 np.array(SCALE, np.float32))
    mean, std = np.array(how.mean), np.array(how.std)
    weight = np.zeros((3, 3, 1, 1), np.float32)
    for channel in range(3):
        weight[channel, channel if how.colours == "rgb" else 2 - channel] = SCALE / std[channel]
    value = front("Conv", ours, weight, ((ZERO_POINT - mean) / std).astype(np.float32))
    shown = extent(front, ours, (FILL - ZERO_POINT) / SCALE, opened.size) if how.fit == "stretch" else None
    if shown is not None:
        value = stretch(front, value, shown, opened.size)
    if how.dtype == "uint8":
        value = front("Clip", front("Round", value), np.array(0, np.float32), np.array(255, np.float32))
    if how.dtype != "float32":
        value = front("Cast", value, to=TYPES[how.dtype])
    if how.layout == "nhwc":
        value = front("Transpose", value, perm=[0, 2, 3, 1])
    front("Identity", value, out=INSIDE + opened.input)
    return shown


def _close(proto: onnx.ModelProto, front: Emit, back: Emit, found: Decoded, size: tuple[int, int]) -> None:
    from onnx import TensorProto, helper

    graph = proto.graph
    outputs = [("scores", found.scores, [1, found.candidates, found.classes])]
    if found.boxes is None:
        outputs = [("scores", found.scores, [1, found.classes])]
    else:
        outputs.insert(0, ("boxes", found.boxes, [1, found.candidates, 4]))
    for name, value, _ in outputs:
        back("Identity", value, out=name)
    nodes = [*front.nodes, *graph.node, *back.nodes]
    for field in (graph.node, graph.input, graph.output, graph.value_info):
        del field[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*front.initializers, *back.initializers])
    graph.input.append(helper.make_tensor_value_info("images", TensorProto.UINT8, [1, 3, *size]))
    graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, _, shape in outputs)
    graph.name = "visionmill"
    proto.producer_name, proto.producer_version, proto.domain = "visionmill", "", ""
    _drop_unused(graph)


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Remove what leads to no output: heads that nobody reads, weights that no node reads."""
    makers = {name: node for node in graph.node for name in node.output}
    waiting, wanted = [value.name for value in graph.output], set()
    while waiting:
        name = waiting.pop()
        if name in wanted:
            continue
        wanted.add(name)
        if name in makers:
            waiting.extend(_read_by(makers[name]))
    kept = [node for node in graph.node if wanted.intersection(node.output)]
    tensors = [tensor for tensor in graph.initializer if tensor.name in wanted]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(tensors)


def _read_by(node: onnx.NodeProto) -> list[str]:
    inner = [value for attribute in node.attribute for graph in ([attribute.g] if attribute.HasField("g") else [])
             for sub in graph.node for value in _read_by(sub)]
    return [*node.input, *inner]


def _check(proto: onnx.ModelProto, size: tuple[int, int], file: Path) -> None:
    """Run what was built on a picture of noise: scores must be in 0..1, everything finite."""
    session = open_session(proto, file)
    noise = np.random.default_rng(0).integers(0, 256, (1, 3, *size), dtype=np.uint8)
    said = dict(zip([value.name for value in session.get_outputs()], session.run(None, {"images": noise}), strict=True))
    low, high = float(said["scores"].min()), float(said["scores"].max())
    if not all(np.isfinite(value).all() for value in said.values()):
        raise UserError("with this description the model says numbers that are not finite", where=file,
                        mend="compare mean, std and decoding.family with how the model was trained")
    if low < -SLACK or high > 1 + SLACK:
        raise UserError(f"with this description scores reach from {low:.3g} to {high:.3g}, not 0 to 1", where=file,
                        mend="set decoding.activation: sigmoid (or softmax), or name the output with the scores")


def metadata(wrapped: Wrapped, description: Description, classes: list[str], line: str,
             origin: dict[str, Any]) -> dict[str, str]:
    """What a file of our contract says of itself."""
    scores = "scores [1, A, K] in 0..1; before suppression"
    quantised = any(node.op_type in QUANTISED for node in wrapped.proto.graph.node)
    return {
        "classes": json.dumps(classes, ensure_ascii=False),
        "thresholds": json.dumps(dict.fromkeys(classes, description.threshold), sort_keys=True, ensure_ascii=False),
        "height": str(wrapped.size[0]), "width": str(wrapped.size[1]), "line": line, "problem": wrapped.problem,
        "input": "uint8 RGB [1, 3, height, width], aspect kept, top left, padded with 114",
        "output": f"boxes [1, A, 4] xyxy in input pixels; {scores}" if wrapped.problem == "detect"
                  else "scores [1, K] in 0..1",
        "runtime": "onnxruntime", "precision": "int8" if quantised else "fp32", "device": "cpu",
        "suppression": Suppression(iou=description.iou).to_json(),
        "imported": json.dumps(origin, sort_keys=True, ensure_ascii=False),
    }
