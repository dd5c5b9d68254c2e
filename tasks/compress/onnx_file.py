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

from tasks.models.fcos import FCOS, SCALE, ZERO_POINT
from tasks.models.store import Structure

OPSET = 20
# what stands between the picture's bytes and the first convolution, also after quantisation
CHAIN = ("Cast", "Sub", "Div", "QuantizeLinear", "DequantizeLinear")


def write_onnx(model: FCOS, structure: Structure, path: Path, fold: bool = True) -> None:
    """Export a network at its fixed shape and a batch of one.

    `fold` makes the normalisation one node; quantisation wants it unfolded.

    The file holds no path, date or trace of where it was made: equal weights give equal bytes.
    """
    fused = fuse(model)
    example = torch.zeros(1, 3, structure.height, structure.width, dtype=torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(fused, (example,), dynamo=True, opset_version=OPSET, verbose=False,
                                    input_names=["images"], output_names=["boxes", "scores"], optimize=True)
    proto = cast(torch.onnx.ONNXProgram, program).model_proto
    strip(proto)
    if fold:
        fold_normalisation(proto)
    put_metadata(proto, structure)
    save(proto, path)


def fuse(model: FCOS) -> FCOS:
    """A copy whose towers have their batch norms folded in: the exporter leaves those of shared layers as they are."""
    folded = copy.deepcopy(model).eval()
    for part in (folded.head.classification, folded.head.regression):
        layers: list[nn.Module] = []
        for layer in part.conv:
            if isinstance(layer, nn.BatchNorm2d):
                layers[-1] = fuse_conv_bn_eval(cast(nn.Conv2d, layers[-1]), layer)
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


def put_metadata(proto: onnx.ModelProto, structure: Structure) -> None:
    """Write what a user of the file needs; the keys are part of the contract."""
    onnx.helper.set_model_props(proto, {
        "classes": json.dumps(structure.classes, ensure_ascii=False),
        "thresholds": json.dumps(structure.thresholds or {}, sort_keys=True, ensure_ascii=False),
        "height": str(structure.height), "width": str(structure.width), "line": structure.line,
        "input": "uint8 RGB [1, 3, height, width], aspect kept, top left, padded with 114",
        "output": "boxes [1, A, 4] xyxy in input pixels; scores [1, A, K] in 0..1; before suppression",
        "problem": "detect",
    })


def save(proto: onnx.ModelProto, path: Path) -> None:
    """Check and write a model; the same model gives the same bytes."""
    onnx.checker.check_model(proto)
    path.write_bytes(proto.SerializeToString(deterministic=True))
