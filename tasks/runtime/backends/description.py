"""What a model says of itself: an ONNX file's metadata, a model folder's structure, the text beside an engine.

An ONNX file is read as the protobuf it is, field by field, weights skipped: 0.1 ms, no runtime needed, and a file that
is cut off or has weights missing beside it is known before a runtime stumbles over it.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from tasks.base.errors import DataError
from tasks.base.files import read_json
from tasks.runtime.postprocess import Suppression

LARGEST = 2**31 - 1  # bytes of one protobuf message
AGAIN = "export it again: dvc repro"
# field numbers of onnx.proto
GRAPH, OPSETS, METADATA = 7, 8, 14
INITIALIZER, EXTERNAL = 5, 13


@dataclass(frozen=True)
class EngineOptions:
    """What a TensorRT engine is built with.

    Attributes:
        batch: least, usual and largest number of pictures at once.
        workspace_mb: memory that the builder may plan with.
        capabilities: GPU generations of TensorRT-RTX, for instance SM89; the GPU that is there when empty.
    """

    batch: tuple[int, int, int] = (1, 1, 1)
    workspace_mb: int = 1024
    capabilities: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, text: str | None) -> EngineOptions:
        """What an exported file says under `engine`; the defaults where it says nothing."""
        told = json.loads(text or "{}")
        batch = told.get("batch", told)
        low, usual, high = (int(batch.get(name, 1)) for name in ("min", "opt", "max"))
        if not 1 <= low <= usual <= high:
            raise ValueError(f"batch min {low}, opt {usual}, max {high} do not rise")
        generations = tuple(map(str, told.get("capabilities", [])))
        return cls((low, usual, high), int(told.get("workspace_mb", 1024)), generations)


@dataclass(frozen=True)
class Description:
    """What is known of an artefact before it is opened.

    Attributes:
        problem: `detect` or `classify`.
        classes: names in the order of class ids.
        height, width: the network's input in pixels.
        line: key of the line that made it.
        thresholds: score from which a detection of a class counts in use, 0..1.
        suppression: how its raw candidates become detections.
        runtime, precision, device: what it is made for.
        engine: how TensorRT builds it; its batch is that of the file.
        opset: of an ONNX file, 0 otherwise.
        beside: files with weights that belong to it.
        metadata: all that is said, as text.
    """

    problem: str
    classes: list[str]
    height: int
    width: int
    line: str = ""
    thresholds: dict[str, float] = field(default_factory=dict)
    suppression: Suppression = Suppression()
    runtime: str = "onnxruntime"
    precision: str = "fp32"
    device: str = "cpu"
    engine: EngineOptions = EngineOptions()
    opset: int = 0
    beside: tuple[Path, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


def describe(path: Path) -> Description:
    """What an .onnx file, an .engine file or a model folder says of itself.

    Raises:
        DataError: there is nothing, it is cut off, larger than 2 GB, has weights missing, or has not our metadata.
    """
    if path.suffix == ".onnx":
        metadata, opset, beside = read_onnx(path)
        return _understood(metadata, path, opset=opset, beside=beside)
    if path.suffix == ".engine":
        return _understood(_of_engine(path), path)
    return _of_folder(path)


def _understood(metadata: Mapping[str, str], path: Path, **more: Any) -> Description:
    if "classes" not in metadata:
        raise DataError("an ONNX file without our metadata: no one knows its classes and its input", where=path,
                        mend=f"visionmill import-model {path}")
    try:
        told = {key: json.loads(metadata[key]) for key in ("classes", "thresholds") if key in metadata}
        if not all(isinstance(name, str) for name in told["classes"]) or not told["classes"]:
            raise ValueError("its classes are no names")
        told |= {key: metadata[key] for key in ("runtime", "precision", "device", "line") if key in metadata}
        return Description(metadata.get("problem", "detect"), height=int(metadata["height"]),
                           width=int(metadata["width"]), suppression=Suppression.from_json(metadata.get("suppression")),
                           engine=EngineOptions.from_json(metadata.get("engine")), metadata=metadata, **told, **more)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"its metadata is not understood: {error}", where=path, mend=AGAIN) from None


def _of_folder(folder: Path) -> Description:
    from tasks.models.store import load_structure

    told = load_structure(folder)
    return Description("detect", told.classes, told.height, told.width, told.line, told.thresholds or {},
                       runtime="torch")


def _of_engine(path: Path) -> dict[str, str]:
    beside = description_beside(path)
    if not path.is_file():
        raise DataError("no such engine", where=path)
    try:
        return dict(read_json(beside)["metadata"])
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError("an engine without its description", where=beside, mend="build it again") from None


def description_beside(engine: Path) -> Path:
    """Where an engine's description stands: `x.engine` → `x.engine.json`."""
    return engine.with_name(engine.name + ".json")


def read_onnx(path: Path) -> tuple[dict[str, str], int, tuple[Path, ...]]:
    """Metadata, opset and the files with weights beside it.

    Raises:
        DataError: there is no such file, it is cut off, larger than 2 GB, or weights are missing beside it.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise DataError(f"an ONNX file of {size / 1e9:.1f} GB; one protobuf message ends at 2 GB", where=path,
                            mend="write its weights beside it: onnx.save(…, save_as_external_data=True)")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            metadata, opset, names = _of_model(content)
    except OSError as error:
        raise DataError(f"it does not open: {error.strerror or error}", where=path) from None
    except (ValueError, IndexError):
        raise DataError("it does not open: cut off, or no ONNX file", where=path, mend=AGAIN) from None
    return metadata, opset, _there(path, names)


def _there(path: Path, names: set[str]) -> tuple[Path, ...]:
    for name in sorted(names):
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts:
            raise DataError(f"its weights are said to be in {name!r}, outside its folder", where=path)
        if not (path.parent / name).is_file():
            raise DataError(f"its weights are missing: {name}", where=path.parent / name,
                            mend=f"put {name} beside {path.name}")
    return tuple(path.parent / name for name in sorted(names))


def _of_model(content: mmap.mmap) -> tuple[dict[str, str], int, set[str]]:
    metadata, opset, beside = {}, 0, set()
    for number, begin, end in _fields(content, 0, len(content)):
        if number == METADATA:
            entry = {which: content[a:b].decode() for which, a, b in _fields(content, begin, end)}
            metadata[entry.get(1, "")] = entry.get(2, "")
        elif number == OPSETS:
            said = {which: (a, b) for which, a, b in _fields(content, begin, end)}
            if 1 not in said or said[1][0] == said[1][1]:  # the domain of ONNX itself is the empty one
                opset = said[2][1] if 2 in said else 0
        elif number == GRAPH:
            for which, a, b in _fields(content, begin, end):
                if which == INITIALIZER:
                    beside |= set(_locations(content, a, b))
    return metadata, opset, beside


def _locations(content: mmap.mmap, begin: int, end: int) -> Iterator[str]:
    for number, a, b in _fields(content, begin, end):
        if number == EXTERNAL:
            entry = {which: content[x:y].decode() for which, x, y in _fields(content, a, b)}
            if entry.get(1) == "location":
                yield entry.get(2, "")


def _fields(content: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, begin and end of each field; of a plain number 0 and its value.

    https://protobuf.dev/programming-guides/encoding
    """
    while at < end:
        key, at = _varint(content, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(content, at)
            yield number, 0, value
            continue
        if kind == 2:
            size, at = _varint(content, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"no field begins so: {key}")
        if at + size > end:
            raise ValueError("cut off")
        yield number, at, at + size
        at += size


def _varint(content: mmap.mmap, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("no number is that long")
