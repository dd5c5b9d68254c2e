"""A saved model: a structure file and safetensors weights, never a pickle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from tasks.base.errors import DataError
from tasks.base.files import read_json, write_atomic, write_json
from tasks.base.params import check
from tasks.models.fcos import FCOS
from tasks.models.plan import Plan, apply_plan
from tasks.models.preset import DetectorPreset

SCHEMA = 1


@dataclass(frozen=True)
class Structure:
    """What `model.json` says.

    Attributes:
        preset: parts and sizes before any pruning.
        classes: names, in the order of class ids.
        height, width: input shape in pixels.
        line: the key that all runs of one line share.
        plan: channels of every layer after pruning; None when nothing was pruned.
        thresholds: score from which a detection of a class counts when the model is used, 0..1.
    """

    preset: DetectorPreset
    classes: list[str]
    height: int
    width: int
    line: str
    plan: Plan | None = None
    thresholds: dict[str, float] | None = None

    def build(self) -> FCOS:
        """The network, with weights as they are drawn."""
        model = FCOS(self.preset, len(self.classes), self.height, self.width)
        if self.plan:
            apply_plan(model, self.plan)
        return model

    def to_dict(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "problem": "detect", **vars(replace(self)), "preset": self.preset.model_dump()}


def save_model(folder: Path, structure: Structure, weights: dict[str, Tensor]) -> None:
    """Write `model.json` and `model.safetensors`."""
    write_json(folder / "model.json", structure.to_dict())
    whole = {key: value.detach().contiguous() for key, value in sorted(weights.items())}
    write_atomic(folder / "model.safetensors", safetensors.torch.save(whole))


def load_structure(folder: Path) -> Structure:
    """Raises DataError when the folder holds no model or one of another schema."""
    try:
        told = read_json(folder / "model.json")
    except (OSError, ValueError) as error:
        raise DataError(f"no model here: {error}", where=folder, mend="make it: dvc repro") from None
    if told.pop("schema", None) != SCHEMA or told.pop("problem", None) != "detect":
        raise DataError("the model was saved by another version", where=folder / "model.json", mend="dvc repro train")
    preset = check(DetectorPreset, told.pop("preset"), str(folder / "model.json"))
    return Structure(preset=preset, **told)


def load_model(folder: Path) -> tuple[FCOS, Structure]:
    """The network with its weights, in evaluation mode."""
    structure = load_structure(folder)
    model = structure.build()
    try:
        model.load_state_dict(safetensors.torch.load_file(folder / "model.safetensors"))
    except (OSError, safetensors.SafetensorError, RuntimeError) as error:
        raise DataError(f"the weights do not load: {str(error)[:300]}", where=folder / "model.safetensors",
                        mend="dvc checkout, or run the stage again") from None
    return model.eval(), structure
