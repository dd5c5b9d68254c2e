"""The file that describes a YOLO data set: `data.yaml`, Darknet's `obj.data`, or a list of class names."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import Any

from tasks.base.errors import DataError
from tasks.data.formats._layout import below, has_file, resolve
from tasks.data.formats._lines import FIELD, peek, read_text
from tasks.data.formats._yaml import MAX_BYTES, load_mapping
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import number

# in this order: of a picture in two lists the split that comes first counts
SPLITS = {"unsplit": None, "test": "test", "val": "val", "valid": "val", "validation": "val", "train": "train"}
NAMES_FILES = frozenset({"classes.txt", "obj.names", "_darknet.labels", "predefined_classes.txt"})
YAML_KEYS = (re.compile(r"^names[ \t]*:", re.M), re.compile(r"^(train|val|valid|validation|test)[ \t]*:", re.M))
DATA_KEYS = (re.compile(r"^[ \t]*names[ \t]*=", re.M), re.compile(r"^[ \t]*(train|valid)[ \t]*=", re.M))
# `download` is code that Ultralytics would run; the others say what the table knows
NOT_KEPT = frozenset({*SPLITS, "names", "nc", "path", "download", "kpt_shape"})
LOOKED_AT, DEEPEST = 20, 8


@dataclass(frozen=True)
class Layout:
    """What a describing file says.

    Attributes:
        here: its name; `bases` are the folders that its paths may be relative to, the likeliest first.
        names: class names by number.
        parts: split and what belongs to it: folders, lists of pictures, pictures.
        labels: folders of label files, where nothing lists the pictures.
        points: keypoints an object, and numbers a point.
        more: what else it says.
    """

    here: str
    names: dict[int, str]
    bases: list[str] = field(default_factory=list)
    parts: list[tuple[str | None, str]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    points: tuple[int, int] | None = None
    more: dict[str, Any] = field(default_factory=dict)


def find_yaml(index: FolderIndex) -> list[str]:
    """YAML files with class names and a split."""
    files = [file for file in index.files if file.lower().endswith((".yaml", ".yml"))]
    return [file for file in files if _says(index, file, YAML_KEYS)]


def find_darknet(index: FolderIndex) -> list[str]:
    return [file for file in index.with_suffix(".data") if _says(index, file, DATA_KEYS)]


def find_names(index: FolderIndex) -> list[str]:
    """Lists of class names above folders whose text files begin with YOLO's rows."""
    return [file for file in _lists_of_names(index) if _label_folders(index, file)]


def describe(index: FolderIndex, here: str) -> Layout:
    """What the describing file `here` says.

    Raises:
        DataError: it is not such a file.
    """
    if here.lower().endswith((".yaml", ".yml")):
        return _of_yaml(index, here)
    if here.lower().endswith(".data"):
        return _of_darknet(index, here)
    return Layout(here, _listed_names(index, here), labels=_label_folders(index, here))


def _says(index: FolderIndex, file: str, keys: tuple[re.Pattern[str], ...]) -> bool:
    path = index.root / file
    if path.stat().st_size > MAX_BYTES:
        return False
    text = path.read_bytes().decode("utf-8", "replace")
    return all(key.search(text) for key in keys)


def _of_yaml(index: FolderIndex, here: str) -> Layout:
    content = load_mapping(index, here, "a YOLO data.yaml: names, and train, val or test")
    bases = _bases(posixpath.dirname(here), content.get("path"))
    entries = [(split, entry) for key, split in SPLITS.items()
               for entry in _entries(content.get(key), f"{here}: {key}")]
    more = {key: value for key, value in content.items()
            if isinstance(key, str) and key not in NOT_KEPT and _is_plain(value)}
    return Layout(here, _names(content.get("names"), here), bases, entries, points=_points(content, here), more=more)


def _bases(folder: str, path: object) -> list[str]:
    """What paths may be relative to: `path`, which is often that of another machine, its last folders, and `folder`."""
    text = path.replace("\\", "/") if isinstance(path, str) else ""
    parts = [part for part in text.split("/") if part not in ("", ".", "..")][-DEEPEST:]
    tails = ["/".join(parts[start:]) for start in range(len(parts))]
    return [posixpath.join(folder, tail) for tail in (text, *tails, "")]


def _names(value: object, here: str) -> dict[int, str]:
    rows = dict(enumerate(value)) if isinstance(value, list) else value
    if not isinstance(rows, dict) or not all(isinstance(name, str) for name in rows.values()):
        raise DataError("names must be a list of class names, or number: name", where=here, mend="mend names")
    if bad := [key for key in rows if not re.fullmatch(r"\d{1,6}", str(key))]:
        raise DataError(f"class number {str(bad[0])[:40]!r} is no whole number", where=here, mend="mend names")
    return {int(key): name.strip() for key, name in rows.items()}


def _entries(value: object, where: str) -> list[str]:
    entries = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise DataError("expected a folder, a list file, or a list of these", where=where, mend="mend that line")
    return [entry for entry in entries if entry.strip()]


def _points(content: dict[Any, Any], here: str) -> tuple[int, int] | None:
    shape = content.get("kpt_shape")
    if shape in (None, ""):
        return None
    values = [number(value) for value in shape] if isinstance(shape, list) else []
    if len(values) != 2 or values[1] not in (2, 3) or values[0] not in range(1, 1000):
        raise DataError("kpt_shape must be [number of points, 2 or 3]", where=here, mend="mend kpt_shape")
    return int(values[0]), int(values[1])


def _is_plain(value: object, depth: int = 2) -> bool:
    # anchors can make a list that holds itself
    if isinstance(value, dict):
        return depth > 0 and all(isinstance(key, str) and _is_plain(one, depth - 1) for key, one in value.items())
    return isinstance(value, str) or (isinstance(value, list) and depth > 0 and
                                      all(_is_plain(one, depth - 1) for one in value))


def _of_darknet(index: FolderIndex, here: str) -> Layout:
    pairs = dict(_pair(line) for line in read_text(index.root / here, here, MAX_BYTES).split("\n") if "=" in line)
    folder = posixpath.dirname(here)
    names = resolve(index, [folder], pairs.get("names", ""))
    if names is None or not has_file(index, names):
        raise DataError(f"the list of names {pairs.get('names', '')[:200]!r} is not there", where=here,
                        mend="put it beside that file")
    parts = [(split, pairs[key]) for key, split in SPLITS.items() if pairs.get(key)]
    return Layout(here, _listed_names(index, names), [folder], parts)


def _pair(line: str) -> tuple[str, str]:
    key, _, value = line.partition("=")
    return key.strip(), value.strip()


def _listed_names(index: FolderIndex, file: str) -> dict[int, str]:
    lines = read_text(index.root / file, file, MAX_BYTES).rstrip().split("\n")
    return {number: line.strip() for number, line in enumerate(lines)}


def _lists_of_names(index: FolderIndex) -> list[str]:
    """One a folder."""
    found: dict[str, str] = {}
    for file in index.files:
        folder, name = posixpath.split(file)
        if name.lower() in NAMES_FILES or name.lower().endswith(".names"):
            found.setdefault(folder, file)
    return list(found.values())


def _label_folders(index: FolderIndex, names: str) -> list[str]:
    """Folders at or below a list of names, and below no deeper one, whose text files look like YOLO's labels."""
    deeper = [posixpath.dirname(file) + "/" for file in _lists_of_names(index) if file != names]
    here = posixpath.dirname(names)
    count = sum(1 for line in peek(index.root / names) if line.strip())
    folders: dict[str, list[str]] = {}
    for file in below(index, here):
        covered = any(file.startswith(other) and len(other) > len(here) + 1 for other in deeper)
        if file.lower().endswith(".txt") and file != names and not covered:
            folders.setdefault(posixpath.dirname(file), []).append(file)
    return [folder for folder, files in folders.items() if _are_labels(index, files, count)]


def _are_labels(index: FolderIndex, files: list[str], classes: int) -> bool:
    """The first files of a folder that hold a YOLO row hold nothing else, and there is one."""
    kinds = [{looks_right(FIELD.findall(line), classes) for line in peek(index.root / file) if line.strip()}
             for file in files[:LOOKED_AT]]
    return {True} in kinds and {True, False} not in kinds


def looks_right(fields: list[str], classes: int) -> bool:
    values = [number(text) for text in fields]
    return len(values) >= 5 and values[0] in range(classes) and all(-0.5 <= value <= 1.5 for value in values[1:])
