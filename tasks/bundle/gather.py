"""Code of ours in one file that needs none of us: functions, and all that they use, as they stand in the package.

So a bundle's example does what was measured, to the bit, and nothing is written twice.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OWN = "tasks."


def gather(module: str, *names: str) -> str:
    """Source text of `names` of a module, of what they use of the package, and of the imports that are left.

    What of the package only annotations name is left out: they are not evaluated.
    """
    found: dict[tuple[str, str], str] = {}
    imports: set[str] = set()
    for name in names:
        _visit(module, name, found, imports)
    docstring = ast.get_docstring(_parsed(module)[1], clean=False)
    head = ["from __future__ import annotations", "\n".join(sorted(imports))]
    return "\n\n".join([f'"""{docstring}"""', *head]) + "\n\n\n" + "\n\n\n".join(dict.fromkeys(found.values())) + "\n"


@cache
def _parsed(module: str) -> tuple[list[str], ast.Module]:
    text = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
    return text.splitlines(), ast.parse(text)


def _visit(module: str, name: str, found: dict[tuple[str, str], str], imports: set[str]) -> None:
    """Add what `name` stands for in a module, what it uses first."""
    node = next((node for node in _parsed(module)[1].body if name in _binds(node)), None)
    if node is None or (module, name) in found:
        return
    if isinstance(node, ast.Import | ast.ImportFrom):
        _follow(node, name, found, imports)
        return
    found[module, name] = ""  # it may use itself
    for inner in ast.walk(node):
        if isinstance(inner, ast.ImportFrom):
            for alias in inner.names:
                _follow(inner, alias.name, found, imports)
    running = set(_used(node))
    for used in sorted(running):
        _visit(module, used, found, imports)
    for stated in sorted({inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)} - running):
        _visit_foreign(module, stated, found, imports)
    del found[module, name]
    found[module, name] = _text(module, node)


def _visit_foreign(module: str, name: str, found: dict[tuple[str, str], str], imports: set[str]) -> None:
    """Add the import of a name of another package, if it is one."""
    for node in _parsed(module)[1].body:
        if isinstance(node, ast.ImportFrom) and name in _binds(node) and not (node.module or "").startswith(OWN):
            _follow(node, name, found, imports)


def _follow(node: ast.Import | ast.ImportFrom, name: str, found: dict[tuple[str, str], str],
            imports: set[str]) -> None:
    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(OWN):
        _visit(str(node.module), name, found, imports)
        return
    aliases = [alias for alias in node.names if (alias.asname or alias.name) == name]
    imports.add(ast.unparse(ast.ImportFrom(node.module, aliases, 0) if isinstance(node, ast.ImportFrom)
                            else ast.Import(aliases)))


def _binds(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {inner.id for target in targets for inner in ast.walk(target) if isinstance(inner, ast.Name)}


def _used(node: ast.AST) -> Iterator[str]:
    """Names that are looked up when the code runs."""
    if isinstance(node, ast.Name):
        yield node.id
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns"):
            continue
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, ast.AST):
                yield from _used(inner)


def _text(module: str, node: ast.stmt) -> str:
    """Lines of a statement with its decorators and the remark above it, without imports of the package inside."""
    lines, _ = _parsed(module)
    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))]) - 1
    while first and lines[first - 1].startswith("#"):
        first -= 1
    dropped = {number for inner in ast.walk(node) if isinstance(inner, ast.ImportFrom)
               for number in range(inner.lineno, (inner.end_lineno or inner.lineno) + 1)}
    kept = [line for number, line in enumerate(lines[first:node.end_lineno], start=first + 1) if number not in dropped]
    return "\n".join(kept)
