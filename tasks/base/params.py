"""Typed parameters: one section of `params.yaml` a stage, unknown keys refused with the nearest name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tasks.base.errors import ParamsError, nearest


class Params(BaseModel):
    """Base of every typed section: frozen, and no key that is not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


P = TypeVar("P", bound=Params)


def read_yaml(path: Path) -> Any:
    """Plain data of a YAML file, by the safe loader.

    Raises:
        ParamsError: the file is missing or is not YAML.
    """
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        mend = "cd into a workspace, or make one: visionmill new PATH"
        raise ParamsError(f"{path.name} is missing", where=path, mend=mend) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path.name} is not YAML: {error}", where=path, mend="mend that line") from None


def check(section: type[P], values: Any, where: str) -> P:
    """Validate plain data as a typed section.

    Raises:
        ParamsError: names the first wrong key or value, and the nearest known name of an unknown key.
    """
    try:
        return section.model_validate({} if values is None else values)
    except ValidationError as error:
        raise _explain(section, error, where) from None


def load(section: type[P], name: str, path: Path = Path("params.yaml")) -> P:
    """The section `name` of a `params.yaml`, checked."""
    everything = read_yaml(path)
    if not isinstance(everything, dict):
        raise ParamsError("params.yaml has no sections", where=path, mend="visionmill new writes a complete one")
    return check(section, everything.get(name), f"{path}: {name}")


def _explain(section: type[BaseModel], error: ValidationError, where: str) -> ParamsError:
    first = error.errors()[0]
    keys = [str(part) for part in first["loc"]]
    place = f"{where}.{'.'.join(keys)}" if keys else where
    if first["type"] != "extra_forbidden":
        got = f" (got {first['input']!r})" if not isinstance(first["input"], dict) else ""
        return ParamsError(f"{keys[-1] if keys else where}: {first['msg']}{got}", where=place, mend="edit that value")
    known = _known_names(section, keys[:-1])
    guess = nearest(keys[-1], known)
    mend = f"did you mean {guess!r}?" if guess else f"known names: {', '.join(sorted(known))}"
    return ParamsError(f"unknown parameter {keys[-1]!r}", where=place, mend=mend)


def _known_names(section: Any, path: list[str]) -> list[str]:
    for key in path:
        field = getattr(section, "model_fields", {}).get(key)
        section = next((t for t in _types(field.annotation) if hasattr(t, "model_fields")), None) if field else None
    return list(getattr(section, "model_fields", {}))


def _types(annotation: Any) -> list[Any]:
    return [annotation, *getattr(annotation, "__args__", ())]
