"""params.yaml as a whole: checked before anything runs, edited with its comments kept."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter

from flows.commands.stage import check_sections, stage_names
from flows.workspace import leave_note, note
from tasks.base.errors import ParamsError
from tasks.base.files import digest_file, write_atomic
from tasks.base.params import check, read_yaml


def check_all(values: Any, path: Path) -> None:
    """Check every section that a stage reads.

    Raises:
        ParamsError: the first wrong section, key or value, with the nearest known name.
    """
    if not isinstance(values, dict):
        raise ParamsError("params.yaml has no sections", where=path, mend="visionmill new writes a complete one")
    check_sections(values, path)
    modules = {name: f"tasks.{name}" for name in stage_names()} | {
        "register": "tasks.registry.register", "sweep": "tasks.search.settings"}
    for name in (n for n in modules if n in values):
        check(importlib.import_module(modules[name]).Params, values[name], f"{path.name}: {name}")


def check_once(workspace: Path) -> None:
    """Check params.yaml unless this text was checked before: importing the stages costs seconds."""
    path = workspace / "params.yaml"
    digest = digest_file(path)
    if note("checked", workspace) != digest:
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
