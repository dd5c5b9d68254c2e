"""What an exported file is made for: one file of `conf/target/`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from tasks.base import presets
from tasks.base.params import Params, check
from tasks.compress.onnx_file import write_onnx
from tasks.compress.quantise import quantise
from tasks.models.store import load_model


class Target(Params):
    """A runtime and its arithmetic."""

    runtime: Literal["onnxruntime"] = "onnxruntime"
    precision: Literal["fp32", "int8"] = "fp32"


class Calibration(Params):
    """Which training pictures fix the ranges of an INT8 file.

    Attributes:
        pictures: how many are drawn; all of them when there are fewer.
        seed: fixes the draw.
        method: how a range is taken from what was seen.
    """

    pictures: int = Field(100, ge=1)
    seed: int = Field(0, ge=0)
    method: Literal["minmax", "entropy", "percentile"] = "minmax"


def load_target(name: str) -> Target:
    """The target of that name, the workspace's own first.

    Raises:
        ParamsError: there is none, or it has a wrong key.
    """
    return check(Target, presets.load("target", name), f"conf/target/{name}.yaml")


def write_for(target: Target, model: Path, file: Path, images: Iterable[np.ndarray], method: str) -> None:
    """Export the model folder `model` to `file` for a target; `images` calibrate where the target needs it."""
    if target.precision == "fp32":
        write_onnx(*load_model(model), file)
        return
    whole = file.with_suffix(".float.onnx")
    try:
        write_onnx(*load_model(model), whole, fold=False)
        quantise(whole, file, images, method)
    finally:
        whole.unlink(missing_ok=True)
