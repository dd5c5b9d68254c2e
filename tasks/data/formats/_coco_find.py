"""COCO files among the JSON files of a folder, found without parsing them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Source, split_in_name

LISTS = ("images", "annotations", "categories")
KEYS = {key: f'"{key}"'.encode() for key in LISTS}
PIECE = 1 << 22
A_LIST_OF_OBJECTS = re.compile(rb"\s*\[\s*[{\]]")


def find(index: FolderIndex) -> list[Source]:
    """JSON files with COCO's three lists. Where a split has several, the one called `instances…` is meant."""
    found = [Source("coco", index.root / file, split_in_name(PurePosixPath(file)))
             for file in index.with_suffix(".json") if _has_keys(index.root / file)]
    by_split: dict[str | None, list[Source]] = {}
    for source in found:
        by_split.setdefault(source.split, []).append(source)
    return [source for rivals in by_split.values() for source in _meant(rivals)]


def last_categories(path: Path) -> list[dict[str, Any]] | None:
    """The categories where they are among the last keys of the file, without reading what is before.

    If the text from `"categories"` to the end of the file is the rest of an object, that object is the file's.
    """
    end = _end(path)
    at = end.rfind(KEYS["categories"])
    if at < 1 or end[at - 1] == ord("\\"):
        return None
    try:
        found = json.loads(b"{" + end[at:])["categories"]
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) and all(isinstance(row, dict) for row in found) else None


def has_bytes(path: Path, wanted: bytes) -> bool:
    """Whether these bytes stand anywhere in a file."""
    last = b""
    for piece in _pieces(path):
        if wanted in last + piece:
            return True
        last = (last + piece)[-len(wanted):]
    return False


def _meant(rivals: list[Source]) -> list[Source]:
    instances = [source for source in rivals if source.path.name.startswith("instances")]
    return instances if len(rivals) > 1 and len(instances) == 1 else rivals


def _has_keys(path: Path) -> bool:
    """Whether the three keys stand in a file that is not a list of objects; a file that is cut off may lack one."""
    missing, head, last = set(LISTS), b"", b""
    for piece in _pieces(path):
        head = head or piece
        missing = {key for key in missing if KEYS[key] not in last + piece}
        if not missing or A_LIST_OF_OBJECTS.match(head):
            break
        last = (last + piece)[-16:]
    cut = head.lstrip().startswith(b"{") and missing == {"categories"} and not _end(path).rstrip().endswith(b"}")
    return not A_LIST_OF_OBJECTS.match(head) and (not missing or cut)


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def _end(path: Path, size: int = PIECE) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - size))
        return file.read()
