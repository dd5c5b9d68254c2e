"""Stage `code`: one digest a stage, of the syntax trees of all that it imports from this project.

The other stages name their key as a parameter, so an edit reruns exactly what it touched. A comment, a docstring and
the layout change nothing; neither does anything in `flows/`.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tasks.base import presets
from tasks.base.files import digest_value, write_atomic
from tasks.base.params import Params as Base

ROOT = Path(__file__).resolve().parents[1]
# presets that stages read by name; `configure` copies the other kinds into params.yaml
KINDS = ("dataset", "model", "target")


class Params(Base):
    """This stage has no parameters."""


def run(params: Params, *, out: Path) -> None:
    """Write `{stage: digest, …, "target-NAME": digest, …}` as YAML, only if it changed."""
    found = stage_digests() | preset_digests(Path())
    text = "".join(f"{key}: {value}\n" for key, value in sorted(found.items()))
    if not out.exists() or out.read_text(encoding="utf-8") != text:
        write_atomic(out, text)


def stage_digests(root: Path = ROOT) -> dict[str, str]:
    """A digest for each stage: each module directly in `tasks/` that has a `run`."""
    stages = [p for p in sorted((root / "tasks").glob("*.py")) if p.stem != "code" and "run" in _functions(p)]
    return {p.stem: digest_value([[m, _digest(f)] for m, f in sorted(closure(p, root).items())]) for p in stages}


def preset_digests(workspace: Path) -> dict[str, str]:
    """A digest for each preset that a stage reads by name, by what it says, a workspace's own first."""
    return {f"{kind}-{name}": digest_value(presets.load(kind, name, workspace))
            for kind in KINDS for name in presets.names(kind, workspace)}


def closure(file: Path, root: Path = ROOT) -> dict[str, Path]:
    """All files of `tasks/` that importing `file` may execute or read, by name: imports inside functions count too."""
    found: dict[str, Path] = {}
    waiting = [file]
    while waiting:
        here = waiting.pop()
        name = here.relative_to(root).as_posix()
        if name not in found:
            found[name] = here
            waiting += _imported(here, root)
    return found


@cache
def _imported(file: Path, root: Path) -> list[Path]:
    if file.suffix != ".py":
        return []
    files = [file.parent / "__init__.py"] if file.parent != root else []
    for name in _names(_tree(file), file, root):
        files += _resolve(name, file, root)
    return [f for f in files if f.is_file()]


def _names(tree: ast.AST, file: Path, root: Path) -> Iterator[str]:
    """Dotted names that may be modules, and strings: a module or a file that is named in one counts as imported."""
    package = file.relative_to(root).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = list(package[: len(package) - node.level + 1]) if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 80:
            yield node.value


def _resolve(name: str, file: Path, root: Path) -> list[Path]:
    """Files of a dotted name (its packages included), or the data file beside the module that the string names."""
    if not name.startswith("tasks."):
        beside = "." in name and name[-1].isalpha() and "/" not in name and "\n" not in name
        return [file.parent / name] if beside else []
    parts = name.split(".")
    packages = [root.joinpath(*parts[:end], "__init__.py") for end in range(1, len(parts) + 1)]
    return [*packages, root.joinpath(*parts).with_suffix(".py")] if all(p.isidentifier() for p in parts) else []


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def _functions(file: Path) -> list[str]:
    return [node.name for node in _tree(file).body if isinstance(node, ast.FunctionDef)]


@cache
def _digest(file: Path) -> str:
    if file.suffix != ".py":
        return hashlib.sha256(file.read_bytes()).hexdigest()
    return hashlib.sha256(json.dumps(_plain(_tree(file))).encode()).hexdigest()


def _plain(value: object) -> object:
    """A tree as lists, without what is empty: `ast.dump` differs between versions of Python in that."""
    if isinstance(value, ast.AST):
        fields = [[name, _plain(part)] for name, part in ast.iter_fields(value) if part is not None and part != []]
        return [type(value).__name__, fields]
    if isinstance(value, list):
        return [_plain(part) for part in value if not _is_docstring(part)]
    return value if isinstance(value, str | bool) else repr(value)


def _is_docstring(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
