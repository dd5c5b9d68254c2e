"""What an exported file says of itself, and whether it can be bundled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import DataError
from tasks.runtime.backends.description import AGAIN, describe
from tasks.runtime.postprocess import Suppression

if TYPE_CHECKING:
    import onnx

DEFAULT_THRESHOLD = 0.5
# first choice of onnxruntime for a file that is made for a runtime and a device
PROVIDERS = {("onnxruntime", "cpu"): "CPUExecutionProvider", ("onnxruntime", "cuda"): "CUDAExecutionProvider",
             ("openvino", "cpu"): "CPUExecutionProvider", ("tensorrt", "cuda"): "TensorrtExecutionProvider",
             ("tensorrt-rtx", "cuda"): "NvTensorRTRTXExecutionProvider"}


@dataclass(frozen=True)
class Exported:
    """An exported detector.

    Attributes:
        file: the .onnx file.
        classes: names in the order of their ids.
        thresholds: class → score from which a detection counts in use, 0..1; every class has one.
        height, width: of the input, in pixels.
        line: key of the line that made it.
        runtime, precision, device: what it is made for, as in `conf/target/`.
        suppression: how raw candidates become detections.
        candidates: raw boxes of one picture.
        opset: version of ONNX's operators.
    """

    file: Path
    classes: list[str]
    thresholds: dict[str, float]
    height: int
    width: int
    line: str
    runtime: str
    precision: str
    device: str
    suppression: Suppression
    candidates: int
    opset: int

    @property
    def provider(self) -> str:
        """ONNX Runtime's provider for what the file is made for."""
        return PROVIDERS.get((self.runtime, self.device), "CPUExecutionProvider")


def read_exported(file: Path) -> Exported:
    """Read a file's metadata and run it once, on the CPU, on an empty picture.

    Raises:
        DataError: no ONNX file, a truncated one, one without our metadata, one that keeps weights outside, no detector.
    """
    if file.suffix != ".onnx" or not file.is_file():
        raise DataError("not an .onnx file", where=file, mend="an exported file, NAME@ALIAS, or --artefact")
    told = describe(file)
    if told.problem != "detect":
        raise DataError(f"the file is made for {told.problem!r}; bundles hold detectors", where=file,
                        mend="name a detector")
    if told.beside:
        raise DataError("its weights lie in another file; a bundle holds one", where=file,
                        mend="onnx.save(onnx.load(FILE), OTHER) writes one file of both")
    proto = load(file)
    device = told.metadata.get("device") or ("cuda" if told.runtime.startswith("tensorrt") else "cpu")
    thresholds = {name: float(told.thresholds.get(name, DEFAULT_THRESHOLD)) for name in told.classes}
    return Exported(file, told.classes, thresholds, told.height, told.width, told.line or "unknown", told.runtime,
                    told.metadata.get("precision") or precision_of(proto), device, told.suppression,
                    _candidates(file, len(told.classes), told.height, told.width), told.opset)


@dataclass(frozen=True)
class Named:
    """An exported classifier, for boxes that a detector has found.

    Attributes:
        file: the .onnx file.
        classes: names in the order of their ids.
        height, width: of the input, in pixels.
        provider: see `Exported`.
    """

    file: Path
    classes: list[str]
    height: int
    width: int
    provider: str


def read_classifier(file: Path) -> Named:
    """Read a classifier's metadata and run it once, on the CPU, on an empty picture.

    Raises:
        DataError: no ONNX file, a truncated one, one without our metadata, one that keeps weights outside, a detector.
    """
    if file.suffix != ".onnx" or not file.is_file():
        raise DataError("the classifier is not an .onnx file", where=file, mend="--classify FILE.onnx")
    told = describe(file)
    if told.problem != "classify" or told.beside:
        what = "its weights lie in another file" if told.beside else f"its problem is {told.problem!r}, not 'classify'"
        raise DataError(f"no classifier for a cascade: {what}", where=file, mend="--classify a classifier's .onnx file")
    load(file)
    (scores,) = _outputs(file, ["scores"], told.height, told.width)
    if scores.shape != (1, len(told.classes)):
        raise DataError(f"the output does not fit {len(told.classes)} classes: scores {list(scores.shape)}",
                        where=file, mend=AGAIN)
    return Named(file, told.classes, told.height, told.width,
                 PROVIDERS.get((told.runtime, told.device), "CPUExecutionProvider"))


def load(file: Path) -> onnx.ModelProto:
    """A valid ONNX file.

    Raises:
        DataError: it is none.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        proto = onnx.load(str(file))
        onnx.checker.check_model(proto)
    except (DecodeError, onnx.checker.ValidationError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise DataError(f"not a valid ONNX file: {reason}", where=file, mend=AGAIN) from None
    return proto


def precision_of(proto: onnx.ModelProto) -> str:
    """`int8`, `fp16` or `fp32` by what the graph holds, for files that do not say."""
    if any(node.op_type in ("QuantizeLinear", "QLinearConv", "ConvInteger") for node in proto.graph.node):
        return "int8"
    return "fp16" if any(tensor.data_type == 10 for tensor in proto.graph.initializer) else "fp32"


def _candidates(file: Path, classes: int, height: int, width: int) -> int:
    boxes, scores = _outputs(file, ["boxes", "scores"], height, width)
    count = boxes.shape[1] if boxes.ndim == 3 else 0
    if boxes.shape != (1, count, 4) or scores.shape != (1, count, classes):
        raise DataError(f"the outputs do not fit {classes} classes: boxes {list(boxes.shape)}, "
                        f"scores {list(scores.shape)}", where=file, mend=AGAIN)
    return int(count)


def _outputs(file: Path, names: list[str], height: int, width: int) -> list[Any]:
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    try:
        session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        return list(session.run(names, {"images": np.full((1, 3, height, width), 114, np.uint8)}))
    except Exception as error:  # onnxruntime has no common base of its errors
        raise DataError(f"ONNX Runtime does not run it: {str(error).splitlines()[0][:200]}", where=file,
                        mend=AGAIN) from None
