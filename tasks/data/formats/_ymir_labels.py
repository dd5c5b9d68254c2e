"""YMIR's `labels.yaml`: classes with their numbers and aliases."""

from __future__ import annotations

import posixpath
import re
from typing import Any, NamedTuple

from tasks.base.errors import DataError
from tasks.data.formats._layout import has_file
from tasks.data.formats._yaml import load_mapping
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Note, Reading

EXPECTED = "labels: a list of {id: 0, name: cat, aliases: [kitty]}"


class Aliases(NamedTuple):
    """The main names by name or alias (as written, and in lower case, as YMIR compares them) and by number."""

    by_name: dict[str, str]
    by_id: dict[int, str]

    def main(self, label: str) -> str:
        return self.by_name.get(label) or self.by_name.get(label.strip().lower(), label)


def read_labels(index: FolderIndex, home: str, into: Reading) -> Aliases:
    """The classes that `labels.yaml` declares; none where there is no such file.

    Raises:
        DataError: it is not as YMIR writes it.
    """
    found = Aliases({}, {})
    here = next((file for folder in ("", "gt", "annotations")
                 if has_file(index, file := posixpath.join(home, folder, "labels.yaml"))), None)
    if here is None:
        return found
    rows = load_mapping(index, here, EXPECTED).get("labels")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError("labels is not a list of classes", where=here, mend=f"expected {EXPECTED}")
    said: dict[str, list[str]] = {}
    for place, row in enumerate(rows):
        name, others = _class(row, f"{here}: labels[{place}]")
        number = str(row.get("id", place))
        if re.fullmatch(r"\d{1,6}", number):
            found.by_id.setdefault(int(number), name)
            into.ids.setdefault(name, int(number))
        into.labels.add(name)
        into.notes += _add(found.by_name, name, others, here, place)
        said |= {name: others} if others else {}
    into.attributes["ymir"] = into.attributes.get("ymir", {}) | ({"aliases": said} if said else {})
    return found


def _class(row: dict[Any, Any], where: str) -> tuple[str, list[str]]:
    name, others = row.get("name"), row.get("aliases") or []
    if not isinstance(name, str) or not name.strip() or not isinstance(others, list) or \
            not all(isinstance(other, str) for other in others):
        raise DataError("a class needs a name, and aliases are a list of names", where=where,
                        mend=f"expected {EXPECTED}")
    return name.strip(), [other.strip() for other in others if other.strip()]


def _add(names: dict[str, str], name: str, others: list[str], here: str, place: int) -> list[Note]:
    notes = []
    for word in (name, *others):
        if (first := names.setdefault(word, name)) != name:
            notes.append(Note("duplicate_id", here, f"labels[{place}]", f"{word!r} stands for {first!r} too"))
        names.setdefault(word.lower(), name)
    return notes
