"""How a version was made: its recipe as sentences, and as the command that makes it again."""

from __future__ import annotations

import json
import shlex
from typing import Any

POSITIONAL = {"filter": "expression"}  # what is written without an option


def command(facts: dict[str, Any]) -> str | None:
    """`visionmill data …` that makes the version; None where the recipe is not one of the store's."""
    recipe = facts["recipe"]
    if isinstance(recipe.get("import"), dict):
        formats = recipe["import"].get("format") or ["auto"]
        words = ["import", str(recipe["import"].get("from", "PATH")), "--format", *map(str, formats[:1]), "--name",
                 facts["name"]]
        return shell(*words)
    if not isinstance(recipe.get("operation"), str):
        return None
    operation = recipe["operation"]
    given = {key: value for key, value in (recipe.get("parameters") or {}).items() if value not in (None, [], {})}
    first = POSITIONAL.get(operation)
    words = [operation, *(str(parent.get("ref", "?")) for parent in recipe.get("parents") or [])]
    words += [str(given.pop(first))] if first in given else []
    return shell(*words, *(word for item in given.items() for word in _option(*item)), "--out", facts["name"])


def told(recipe: dict[str, Any]) -> list[tuple[str, str]]:
    """The recipe entry by entry: (`operation`, `filter`), (`parameters · expression`, `area > 100`), …"""
    lines: list[tuple[str, str]] = []
    for key, value in recipe.items():
        if isinstance(value, dict):
            lines += [(f"{key} · {name}", text) for name, text in told(value)]
        elif value not in (None, [], {}):
            lines.append((str(key).replace("_", " "), _plain(value)))
    return lines


def _option(name: str, value: Any) -> list[str]:
    flag = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag[2:]}"]
    if isinstance(value, dict):
        return [flag, *(f"{old}={new}" for old, new in value.items())]
    return [flag, *map(str, value)] if isinstance(value, list) else [flag, str(value)]


def shell(*words: str) -> str:
    """`visionmill data …` as it is typed."""
    return " ".join(["visionmill", "data", *map(_quoted, words)])


def _quoted(word: str) -> str:
    # shlex writes 'a'"'"'b' where "a'b" is what people type
    return f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word)


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_plain(one) for one in value)
    if isinstance(value, dict):
        named = {key: part for key, part in value.items() if key != "digest"}
        return str(named["ref"]) if list(named) == ["ref"] else json.dumps(named, ensure_ascii=False, sort_keys=True)
    return str(value)
