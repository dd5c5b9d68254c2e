"""INT8 for OpenVINO: nncf calibrates the ONNX file and corrects its biases; the file stays ONNX, with Q/DQ nodes."""

from __future__ import annotations

import importlib.util
import io
import logging
import random
from collections.abc import Iterable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from tasks.base.errors import DataError, UserError
from tasks.compress.onnx_file import add_metadata, decoding, load_onnx, metadata_of, save, strip

# calibration.method → a set of nncf's range estimators
RANGES = {"minmax": "MINMAX", "percentile": "MEAN_QUANTILE", "entropy": "HISTOGRAM"}


def quantise_openvino(source: Path, target: Path, images: Iterable[np.ndarray], method: str,
                      floats: Sequence[str] = ()) -> None:
    """Write an INT8 copy of a float ONNX file whose Q/DQ nodes stand where OpenVINO fuses them.

    Args:
        source, target: .onnx files; the source's normalisation is unfolded.
        images: network inputs uint8 [1, 3, H, W] of the training split.
        method: a key of RANGES; entropy is nncf's own search over histograms.
        floats: names of nodes that stay in float.

    Raises:
        UserError: nncf is not installed.
        DataError: the source is no float file of ours, or there is no picture.
    """
    proto = load_onnx(source)
    some = list(images)
    if not some:
        raise DataError("no picture to calibrate with", where=source.name, mend="give at least one training picture")
    nncf = _nncf()
    random.seed(0)
    np.random.seed(0)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        made = nncf.quantize(
            proto, nncf.Dataset(some, lambda image: {"images": image}), subset_size=len(some),
            ignored_scope=nncf.IgnoredScope(names=[*decoding(proto), *floats], validate=False),
            advanced_parameters=_advanced(method))
    metadata = metadata_of(proto)
    strip(made)
    add_metadata(made, metadata)
    save(made, target)


def _nncf() -> Any:
    if importlib.util.find_spec("nncf") is None:
        raise UserError("INT8 for OpenVINO needs nncf, which is not installed", where="export.targets",
                        mend="pip install 'visionmill[openvino]'")
    from tasks.runtime.backends.openvino import silence

    silence()  # importing either would otherwise report it to their makers
    import nncf

    nncf.set_log_level(logging.ERROR)
    return nncf


def _advanced(method: str) -> Any:
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    return AdvancedQuantizationParameters(
        activations_range_estimator_params=getattr(RangeEstimatorParametersSet, RANGES[method]))
