"""params.yaml as a whole: checked before anything runs, edited with its comments kept."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter

from flows.commands.stage import check_sections, stage_names
from flows.line import value_at
from flows.workspace import leave_note, note
from tasks.base import presets
from tasks.base.errors import ParamsError
from tasks.base.files import digest_file, write_atomic
from tasks.base.params import check, read_yaml

# presets that params.yaml names, by kind
NAMED = {"dataset": "fetch.dataset", "target": "export.targets", "gate": "register.gate"}


def check_all(values: Any, path: Path) -> None:
    """Check every section that a stage reads, the presets that are named, and that nothing is missing.

    Raises:
        ParamsError: the first wrong section, key, value or preset, with the nearest known name.
    """
    if not isinstance(values, dict):
        raise ParamsError("params.yaml has no sections", where=path, mend="visionmill new writes a complete one")
    check_sections(values, path)
    modules = {name: f"tasks.{name}" for name in stage_names()} | {
        "register": "tasks.registry.register", "sweep": "tasks.search.settings", "data": "tasks.checkout"}
    for name in (n for n in modules if n in values):
        check(importlib.import_module(modules[name]).Params, values[name], f"{path.name}: {name}")
    check_names(values, path)


def check_names(values: Any, path: Path) -> None:
    """Check what params.yaml names, and that it has all that the stages of the dvc.yaml beside it read.

    Raises:
        ParamsError: a preset that is not there, with the nearest known name; a section or a key that is missing.
    """
    for stage, key in _wanted(path.with_name("dvc.yaml")):
        section, _, rest = key.partition(".")
        if section not in values or (rest and value_at(values, key) is None):
            raise ParamsError(f"{key!r} is missing, which stage {stage} reads", where=path,
                              mend=f"put it back: git diff {path.name}, or see a workspace of `visionmill new`")
    for kind, key in NAMED.items():
        named = value_at(values, key)
        for name in named if isinstance(named, list) else [named] if named is not None else []:
            presets.find(kind, str(name), path.parent)


def _wanted(dag: Path) -> Iterator[tuple[str, str]]:
    """Stage and key of each value of params.yaml that a dvc.yaml names."""
    stages = (read_yaml(dag) or {}).get("stages") or {} if dag.is_file() else {}
    for name, stage in stages.items():
        yield from ((name, key) for key in stage.get("do", stage).get("params", []) if isinstance(key, str))


def check_once(workspace: Path) -> None:
    """Check params.yaml; what this text was checked for before is left out where importing the stages costs seconds."""
    path = workspace / "params.yaml"
    digest = digest_file(path)
    if note("checked", workspace) == digest:
        check_names(read_yaml(path), path)
    else:
        check_all(read_yaml(path), path)
        leave_note("checked", digest, workspace)


def read_commented(path: Path) -> CommentedMap:
    """A YAML file with its comments."""
    read_yaml(path)
    with path.open(encoding="utf-8") as file:
        return _yaml().load(file) or CommentedMap()


def as_text(values: CommentedMap) -> str:
    stream = io.StringIO()
    _yaml().dump(values, stream)
    return stream.getvalue()


class _Representer(RoundTripRepresenter):
    """Writes `null`; ruamel would leave the place empty, which reads as forgotten."""

    def represent_none(self, data: None) -> ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:null", "null")


_Representer.add_representer(type(None), _Representer.represent_none)


def _yaml() -> YAML:
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.preserve_quotes, yaml.width = True, 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def merge(into: Any, values: dict[str, Any]) -> None:
    """Lay values over a mapping, key by key; comments of what stays are kept."""
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def set_value(values: Any, dotted: str, value: Any) -> None:
    """Set `train.epochs`; sections that are missing are made."""
    *folders, last = dotted.split(".")
    for part in folders:
        if not isinstance(values.get(part), dict):
            values[part] = CommentedMap()
        values = values[part]
    values[last] = value


def rewrite(path: Path, values: CommentedMap, *, dry: bool = False) -> str:
    """Check and write params.yaml; returns the change as a diff, empty where nothing changed.

    Raises:
        ParamsError: a key or a value would be wrong; the file is then as it was.
    """
    before, after = path.read_text(encoding="utf-8"), as_text(values)
    check_all(YAML(typ="safe", pure=True).load(after), path)
    if before != after and not dry:
        write_atomic(path, after)
    return difference(before, after, path.name)


def difference(before: str, after: str, name: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), f"{name} (before)", name, n=1, lineterm="")
    return "\n".join(lines)


def scalar(text: str) -> Any:
    """A value of the command line as YAML reads it: `30`, `1e-3`, `[a, b]`, `true`, `cells`."""
    with contextlib.suppress(Exception):
        value = YAML(typ="safe", pure=True).load(text)
        # YAML 1.2 wants a dot in a number with an exponent; people write 1e-3
        return float(value) if isinstance(value, str) and _is_number(value) else value
    return text


def _is_number(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return text.lower() not in ("nan", "inf", "infinity") and float(text) is not None
    return False
