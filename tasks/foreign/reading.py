"""An ONNX file from elsewhere, opened with care: whole, of an opset that is known, its tensors inside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.base.errors import DataError, UserError
from tasks.foreign.description import Input

if TYPE_CHECKING:
    import onnx

LARGEST = 2**31 - 1  # bytes of a protobuf message
OLDEST, WANTED = 7, 20  # opsets: what the converter and ONNX Runtime still read; that of our own exports
EXPORT = "export it again, with opset 13 to 20: torch.onnx.export(…, opset_version=17)"
DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}


@dataclass(frozen=True)
class Opened:
    """A file that runs.

    Attributes:
        proto: functions inlined, opset 20 or newer, tensors inside.
        outputs: name → shape at the size and the batch of one that it was run with.
        input: name of the graph's picture input.
        size: height and width in pixels.
    """

    proto: onnx.ModelProto
    outputs: Mapping[str, tuple[int, ...]]
    input: str
    size: tuple[int, int]

    def said(self) -> str:
        """The outputs in one line, for messages."""
        return ", ".join(f"{name} {list(shape)}" for name, shape in self.outputs.items())


def read_onnx(file: Path) -> onnx.ModelProto:
    """The model of a file, complete, checked and brought to opset 20 where it is older.

    Raises:
        UserError: the file is too large for its format, cut off, no ONNX, lacks its external data, or is of an opset
            that nobody here reads.
    """
    import onnx

    size = file.stat().st_size
    if size > LARGEST:
        raise UserError(f"{size / 1e9:.1f} GB: an ONNX file of more than 2 GB cannot be read", where=file,
                        mend="save it with external data, or take a smaller model: a detector has a few hundred MB")
    try:
        proto = onnx.load(file, load_external_data=False)
    except Exception as error:  # protobuf's errors have no base that stays the same between versions
        raise DataError(f"no ONNX file, or one that is cut off: {_first(error)}", where=file,
                        mend="fetch it again and compare its size") from None
    if not proto.graph.node or not proto.opset_import:
        raise DataError("no ONNX file, or one that is cut off: it has no graph", where=file,
                        mend="fetch it again and compare its size")
    _bring_external(proto, file)
    return _modern(proto, file)


def _bring_external(proto: onnx.ModelProto, file: Path) -> None:
    import onnx
    from onnx.external_data_helper import load_external_data_for_model, uses_external_data

    folder, total = file.resolve().parent, 0
    places = {entry.value for tensor in _tensors(proto) if uses_external_data(tensor)
              for entry in tensor.external_data if entry.key == "location"}
    for place in sorted(places):
        path = folder / place
        if Path(place).is_absolute() or folder not in path.resolve().parents:
            raise UserError(f"its external data lie outside its folder: {place}", where=file,
                            mend="fetch the model and its data into one folder, from a source that you trust")
        if not path.is_file():
            raise UserError(f"its external data are missing: {place}", where=file,
                            mend=f"put {place} beside {file.name}; both were made by one export")
        total += path.stat().st_size
    if total > LARGEST:
        raise UserError(f"its external data have {total / 1e9:.1f} GB; one file holds at most 2 GB", where=file,
                        mend="take a smaller model: a detector has a few hundred MB")
    if places:
        try:
            load_external_data_for_model(proto, str(folder))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            raise DataError(f"its external data do not load: {_first(error)}", where=file,
                            mend="fetch both again and compare their sizes") from None


def _tensors(proto: onnx.ModelProto) -> list[onnx.TensorProto]:
    constants = [attribute.t for node in proto.graph.node for attribute in node.attribute if attribute.HasField("t")]
    return [*proto.graph.initializer, *constants]


def _modern(proto: onnx.ModelProto, file: Path) -> onnx.ModelProto:
    import onnx.defs
    import onnx.inliner
    import onnx.version_converter

    strange = sorted({entry.domain for entry in proto.opset_import} - DOMAINS - {f.domain for f in proto.functions})
    if strange:
        raise UserError(f"operators of {', '.join(strange)}, which no runtime here knows", where=file,
                        mend="export it again with standard operators only")
    opset = next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 0)
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST <= opset <= newest:
        word = "old" if opset < OLDEST else "new"
        raise UserError(f"opset {opset} is too {word}: {OLDEST} to {newest} are read", where=file, mend=EXPORT)
    # older files list their weights among their inputs too
    own = {tensor.name for tensor in proto.graph.initializer}
    for entry in [value for value in proto.graph.input if value.name in own]:
        proto.graph.input.remove(entry)
    try:
        whole = onnx.inliner.inline_local_functions(proto) if proto.functions else proto
        whole.ir_version = max(whole.ir_version, 8)
        return onnx.version_converter.convert_version(whole, WANTED) if opset < WANTED else whole
    except Exception as error:  # the converter raises RuntimeError, ConvertError and others
        raise UserError(f"opset {opset} cannot be brought to {WANTED}: {_first(error)}", where=file,
                        mend=EXPORT) from None


def try_out(proto: onnx.ModelProto, how: Input, file: Path) -> Opened:
    """Run the model once on a grey picture: the shapes of what it says.

    Raises:
        UserError: ONNX Runtime does not open or run it, its input is not the one described, or its size is not known.
    """
    session = open_session(proto, file)
    inputs = {value.name: value for value in session.get_inputs()}
    name = _picture_input(inputs, how, file)
    size = _size(list(inputs[name].shape), how, file)
    feeds = {name: np.zeros(dims(how, size), how.dtype), **constants(how, inputs, name, file)}
    try:
        said = session.run(None, feeds)
    except Exception as error:  # onnxruntime has no common base of its errors
        raise UserError(f"it does not run at {size[0]} × {size[1]}: {_first(error)}", where=file,
                        mend="compare height, width, dtype and layout of the description with the file") from None
    shapes = {value.name: tuple(np.shape(array)) for value, array in zip(session.get_outputs(), said, strict=True)}
    return Opened(proto, shapes, name, size)


def dims(how: Input, size: tuple[int, int]) -> tuple[int, ...]:
    """Shape of the network's own input at a batch of one."""
    return (1, 3, *size) if how.layout == "nchw" else (1, *size, 3)


def open_session(proto: onnx.ModelProto, file: Path) -> Any:
    """An ONNX Runtime session on the CPU.

    Raises:
        DataError: it does not open; with ONNX Runtime's words.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no common base of its errors
        raise DataError(f"ONNX Runtime does not open it: {_first(error)}", where=file, mend=EXPORT) from None


def constants(how: Input, inputs: Mapping[str, Any], name: str, file: Path) -> dict[str, np.ndarray]:
    """The values of the further inputs, in their own types."""
    others = {key: value for key, value in inputs.items() if key != name}
    if missing := sorted(set(others) - set(how.constants)):
        raise UserError(f"the model has more inputs than the picture: {', '.join(missing)}", where=file,
                        mend="say what they are in the description, input.constants: {NAME: VALUE}")
    types = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32,
             "tensor(float16)": np.float16, "tensor(bool)": np.bool_}
    return {key: np.asarray(how.constants[key], types.get(value.type, np.float32)) for key, value in others.items()}


def _picture_input(inputs: Mapping[str, Any], how: Input, file: Path) -> str:
    if how.name is not None and how.name not in inputs:
        raise UserError(f"the model has no input {how.name!r}", where=file,
                        mend=f"its inputs: {', '.join(inputs)}; edit input.name of the description")
    pictures = [name for name, value in inputs.items() if len(value.shape) == 4 and name not in how.constants]
    name = how.name or (pictures[0] if len(pictures) == 1 else None)
    if name is None:
        raise UserError("it is not plain which input takes the picture", where=file,
                        mend=f"its inputs: {', '.join(inputs)}; write input.name into the description")
    wanted = {"float32": "tensor(float)", "float16": "tensor(float16)", "uint8": "tensor(uint8)"}[how.dtype]
    if inputs[name].type != wanted:
        raise UserError(f"its input {name!r} is {inputs[name].type}, the description says {how.dtype}", where=file,
                        mend="edit input.dtype of the description")
    return name


def _size(shape: list[Any], how: Input, file: Path) -> tuple[int, int]:
    channels, sides = (shape[1], shape[2:]) if how.layout == "nchw" else (shape[3], shape[1:3])
    if isinstance(channels, int) and channels != 3:
        raise UserError(f"its input {shape} has no 3 channels where {how.layout} has them", where=file,
                        mend="edit input.layout of the description; pictures of other channels are not taken")
    if isinstance(shape[0], int) and shape[0] != 1:
        raise UserError(f"it takes {shape[0]} pictures at once", where=file, mend="export it for a batch of one")
    asked = (how.height, how.width)
    for told, side in zip(asked, sides, strict=True):
        if isinstance(side, int) and told not in (None, side):
            raise UserError(f"it takes {sides[0]} × {sides[1]} pixels, the description says {asked[0]} × {asked[1]}",
                            where=file, mend="edit input.height and input.width, or leave them out")
    found = [side if isinstance(side, int) else told for told, side in zip(asked, sides, strict=True)]
    if found[0] is None or found[1] is None:
        raise UserError("it takes pictures of any size", where=file,
                        mend="say which: --size 416x416, or input.height and input.width of the description")
    return found[0], found[1]


def _first(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
