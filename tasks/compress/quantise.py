"""INT8 by static calibration: one QDQ file for ONNX Runtime on a CPU."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from tasks.compress.onnx_file import fold_normalisation, normalised, save, strip
from tasks.models.fcos import SCALE, ZERO_POINT

METHODS = {"minmax": CalibrationMethod.MinMax, "entropy": CalibrationMethod.Entropy,
           "percentile": CalibrationMethod.Percentile}
QUANTISED = ["Conv", "Add", "Clip", "Relu", "MaxPool", "Resize"]


class _Reader(CalibrationDataReader):
    def __init__(self, images: Iterable[np.ndarray]) -> None:
        self._images: Iterator[np.ndarray] = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._images, None)
        return None if image is None else {"images": image}


def quantise(source: Path, target: Path, images: Iterable[np.ndarray], method: str) -> None:
    """Write an INT8 copy of a float ONNX file for ONNX Runtime on a CPU.

    Activations are unsigned and weights signed, per channel: the pair that AVX512-VNNI multiplies at once. What decodes
    boxes and scores stays in float: 8 bits cannot hold pixels to a pixel.

    Args:
        source, target: .onnx files; the source's normalisation is unfolded.
        images: network inputs uint8 [1, 3, H, W] of the training split.
        method: a key of METHODS.
    """
    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        prepared, made = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        whole = onnx.load(prepared)
        # the picture's own bytes: fold_normalisation then reads them without a conversion
        pixels = {"scale": np.array(1 / SCALE, np.float32), "zero_point": np.array(ZERO_POINT, np.uint8)}
        quantize_static(
            prepared, made, _Reader(images), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, calibrate_method=METHODS[method],
            op_types_to_quantize=QUANTISED, nodes_to_exclude=decoding(whole),
            extra_options={"ActivationSymmetric": False, "WeightSymmetric": True,
                           "TensorQuantOverrides": {normalised(whole): [pixels]}},
        )
        proto = onnx.load(made)
    metadata = {entry.key: entry.value for entry in onnx.load(source).metadata_props}
    strip(proto)
    fold_normalisation(proto)
    onnx.helper.set_model_props(proto, metadata)
    save(proto, target)


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
