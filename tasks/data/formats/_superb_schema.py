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
        DataError: it is of another tool.
    """
    told = mapping(content)
    if not {"object_detection", "object_tracking", "categorization"} & told.keys():
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


def is_video(project: dict[str, Any]) -> bool:
    """Whether a project is one of films."""
    return "object_tracking" in project or "video" in str(project.get("type"))


def detection_of(project: dict[str, Any]) -> dict[str, Any]:
    """The classes of a project, of pictures or of films."""
    return mapping(project.get("object_tracking") or project.get("object_detection"))


def mixed(here: str, film: bool) -> DataError:
    """The refusal of a film in a project of pictures, and of a picture in one of films."""
    what = "a film, and project.json is of pictures" if film else "no list of `frames`, and project.json is of videos"
    return DataError(f"video projects are not read so: {what}", where=here,
                     mend="export the whole project again, or export frames as images")


def tags_of(meta: dict[str, Any]) -> list[str] | None:
    """The tags of a `meta` file."""
    given = meta.get("tags")
    return [tag for tag in given if isinstance(tag, str)] or None if isinstance(given, list) else None


def told_of(meta: dict[str, Any]) -> dict[str, Any]:
    """What no column holds of a `meta` file."""
    told = {key: value for key, value in meta.items() if key not in ("image_info", "label_path", "tags", "frames")}
    info = {key: value for key, value in mapping(meta.get("image_info")).items() if key not in ("width", "height")}
    others = [tag for tag in meta["tags"] if not isinstance(tag, str)] if isinstance(meta.get("tags"), list) else []
    return told | ({"image_info": info} if info else {}) | ({"tags": others} if others else {})


def rest_of(label: dict[str, Any]) -> dict[str, Any]:
    """What a label file says beside its objects; categories where they say something."""
    rest = {key: value for key, value in label.items() if key != "objects"}
    if not mapping(rest.get("categories")).get("properties"):
        rest.pop("categories", None)
    return rest


def skeleton(graph: dict[str, Any]) -> dict[str, Any]:
    """Names and edges of a class's keypoints."""
    ends = [[edge.get("u"), edge.get("v")] for edge in objects(graph.get("edges"))]
    return {"names": [text(point.get("name")) for point in objects(graph.get("points"))],
            "edges": [pair for pair in ends if all(isinstance(end, int) for end in pair)]}


def text(value: Any) -> str:
    """A text without the blanks around it; empty where it is none."""
    return value.strip() if isinstance(value, str) else ""
