"""What Suite's files must hold, and what their parts mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from tasks.base.errors import DataError
from tasks.data.formats._superb_json import mapping, objects

# ids that are made come from names below it
NAMESPACE = UUID("6b0f3c0e-9d0c-5d5b-8a55-7e1c6f0b2a34")
VERSION = "0.4.0"


def options(project: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Classes of whole pictures → (property id, option id). Where several properties are, a class is `name: option`."""
    chosen = objects(mapping(project.get("categorization")).get("properties"))
    chosen = [entry for entry in chosen if isinstance(entry.get("options"), list)]
    found: dict[str, tuple[str, str]] = {}
    for entry in chosen:
        prefix = f"{text(entry.get('name'))}: " if len(chosen) > 1 else ""
        for option in _leaves(entry["options"]):
            if name := text(option.get("name")):
                found.setdefault(prefix + name, (str(entry.get("id")), str(option.get("id"))))
    return found


def _leaves(entries: Any) -> Iterator[dict[str, Any]]:
    for entry in objects(entries):
        if isinstance(entry.get("children"), list):
            yield from _leaves(entry["children"])
        else:
            yield entry


def project_of(content: Any, here: str) -> dict[str, Any]:
    """`project.json`, checked.

    Raises:
        DataError: it is of another tool, or of videos.
    """
    told = mapping(content)
    if "object_tracking" in told or "video" in str(told.get("type")):
        raise video(here)
    if not {"object_detection", "categorization"} & told.keys():
        known = ", ".join(map(repr, sorted(map(str, told))[:6])) or f"a {type(content).__name__}"
        raise DataError(f"not a project of Superb AI Suite: expected 'object_detection', found {known}", where=here,
                        mend="export the project again, or move that file elsewhere")
    return told


def expect(value: Any, here: str, key: str, kind: type[str] | type[list[Any]]) -> dict[str, Any]:
    """An object that has `key`, of that kind.

    Raises:
        DataError: it is not one.
    """
    if not isinstance(mapping(value).get(key), kind):
        word = "a text" if kind is str else "a list"
        raise DataError(f"not a file of Superb AI Suite: expected an object with {key!r}, {word}", where=here,
                        mend="export the project again")
    return value


def video(here: str) -> DataError:
    """The refusal of films."""
    return DataError("video projects are not read: export frames as images", where=here,
                     mend="cut the films into pictures, and label those")


def skeleton(graph: dict[str, Any]) -> dict[str, Any]:
    """Names and edges of a class's keypoints."""
    ends = [[edge.get("u"), edge.get("v")] for edge in objects(graph.get("edges"))]
    return {"names": [text(point.get("name")) for point in objects(graph.get("points"))],
            "edges": [pair for pair in ends if all(isinstance(end, int) for end in pair)]}


def text(value: Any) -> str:
    """A text without the blanks around it; empty where it is none."""
    return value.strip() if isinstance(value, str) else ""
