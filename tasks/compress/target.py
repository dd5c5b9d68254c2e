"""What an exported file is made for: one file of `conf/target/`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from tasks.base import presets
from tasks.base.params import Params, check
from tasks.runtime.postprocess import Suppression

if TYPE_CHECKING:
    import onnx

    from tasks.models.fcos import FCOS
    from tasks.models.store import Structure


class Batch(Params):
    """How many pictures a file takes at once; all one: a fixed shape, else any number is taken.

    Attributes:
        min, opt, max: what a TensorRT engine allows, and is fastest with.
    """

    min: int = Field(1, ge=1)
    opt: int = Field(1, ge=1)
    max: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.min <= self.opt <= self.max:
            raise ValueError("min ≤ opt ≤ max")
        return self

    @property
    def dynamic(self) -> bool:
        return self.max > 1


class Target(Params):
    """A runtime and its arithmetic.

    Attributes:
        runtime: what runs the file.
        precision: of convolutions.
        device: where ONNX Runtime runs it.
        batch: pictures at once.
        workspace_mb: memory that TensorRT may use while it builds.
        capabilities: GPU generations that TensorRT-RTX builds for, for instance SM89.
    """

    runtime: Literal["onnxruntime", "openvino", "tensorrt", "tensorrt-rtx"] = "onnxruntime"
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    device: Literal["cpu", "cuda"] = "cpu"
    batch: Batch = Batch()
    workspace_mb: int = Field(1024, ge=1)
    capabilities: list[str] = []

    @property
    def tensorrt(self) -> bool:
        """Whether NVIDIA's builder makes an engine of the file."""
        return self.runtime.startswith("tensorrt")

    @property
    def symmetric(self) -> bool:
        """Whether INT8 ranges lie around zero."""
        return self.tensorrt or self.device == "cuda"

    @property
    def folds(self) -> bool:
        """Whether the runtime reads bytes as quantised numbers in one node.

        TensorRT knows no unsigned ones; OpenVINO fuses the three nodes itself.
        """
        return self.runtime == "onnxruntime"


def load_target(name: str) -> Target:
    """The target of that name, the workspace's own first.

    Raises:
        ParamsError: there is none, or it has a wrong key.
    """
    return check(Target, presets.load("target", name), f"conf/target/{name}.yaml")


def write_for(target: Target, model: Path, file: Path, images: Iterable[np.ndarray] = (), method: str = "minmax",
              float_layers: Sequence[str] = ()) -> None:
    """Export the model folder `model` to `file` for a target.

    Args:
        images: network inputs uint8 [1, 3, H, W] that calibrate an INT8 file; not looked at for another.
        method: how a range is taken from them.
        float_layers: layers that an INT8 file keeps in float, by their names in torch.

    Raises:
        DataError: no picture for an INT8 file, or a weight that the precision cannot hold.
    """
    from tasks.compress.onnx_file import save
    from tasks.models.store import load_model

    proto = exported_for(target, *load_model(model))
    if target.precision != "int8":
        save(proto, file)
        return
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        source = Path(folder) / "float.onnx"
        save(proto, source)
        write_int8(target, source, file, images, method, float_layers)


def exported_for(target: Target, model: FCOS, structure: Structure) -> onnx.ModelProto:
    """The network as the target's ONNX graph; of an INT8 target the float graph that is then quantised."""
    from tasks.compress.half import to_half
    from tasks.compress.onnx_file import add_metadata, exported, fold_normalisation

    proto = exported(model, structure, target.batch.dynamic)
    add_metadata(proto, description(target))
    if target.precision == "int8":
        return proto
    if target.folds:
        fold_normalisation(proto)
    if target.precision == "fp16":
        to_half(proto)
    return proto


def write_int8(target: Target, source: Path, file: Path, images: Iterable[np.ndarray], method: str,
               float_layers: Sequence[str] = (), ranges: Path | None = None) -> None:
    """Quantise the float file `source` for a target.

    Args:
        float_layers: names of layers; what they are kept in is written into the file's metadata by name of node.
        ranges: file that keeps what the calibration saw; pictures are looked at once for many files.
    """
    import onnx

    from tasks.compress.onnx_file import add_metadata, layers_of, save

    layers = layers_of(onnx.load(source))
    floats = [node for name in float_layers for node in layers[name]]
    if target.runtime == "openvino":
        from tasks.compress.openvino_int8 import quantise_openvino

        quantise_openvino(source, file, images, method, floats)
    else:
        from tasks.compress.quantise import quantise

        kind: Literal["cpu", "tensorrt"] = "tensorrt" if target.symmetric else "cpu"
        quantise(source, file, images, method, kind=kind, floats=floats, ranges=ranges)
    proto = onnx.load(file)
    add_metadata(proto, {"float_layers": json.dumps(sorted(floats))})
    save(proto, file)


def description(target: Target) -> dict[str, str]:
    """The metadata keys that say how a file is to be run."""
    told = {"runtime": target.runtime, "precision": target.precision,
            "device": "cuda" if target.tensorrt else target.device, "suppression": Suppression().to_json()}
    if target.tensorrt or target.batch.dynamic:
        engine = target.model_dump(include={"batch", "workspace_mb", "capabilities"})
        told["engine"] = json.dumps(engine, sort_keys=True)
    return told
