"""One list of classes a workspace, with aliases: `conf/classes.yaml`. Names from outside become names of the list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tasks.base.errors import DataError, nearest
from tasks.base.files import write_atomic
from tasks.base.params import Params, check, read_yaml
from tasks.data.formats.record import Box, More, Picture, Reading

PATH = Path("conf/classes.yaml")
Unknown = Literal["stop", "ignore", "add"]


class Entry(Params):
    """One class: its name, and other names that mean it."""

    name: str
    aliases: list[str] = []


class ClassFile(Params):
    """`conf/classes.yaml`."""

    classes: list[Entry] = []


@dataclass
class ClassList:
    """The classes of a workspace. An empty list takes every class that comes, and becomes that list.

    Attributes:
        unknown: what happens to a class that is neither in the list nor an alias.
        added: classes that came new; `ignored` counts labels that were left out.
    """

    entries: list[Entry]
    unknown: Unknown = "stop"
    added: list[str] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._main = {alias: entry.name for entry in self.entries for alias in (entry.name, *entry.aliases)}
        self._open = self.unknown == "add" or not self.entries

    def main(self, label: str) -> str | None:
        """The list's name for a label; None where it is ignored."""
        if label in self._main or not label:
            return self._main.get(label, label)
        if self._open:
            self.added.append(label)
            self._main[label] = label
            return label
        return None

    def apply(self, items: Iterable[Picture | More], into: Reading) -> Iterator[Picture | More]:
        """The same pictures with the list's names.

        Raises:
            DataError: `unknown` is `stop`, and a class is not in the list.
        """
        for item in items:
            item.boxes = [box for box in item.boxes if self._rename(box)]
            if isinstance(item, Picture) and item.labels is not None:
                named = [(label, self._known(label, item.row)) for label in item.labels]
                item.labels = [name for _, name in named if name is not None]
            yield item
        declared = {label: self.main(label) for label in sorted(into.labels)}
        into.labels.clear()
        into.labels.update(name for name in declared.values() if name)
        into.ids = {declared.get(label) or label: number for label, number in into.ids.items()}

    def _rename(self, box: Box) -> bool:
        name = self._known(box.label, box.row)
        box.label = name or ""
        return name is not None

    def _known(self, label: str, row: str) -> str | None:
        name = self.main(label)
        if name is None and self.unknown == "stop":
            guess = nearest(label, self._main)
            raise DataError(f"class {label!r} is not in the workspace's list"
                            + (f"; did you mean {guess!r}?" if guess else ""), where=row,
                            mend=f"--unknown add or ignore, or write it as an alias into {PATH}")
        if name is None:
            self.ignored[label] += 1
        return name


def renamed(items: Iterable[Picture | More], aliases: Mapping[str, str], into: Reading) -> Iterable[Picture | More]:
    """The same pictures with `aliases` (other name: class) applied; classes without one stay as they are."""
    entries: dict[str, list[str]] = {}
    for alias, name in aliases.items():
        entries.setdefault(name, []).append(alias)
    known = [Entry(name=name, aliases=others) for name, others in entries.items()]
    return ClassList(known, "add").apply(items, into) if known else items


def read_classes(workspace: Path, unknown: Unknown = "stop") -> ClassList:
    """The workspace's list; empty where it has none.

    Raises:
        ParamsError: the file is not written as it must be. DataError: a name stands for two classes.
    """
    path = workspace / PATH
    entries = check(ClassFile, read_yaml(path), str(PATH)).classes if path.is_file() else []
    names = Counter(name for entry in entries for name in {entry.name, *entry.aliases})
    if twice := sorted(name for name, count in names.items() if count > 1):
        raise DataError(f"{twice[0]!r} stands for two classes", where=path, mend="keep it in one of them")
    return ClassList(entries, unknown)


def save_classes(workspace: Path, classes: ClassList) -> bool:
    """Append the classes that came new; whether there were any. What stands in the file stays as it is written."""
    if not classes.added:
        return False
    from ruamel.yaml import YAML
    from ruamel.yaml.compat import StringIO

    path, yaml = workspace / PATH, YAML()
    values = yaml.load(path.read_text(encoding="utf-8")) if path.is_file() else {"classes": []}
    values["classes"] += [{"name": name} for name in sorted(classes.added)]
    stream = StringIO()
    yaml.dump(values, stream)
    write_atomic(path, stream.getvalue())
    return True
