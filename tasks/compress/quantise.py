"""INT8 by static calibration: explicit Q/DQ nodes, of one kind for ONNX Runtime on a CPU, of another for TensorRT."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from tasks.base.errors import DataError
from tasks.compress.onnx_file import (
    WEIGHTED,
    add_metadata,
    decoding,
    fold_normalisation,
    load_onnx,
    metadata_of,
    normalised,
    save,
    strip,
)
from tasks.models.fcos import SCALE, ZERO_POINT

METHODS = {"minmax": CalibrationMethod.MinMax, "entropy": CalibrationMethod.Entropy,
           "percentile": CalibrationMethod.Percentile}
Kind = Literal["cpu", "tensorrt"]
QUANTISED: dict[Kind, list[str]] = {"cpu": ["Conv", "Add", "Clip", "Relu", "MaxPool", "Resize"],
                                    "tensorrt": list(WEIGHTED)}
TYPES: dict[Kind, tuple[QuantType, QuantType]] = {"cpu": (QuantType.QUInt8, QuantType.QInt8),
                                                  "tensorrt": (QuantType.QInt8, QuantType.QInt8)}
PASSING = ("Relu", "Clip", "MaxPool")  # what stands between two layers and only clips or picks


class _Reader(CalibrationDataReader):
    """Pictures one after the other; a histogram takes them one at a time, else all tensors of all stay in memory."""

    def __init__(self, images: Iterable[np.ndarray]) -> None:
        self._images = list(images)
        self.set_range(0, len(self._images))

    def __len__(self) -> int:
        return len(self._images)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._left = iter(self._images[start_index:end_index])

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._left, None)
        return None if image is None else {"images": image}


def quantise(source: Path, target: Path, images: Iterable[np.ndarray], method: str, *, kind: Kind = "cpu",
             floats: Sequence[str] = (), ranges: Path | None = None) -> None:
    """Write an INT8 copy of a float ONNX file.

    `cpu`: activations unsigned and weights signed, per channel: the pair that AVX512-VNNI multiplies at once.
    `tensorrt`: both symmetric, weights kept as floats behind a Q/DQ pair, no bias quantised, only what layers read and
    not what they write. What decodes boxes and scores stays in float: 8 bits cannot hold pixels to a pixel.

    Args:
        source, target: .onnx files; the source's normalisation is unfolded.
        images: network inputs uint8 [1, 3, H, W] of the training split.
        method: a key of METHODS.
        floats: names of nodes that stay in float, and read what was not rounded.
        ranges: file where the calibrated ranges are kept; when it is there, no picture is looked at.

    Raises:
        DataError: the source is no float file of ours, or there is no picture.
    """
    metadata = metadata_of(load_onnx(source))
    reader = None if ranges and ranges.is_file() else _Reader(images)
    if reader is not None and not len(reader):
        raise DataError("no picture to calibrate with", where=source.name, mend="give at least one training picture")
    with tempfile.TemporaryDirectory(dir=target.parent) as folder, _quiet():
        prepared, made = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        whole = onnx.load(prepared)
        activations, weights = TYPES[kind]
        kept = _with_activations(whole, floats)
        quantize_static(
            prepared, made, reader, quant_format=QuantFormat.QDQ, per_channel=True, activation_type=activations,
            weight_type=weights, calibrate_method=METHODS[method], op_types_to_quantize=QUANTISED[kind],
            nodes_to_exclude=[*decoding(whole), *kept],
            extra_options=_options(kind, method, normalised(whole)), calibration_cache_path=ranges,
        )
        proto = onnx.load(made)
    strip(proto)
    _unround(proto, kept)
    if kind == "cpu":
        fold_normalisation(proto)
    add_metadata(proto, metadata)
    save(proto, target)


def _options(kind: Kind, method: str, pixels: str) -> dict[str, Any]:
    """What quantize_static wants said; `pixels` is the tensor that the first convolution reads."""
    chunks = {} if method == "minmax" else {"CalibStridedMinMax": 1}
    if kind == "cpu":
        # the picture's own bytes: fold_normalisation then reads them without a conversion
        own = {"scale": np.array(1 / SCALE, np.float32), "zero_point": np.array(ZERO_POINT, np.uint8)}
        return {**chunks, "ActivationSymmetric": False, "WeightSymmetric": True,
                "TensorQuantOverrides": {pixels: [own]}}
    # bytes less the zero point are -127 to 128: each its own integer, white alone is one step off
    own = {"scale": np.array(1 / SCALE, np.float32), "zero_point": np.array(0, np.int8)}
    return {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False, "AddQDQPairToWeight": True,
            "OpTypesToExcludeOutputQuantization": QUANTISED[kind], "TensorQuantOverrides": {pixels: [own]}, **chunks}


def _readers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            found.setdefault(name, []).append(node)
    return found


def _with_activations(proto: onnx.ModelProto, floats: Sequence[str]) -> set[str]:
    """The nodes, and the activations that only they read: the quantiser would make those a clipped range."""
    readers, found = _readers(proto.graph), set(floats)
    for node in reversed(proto.graph.node):
        others = readers.get(node.output[0], [])
        if node.op_type in PASSING and others and all(other.name in found for other in others):
            found.add(node.name)
    return found


def _unround(proto: onnx.ModelProto, floats: set[str]) -> None:
    """Take away the Q/DQ pairs that only float nodes read: what a layer before has written would still be rounded."""
    graph, readers = proto.graph, _readers(proto.graph)
    makers = {name: node for node in graph.node for name in node.output}
    for node in [x for x in graph.node if x.op_type == "DequantizeLinear"]:
        pair, others = makers.get(node.input[0]), readers.get(node.output[0], [])
        if pair is None or pair.op_type != "QuantizeLinear" or not others or any(x.name not in floats for x in others):
            continue
        for other in others:
            other.input[:] = [pair.input[0] if name == node.output[0] else name for name in other.input]
        graph.node.remove(node)
        if len(readers[pair.output[0]]) == 1:
            graph.node.remove(pair)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime's quantiser logs and prints what a user cannot act on."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(level)
