"""What is searched and how, as data: the section `sweep` of params.yaml, or a preset of conf/sweep/."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from tasks.base import presets
from tasks.base.errors import ParamsError
from tasks.base.params import Params as Section
from tasks.base.params import check, read_yaml

SECTION = "sweep"


class Dimension(Section):
    """One parameter of the space.

    Attributes:
        type: `float`, `int`, or `categorical`.
        low, high: the range of a number, both ends included.
        log: draw on a log scale; for what matters by its factor, such as learning rates.
        choices: the values of a categorical one, at least two.
    """

    type: Literal["float", "int", "categorical"]
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: list[Any] | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Dimension:
        if self.type == "categorical":
            if not self.choices or len(self.choices) < 2 or self.low is not None or self.high is not None or self.log:
                raise ValueError("a categorical parameter has choices, at least two, and no low, high or log")
            return self
        if self.choices is not None or self.low is None or self.high is None:
            raise ValueError(f"a parameter of type {self.type} has low and high, and no choices")
        if not self.low < self.high:
            raise ValueError(f"low must be below high, they are {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"a log scale starts above 0, low is {self.low:g}")
        if self.type == "int" and (self.low % 1 or self.high % 1):
            raise ValueError(f"low and high of type int are whole numbers, they are {self.low:g} and {self.high:g}")
        return self


class Resource(Section):
    """Epochs of a trial.

    Attributes:
        max_resource: of a whole trial; None for `train.epochs`.
        min_resource: before the first trial is pruned; None for a quarter of a whole one.
        reduction_factor: one trial of so many goes on.
    """

    max_resource: int | None = Field(default=None, ge=1)
    min_resource: int | None = Field(default=None, ge=1)
    reduction_factor: int = Field(default=3, ge=2)

    def bounds(self, epochs: int) -> tuple[int, int]:
        """Fewest and most epochs of a trial, where a plain training has `epochs`.

        Raises:
            ParamsError: the fewest are more than the most.
        """
        most = self.max_resource or epochs
        fewest = self.min_resource or max(1, most // 4)
        if fewest > most:
            raise ParamsError(f"min_resource is {fewest} epochs and a whole trial has {most}",
                              where="sweep.epochs", mend="lower min_resource, or raise max_resource or train.epochs")
        return fewest, most


class Params(Section):
    """The section `sweep`; conf/sweep/default.yaml says what each key is."""

    trials: int = Field(default=20, ge=1)
    metric: Literal["val_AP", "val_AP50"] = "val_AP"
    direction: Literal["maximize"] = "maximize"
    sampler: Literal["tpe", "random"] = "tpe"
    startup_trials: int = Field(default=5, ge=1)
    pruner: Literal["hyperband", "none"] = "hyperband"
    seed: int = Field(default=0, ge=0)
    epochs: Resource = Resource()
    space: dict[str, Dimension] = Field(min_length=1)


def load_settings(workspace: Path, preset: str | None, changes: dict[str, Any]) -> Params:
    """The section `sweep` of params.yaml where there is one and no preset is named, else a preset.

    Args:
        workspace: folder of params.yaml.
        preset: a file of conf/sweep/; None for the section, or `default`.
        changes: values that go over it, such as `{"trials": 10, "epochs": {"max_resource": 5}}`.

    Raises:
        ParamsError: an unknown key, a wrong value, or an empty space.
    """
    own = (read_yaml(workspace / "params.yaml") or {}).get(SECTION)
    if preset is None and own is not None:
        return parse(own, "params.yaml: sweep", changes)
    name = preset or "default"
    values = presets.load(SECTION, name, workspace)
    where = f"conf/{SECTION}/{name}.yaml"
    if not isinstance(values, dict) or set(values) != {SECTION}:
        raise ParamsError("a preset of the search has one section, `sweep`", where=where, mend="see the default one")
    return parse(values[SECTION], where, changes)


def parse(values: Any, where: str, changes: dict[str, Any] | None = None) -> Params:
    """Plain data as typed settings."""
    if not isinstance(values, dict) or not isinstance(values.get("space"), dict) or not values["space"]:
        raise ParamsError("the search has no space: nothing to choose", where=f"{where}.space",
                          mend="for instance  train.lr: {type: float, low: 0.0002, high: 0.005, log: true}")
    for key, dimension in values["space"].items():
        check(Dimension, dimension, f"{where}.space.{key}")
    merged = dict(values)
    for key, change in (changes or {}).items():
        merged[key] = {**(merged.get(key) or {}), **change} if isinstance(change, dict) else change
    return check(Params, merged, where)
