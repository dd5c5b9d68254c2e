"""ONNX files that can be used alone: normalisation and decoding inside; classes, thresholds, shape in the metadata."""

from __future__ import annotations

import copy
import json
import logging
import warnings
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tasks.base.errors import DataError
from tasks.base.files import write_atomic
from tasks.models.fcos import FCOS, SCALE, ZERO_POINT
from tasks.models.store import Structure

OPSET = 20
LARGEST = 2**31 - 1  # bytes of one protobuf message
WEIGHTED = ("Conv", "Gemm", "MatMul")
# what stands between the picture's bytes and the first convolution, also after quantisation
CHAIN = ("Cast", "Sub", "Div", "QuantizeLinear", "DequantizeLinear")


def write_onnx(model: FCOS, structure: Structure, path: Path, fold: bool = True) -> None:
    """Export a network at its fixed shape and a batch of one; `fold` makes the normalisation one node."""
    proto = exported(model, structure)
    if fold:
        fold_normalisation(proto)
    save(proto, path)


def exported(model: FCOS, structure: Structure, dynamic: bool = False) -> onnx.ModelProto:
    """The network as an ONNX graph whose normalisation is unfolded, with its metadata.

    It holds no path, date or trace of where it was made: equal weights give equal bytes.

    Args:
        dynamic: any number of pictures at once instead of one.
    """
    # an example of one picture would make one a constant of the graph
    example = torch.zeros(2 if dynamic else 1, 3, structure.height, structure.width, dtype=torch.uint8)
    shapes = {"images": {0: torch.export.Dim("batch", min=1, max=1024)}} if dynamic else None
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(fuse(model), (example,), dynamo=True, opset_version=OPSET, verbose=False,
                                    input_names=["images"], output_names=["boxes", "scores"], optimize=True,
                                    dynamic_shapes=shapes)
    proto = cast(torch.onnx.ONNXProgram, program).model_proto
    strip(proto)
    name_layers(proto)
    put_metadata(proto, structure, "N" if dynamic else "1")
    return proto


def fuse(model: FCOS) -> FCOS:
    """A copy whose towers have their batch norms folded in: the exporter leaves those of shared layers as they are."""
    folded = copy.deepcopy(model).eval()
    for part in (folded.head.classification, folded.head.regression):
        layers: list[nn.Module] = []
        for layer in part.conv:
            if isinstance(layer, nn.BatchNorm2d):
                layers[-1] = fuse_conv_bn_eval(cast(nn.Conv2d, layers[-1]), layer)
                layers.append(nn.Identity())  # so that the layers behind it keep their names
            else:
                layers.append(layer)
        part.conv = nn.Sequential(*layers)
    return folded


def fold_normalisation(proto: onnx.ModelProto) -> None:
    """Read the picture's bytes as quantised numbers: one node in place of cast, subtraction and division.

    In an INT8 file the first convolution then takes the bytes as they are.
    """
    graph = proto.graph
    chain = _chain(graph)
    value = chain[-1].output[0]
    graph.initializer.extend([
        onnx.numpy_helper.from_array(np.array(1 / SCALE, np.float32), "images_scale"),
        onnx.numpy_helper.from_array(np.array(ZERO_POINT, np.uint8), "images_zero_point")])
    for node in chain:
        graph.node.remove(node)
    names = [graph.input[0].name, "images_scale", "images_zero_point"]
    graph.node.insert(0, onnx.helper.make_node("DequantizeLinear", names, [value], name="normalise"))
    used = {name for node in graph.node for name in node.input}
    for unused in [x for x in graph.initializer if x.name not in used]:
        graph.initializer.remove(unused)


def normalised(proto: onnx.ModelProto) -> str:
    """Name of the tensor that the first convolution reads."""
    return _chain(proto.graph)[-1].output[0]


def _chain(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    chain: list[onnx.NodeProto] = []
    value = graph.input[0].name
    while (node := _only_reader(graph, value)) and node.op_type in CHAIN:
        chain.append(node)
        value = node.output[0]
    return chain


def _only_reader(graph: onnx.GraphProto, value: str) -> onnx.NodeProto | None:
    readers = [node for node in graph.node if value in node.input]
    return readers[0] if len(readers) == 1 else None


def strip(proto: onnx.ModelProto) -> None:
    """Remove what the exporter writes about the machine: stack traces and node metadata."""
    proto.doc_string = ""
    del proto.metadata_props[:]
    for function in [proto.graph, *proto.functions]:
        function.doc_string = ""
        for entry in [function, *function.node, *function.value_info]:
            entry.doc_string = ""
            del entry.metadata_props[:]
    for value in [*proto.graph.input, *proto.graph.output, *proto.graph.initializer]:
        value.doc_string = ""
        del value.metadata_props[:]


def name_layers(proto: onnx.ModelProto) -> None:
    """Call each layer as its module in torch; one that works on several pyramid levels has `@0`, `@1` … behind it.

    So a user can name the layers that stay in float, and a report says which they are.
    """
    found: dict[str, list[onnx.NodeProto]] = {}
    constants = {x.name for x in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type in WEIGHTED and node.input[1] in constants:
            found.setdefault(node.input[1].removesuffix(".weight"), []).append(node)
    for name, nodes in found.items():
        for place, node in enumerate(nodes):
            node.name = name if len(nodes) == 1 else f"{name}@{place}"


def layers_of(proto: onnx.ModelProto) -> dict[str, list[str]]:
    """Layers with weights, in the graph's order: name → names of the nodes that share its weights."""
    found: dict[str, list[str]] = {}
    constants = {x.name for x in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type in WEIGHTED and node.input[1] in constants:
            found.setdefault(node.input[1].removesuffix(".weight"), []).append(node.name)
    return found


def decoding(proto: onnx.ModelProto) -> list[str]:
    """Names of the nodes behind the last convolutions: they turn logits and distances into scores and boxes."""
    makers = {name: node for node in proto.graph.node for name in node.output}
    waiting, seen = [output.name for output in proto.graph.output], set()
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.op_type == "Conv" or node.name in seen:
            continue
        seen.add(node.name)
        waiting.extend(node.input)
    return sorted(seen)


def put_metadata(proto: onnx.ModelProto, structure: Structure, batch: str = "1") -> None:
    """Write what a user of the file needs; the keys are part of the contract."""
    add_metadata(proto, {
        "classes": json.dumps(structure.classes, ensure_ascii=False),
        "thresholds": json.dumps(structure.thresholds or {}, sort_keys=True, ensure_ascii=False),
        "height": str(structure.height), "width": str(structure.width), "line": structure.line,
        "input": f"uint8 RGB [{batch}, 3, height, width], aspect kept, top left, padded with 114",
        "output": f"boxes [{batch}, A, 4] xyxy in input pixels; scores [{batch}, A, K] in 0..1; before suppression",
        "problem": "detect",
    })


def metadata_of(proto: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in proto.metadata_props}


def add_metadata(proto: onnx.ModelProto, values: dict[str, str]) -> None:
    """Set these keys beside those that are there; the order is always the same."""
    onnx.helper.set_model_props(proto, dict(sorted({**metadata_of(proto), **values}.items())))


def load_onnx(path: Path) -> onnx.ModelProto:
    """Read a float detector that this project exported.

    Raises:
        DataError: there is no such file, it is truncated, larger than one protobuf message can be, of an unknown opset,
            without our metadata or of another contract.
    """
    mend = "export it again: dvc repro"
    try:
        if path.stat().st_size > LARGEST:
            raise DataError("an ONNX file of more than 2 GB", where=path, mend="one with external data is not read")
        proto = onnx.load(path)
    except OSError as error:
        raise DataError(f"no ONNX file: {error.strerror}", where=path, mend=mend) from None
    except DataError:
        raise
    except Exception as error:  # protobuf's own, which has no public name
        raise DataError(f"not an ONNX file, or truncated: {str(error)[:200]}", where=path, mend=mend) from None
    if not proto.graph.node:
        raise DataError("an ONNX file without a graph", where=path, mend=mend)
    opset = max((x.version for x in proto.opset_import if x.domain in ("", "ai.onnx")), default=0)
    if not 13 <= opset <= onnx.defs.onnx_opset_version():
        raise DataError(f"the ONNX file has opset {opset}; 13 to {onnx.defs.onnx_opset_version()} are understood",
                        where=path, mend=mend)
    if "classes" not in metadata_of(proto):
        raise DataError("an ONNX file without our metadata", where=path, mend="export it with visionmill")
    if [x.name for x in proto.graph.input] != ["images"]:
        raise DataError(f"its inputs are {[x.name for x in proto.graph.input]}, not ['images']", where=path, mend=mend)
    return proto


def save(proto: onnx.ModelProto, path: Path) -> None:
    """Check and write a model, beside and renamed; the same model gives the same bytes."""
    onnx.checker.check_model(proto)
    write_atomic(path, proto.SerializeToString(deterministic=True))
