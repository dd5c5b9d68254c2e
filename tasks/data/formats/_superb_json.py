"""JSON from outside: of limited depth, every number finite or a string, every string one that can be written again."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from tasks.base.errors import DataError

MAX_BYTES = 64 << 20
MAX_DEPTH = 64
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
CAMEL = re.compile(r"(?<=[a-z0-9])([A-Z])")


def load(path: Path, here: str) -> Any:
    """The content of a JSON file; `here` is its name in messages.

    Raises:
        DataError: there is no such file, it is larger than `MAX_BYTES`, or it is not JSON.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"JSON has more than {MAX_BYTES >> 20} MiB", where=here, mend="one file a picture")
        return parse(path.read_bytes(), here)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=here, mend="export it again") from None


def parse(content: bytes, here: str) -> Any:
    """The value of a JSON text. NaN, infinity and numbers beyond float stay strings, which JSON can hold again.

    Raises:
        DataError: not JSON, nested deeper than `MAX_DEPTH`, or not UTF-8.
    """
    try:
        text = content.decode("utf-8-sig")
        value = json.loads(text, parse_constant=str, parse_float=_finite)
        if SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON: {error}", where=here, mend="mend or replace that file") from None
    if _too_deep(value):
        raise DataError(f"JSON nested deeper than {MAX_DEPTH} levels", where=here, mend="mend or replace that file")
    return value


def save(path: Path, value: Any) -> None:
    """Write JSON in one line, the same bytes for the same value; NaN and infinity, which JSON has not, as null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(line(value))


def line(value: Any) -> bytes:
    """A value as one line of JSON."""
    try:
        text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(_without_nan(value), sort_keys=True, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def snake(value: Any) -> Any:
    """The same value with keys as `class_id` where they were `classId`; `info`, the user's own, stays as it is."""
    if isinstance(value, dict):
        return {CAMEL.sub(lambda found: f"_{found[1].lower()}", key): part if key == "info" else snake(part)
                for key, part in value.items()}
    return [snake(part) for part in value] if isinstance(value, list) else value


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; empty where it is no list."""
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _finite(text: str) -> float | str:
    value = float(text)
    return value if math.isfinite(value) else text


def _too_deep(value: Any) -> bool:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [part for one in level for part in (one.values() if isinstance(one, dict) else one)
                 if isinstance(part, dict | list)]
        if not level:
            return False
    return True
