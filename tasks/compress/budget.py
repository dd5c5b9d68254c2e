"""What a network may cost: limits that pruning works towards, and what a candidate costs by them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from tasks.base.params import Params
from tasks.compress.footprint import peak_activations, weight_bytes
from tasks.compress.pruning import macs, parameters
from tasks.models.fcos import FCOS
from tasks.models.plan import read_plan
from tasks.models.store import Structure

WIDTH = {"fp32": 4, "fp16": 2, "int8": 1}
MB = 1e6


class Budget(Params):
    """Limits for the pruned network; several together must all be met.

    Attributes:
        max_ap_loss: validation AP that may be lost against the unpruned network, 0..1. Alone, it says how far to prune.
        kept_parameters: share of the parameters that may stay.
        macs: share of the multiply-accumulates that may stay.
        file_mb: size of the weights in a file, in 10⁶ bytes, at `precision`.
        peak_ram_mb: largest sum of the feature maps that are alive at once for one picture, in 10⁶ bytes, at
            `precision`: what an interpreter on a small device needs beside the weights.
        precision: of the file that file_mb and peak_ram_mb speak of.
    """

    max_ap_loss: float | None = Field(None, ge=0, lt=1)
    kept_parameters: float | None = Field(None, gt=0, le=1)
    macs: float | None = Field(None, gt=0, le=1)
    file_mb: float | None = Field(None, gt=0)
    peak_ram_mb: float | None = Field(None, gt=0)
    precision: Literal["fp32", "fp16", "int8"] = "fp32"

    @model_validator(mode="after")
    def _says_something(self) -> Budget:
        if self.max_ap_loss is None and not self.limits():
            raise ValueError("a budget needs a limit: {max_ap_loss: 0.005}, {kept_parameters: 0.3}, {macs: 0.3}, "
                             "{file_mb: 2, peak_ram_mb: 40}")
        return self

    def limits(self) -> dict[str, float]:
        """The limits of size that are asked for, by name; shares of parameters and MACs are still shares."""
        found = {name: getattr(self, name) for name in ("kept_parameters", "macs", "file_mb", "peak_ram_mb")}
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True)
class Cost:
    """What a network costs; file and memory are None where nobody asked."""

    parameters: int
    macs: int
    file_mb: float | None = None
    peak_ram_mb: float | None = None

    def within(self, limits: dict[str, float]) -> bool:
        """True when each limit (absolute numbers, by this class's names) is met."""
        return all(getattr(self, name) <= limit for name, limit in limits.items())

    def to_dict(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


def cost_of(structure: Structure, precision: str, graph: bool) -> Callable[[FCOS], Cost]:
    """A function from a network to its cost; with `graph`, file and memory are read off its exported graph."""
    shape = structure.height, structure.width

    def cost(model: FCOS) -> Cost:
        counts = parameters(model), macs(model, *shape)
        return Cost(*counts, *_footprint(model, structure, WIDTH[precision])) if graph else Cost(*counts)

    return cost


def needs_graph(limits: dict[str, float]) -> bool:
    """True when a limit can only be judged on the exported graph, which takes seconds a candidate."""
    return bool({"file_mb", "peak_ram_mb"} & limits.keys())


def absolute(limits: dict[str, float], whole: Cost) -> dict[str, float]:
    """Limits as numbers of `Cost`, the shares taken of the unpruned network."""
    shares = {"kept_parameters": ("parameters", whole.parameters), "macs": ("macs", whole.macs)}
    found = {}
    for name, value in limits.items():
        key, total = shares.get(name, (name, 1))
        found[key] = value * total
    return found


def _footprint(model: FCOS, structure: Structure, width: int) -> tuple[float, float]:
    from dataclasses import replace

    import onnx

    from tasks.compress.onnx_file import write_onnx

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        write_onnx(model, replace(structure, plan=read_plan(model)), file)
        proto = onnx.load(file)
    return weight_bytes(proto, width) / MB, peak_activations(proto, width) / MB
