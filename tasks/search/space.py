"""Dotted names of parameters, such as `train.augment.mosaic`: found, drawn, and laid over a section."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from tasks.base.errors import ParamsError, nearest
from tasks.base.params import Params as Section
from tasks.base.params import check
from tasks.search.settings import Dimension

if TYPE_CHECKING:
    from optuna.trial import Trial

S = TypeVar("S", bound=Section)
DIGITS = 3  # of a drawn number: what is tried is what a person reads in params.yaml afterwards
NOT_SEARCHED = {"epochs": "it is the resource: see sweep.epochs", "seed": "a seed that scores better is luck",
                "validate_every": "a trial is judged after every epoch", "cache_mb": "it changes no result"}


def names(section: type[BaseModel], prefix: str) -> list[str]:
    """All dotted names of a section's values; groups are not values."""
    found = []
    for name, field in section.model_fields.items():
        kind = field.annotation
        group = isinstance(kind, type) and issubclass(kind, BaseModel)
        found += names(kind, f"{prefix}.{name}") if group else [f"{prefix}.{name}"]  # type: ignore[arg-type]
    return found


def check_space(space: dict[str, Dimension], base: Section, prefix: str = "train", where: str = "sweep.space") -> None:
    """Refuse a name that is no parameter of the section `base`, and a range that the parameter does not take.

    Raises:
        ParamsError: names the parameter, and the nearest known one.
    """
    known = names(type(base), prefix)
    for key, dimension in space.items():
        if key not in known:
            guess = nearest(key if key.startswith(f"{prefix}.") else f"{prefix}.{key}", known)
            raise ParamsError(f"{key!r} is no parameter of {prefix}", where=f"{where}.{key}",
                              mend=f"did you mean {guess!r}?" if guess else f"for instance {known[0]}")
        if reason := NOT_SEARCHED.get(key.removeprefix(f"{prefix}.")):
            raise ParamsError(f"{key} cannot be searched: {reason}", where=f"{where}.{key}", mend="remove that line")
        for value in probes(dimension):
            lay_over(base, {key: value}, f"{where}.{key}")


def probes(dimension: Dimension) -> list[Any]:
    """Values that show whether a parameter takes the whole range: both ends and one between, or all choices."""
    if dimension.type == "categorical":
        return list(dimension.choices or [])
    low, high = _ends(dimension)
    return [low, high] if dimension.type == "int" else [low, high, low + (high - low) * 0.382]


def _ends(dimension: Dimension) -> tuple[Any, Any]:
    assert dimension.low is not None and dimension.high is not None
    number = int if dimension.type == "int" else float
    return number(dimension.low), number(dimension.high)


def current(base: Section, key: str) -> Any:
    """The value that a dotted name has now."""
    value: Any = base
    for part in key.split(".")[1:]:
        value = getattr(value, part)
    return list(value) if isinstance(value, tuple) else value


def lay_over(base: S, values: dict[str, Any], where: str = "sweep") -> S:
    """The section with some values changed, checked.

    Raises:
        ParamsError: a value is out of the range that the parameter takes.
    """
    changed = base.model_dump()
    for key, value in values.items():
        *groups, last = key.split(".")[1:]
        group = changed
        for part in groups:
            group = group[part]
        group[last] = value
    return check(type(base), changed, where)


def widened(space: dict[str, Dimension], base: Section) -> tuple[dict[str, Dimension], list[str]]:
    """The space with the current values in it, since they are trial 0, and what was widened, in words.

    Raises:
        ParamsError: the current value cannot be on the scale.
    """
    found, said = dict(space), []
    for key, dimension in space.items():
        value = current(base, key)
        wide = _with(dimension, value, key)
        if wide != dimension:
            found[key] = wide
            said.append(f"{key} is {value} in params.yaml: the space was widened to it")
    return found, said


def _with(dimension: Dimension, value: Any, key: str) -> Dimension:
    if dimension.type == "categorical":
        choices = dimension.choices or []
        return dimension if value in choices else dimension.model_copy(update={"choices": [*choices, value]})
    low, high = _ends(dimension)
    if not isinstance(value, int | float) or (dimension.log and value <= 0):
        raise ParamsError(f"{key} is {value} in params.yaml, which is not on the scale that is searched",
                          where=f"sweep.space.{key}", mend=f"visionmill configure {key}={low:g}, or search another way")
    return dimension.model_copy(update={"low": min(low, value), "high": max(high, value)})


def suggest(trial: Trial, space: dict[str, Dimension]) -> dict[str, Any]:
    """Values of all parameters of a trial, numbers rounded to three digits; those of trial 0 as they are."""
    return {key: _suggest(trial, key, dimension) for key, dimension in space.items()}


def _suggest(trial: Trial, key: str, dimension: Dimension) -> Any:
    if dimension.type == "categorical":
        words = {as_word(choice): choice for choice in dimension.choices or []}
        return words[trial.suggest_categorical(key, list(words))]
    low, high = _ends(dimension)
    if dimension.type == "int":
        return trial.suggest_int(key, low, high, log=dimension.log)
    drawn = trial.suggest_float(key, low, high, log=dimension.log)
    return drawn if trial.number == 0 else min(max(_rounded(drawn), low), high)


def as_word(choice: Any) -> Any:
    """A choice as Optuna can store it: a list as its JSON text."""
    return choice if choice is None or isinstance(choice, bool | int | float | str) else json.dumps(choice)


def _rounded(value: float) -> float:
    return round(value, DIGITS - 1 - math.floor(math.log10(abs(value)))) if value else 0.0
