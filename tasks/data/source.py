"""`SOURCE.txt`: where the pictures of a raw folder are from, as `key: value` lines."""

from __future__ import annotations

from pathlib import Path

NAME = "SOURCE.txt"
KEYS = ("name", "title", "licence", "homepage", "from")


def read_source(raw: Path) -> dict[str, str]:
    """The known keys of a folder's SOURCE.txt; empty where there is none."""
    path = raw / NAME
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = [line.partition(":") for line in lines]
    return {key.strip(): value.strip() for key, _, value in pairs if key.strip() in KEYS and value.strip()}


def source_text(values: dict[str, str]) -> str:
    return "".join(f"{key}: {values[key]}\n" for key in KEYS if values.get(key))
