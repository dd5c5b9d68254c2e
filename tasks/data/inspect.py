"""What a folder of pictures holds, for a person who asks before a line is built on it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Picture, Reading
from tasks.data.reading import find_sources, read_pictures, reader
from tasks.data.table import SPLITS


@dataclass(frozen=True)
class Description:
    """What was found. `classes` counts labels, `splits` pictures; `sources` are annotations, relative to the folder."""

    format: str
    problem: str
    sources: list[str]
    pictures: int
    boxes: int
    classes: dict[str, int]
    splits: dict[str, int]
    flaws: dict[str, int]

    def __str__(self) -> str:
        found = ", ".join(self.sources[:3]) + (f" and {len(self.sources) - 3} more" if len(self.sources) > 3 else "")
        splits = ", ".join(f"{name} {count}" for name, count in self.splits.items())
        lines = [f"found:   {reader(self.format).TITLE}, by {found}; problem: {self.problem}",
                 f"holds:   {self.pictures} pictures, {self.boxes} labels",
                 f"classes: {', '.join(f'{name} ({count})' for name, count in self.classes.items())}",
                 f"splits:  {splits or 'none given: they will be cut by content'}"]
        if self.flaws:
            lines.append("flaws:   " + ", ".join(f"{count} {kind}" for kind, count in self.flaws.items())
                         + "; `validate` lists them")
        return "\n".join(lines)


def describe(folder: Path) -> Description:
    """Read all annotations of a folder, open no picture.

    Raises:
        DataError: nothing is found (what was expected is listed), or a file is malformed or hostile.
    """
    index = FolderIndex(folder)
    sources = find_sources(index)
    into = Reading()
    pictures, splits, classes = 0, Counter[str](), Counter[str]()
    for item in read_pictures(index, sources, into):
        classes.update(box.label for box in item.boxes)
        if isinstance(item, Picture):
            pictures += 1
            splits.update([item.split] if item.split else [])
            classes.update(item.labels or [])
    return Description(
        format=sources[0].format, problem=into.problem or "detect",
        sources=[source.path.relative_to(folder).as_posix() for source in sources],
        pictures=pictures, boxes=classes.total(),
        classes={name: classes[name] for name in sorted(into.labels | set(classes))},
        splits={name: splits[name] for name in SPLITS if splits[name]},
        flaws=dict(sorted(Counter(note.kind for note in into.notes).items())))
