"""Source files as data: what one says, whatever its comments and layout, and what it may import or read."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tasks.base.files import read_json, write_json

# a string that may name a data file beside the module
FILE_NAME = re.compile(r"[\w-]+\.[a-z0-9]{1,6}")


@dataclass(frozen=True)
class Facts:
    """What a digest needs to know of one file.

    Attributes:
        bytes_digest: SHA-256 of the file as it is.
        digest: SHA-256 of its syntax tree without comments and docstrings; of its bytes where it is not Python.
        names: dotted names below `tasks` that it may import, and names of files that may lie beside it.
        functions: names of its top-level functions.
    """

    bytes_digest: str
    digest: str
    names: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)


class Sources:
    """The files of one source tree. Facts are kept in `memo`: parsing a hundred files takes longer than a stage may.

    Args:
        root: folder that has `tasks/`.
        memo: file for what was found, None for none; it is only ever read for the same bytes.
    """

    def __init__(self, root: Path, memo: Path | None = None) -> None:
        self.root, self.memo = root, memo
        self.known: dict[str, Facts] = {}
        self.used: dict[str, Facts] = {}
        self.version = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            saved = read_json(memo) if memo else {}
            if saved["version"] == self.version:
                self.known = {name: Facts(**facts) for name, facts in saved["files"].items()}

    def facts(self, file: Path) -> Facts:
        """Facts of one file, parsed only if its bytes are new."""
        name = file.relative_to(self.root).as_posix()
        if name not in self.used:
            content = file.read_bytes()
            now, before = hashlib.sha256(content).hexdigest(), self.known.get(name)
            self.used[name] = before if before and before.bytes_digest == now else self._read(file, content, now)
        return self.used[name]

    def save(self) -> None:
        """Keep what was found; a folder that cannot be written costs time, not correctness."""
        if self.memo and self.used != self.known:
            files = {name: asdict(facts) for name, facts in self.used.items()}
            with contextlib.suppress(OSError):
                write_json(self.memo, {"version": self.version, "files": files})

    def _read(self, file: Path, content: bytes, bytes_digest: str) -> Facts:
        if file.suffix != ".py":
            return Facts(bytes_digest, bytes_digest)
        tree = ast.parse(content, filename=str(file))
        package = list(file.relative_to(self.root).parent.parts)
        named = set(_names(tree, package))
        names = sorted(name for name in named if name.startswith("tasks.") or FILE_NAME.fullmatch(name))
        functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        digest = hashlib.sha256(json.dumps(_plain(tree)).encode()).hexdigest()
        return Facts(bytes_digest, digest, names, functions)


def _names(tree: ast.AST, package: list[str]) -> Iterator[str]:
    """Names in imports, wherever they stand, and strings: a module that is named in one counts as imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _plain(value: object) -> object:
    """A tree as lists, without what is empty: versions of Python differ in that."""
    if isinstance(value, ast.AST):
        fields = [[name, _plain(part)] for name, part in ast.iter_fields(value) if part is not None and part != []]
        return [type(value).__name__, fields]
    if isinstance(value, list):
        return [_plain(part) for part in value if not _is_docstring(part)]
    return value if isinstance(value, str | bool) else repr(value)


def _is_docstring(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
