"""What a folder of pictures holds, for a person who asks before a line is built on it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Note
from tasks.data.reading import find_sources, read_pictures
from tasks.data.table import SPLITS

TITLES = {"voc": "Pascal VOC", "coco": "COCO JSON"}


@dataclass(frozen=True)
class Description:
    """What was found. `classes` counts boxes, `splits` pictures; `sources` are annotations, relative to the folder."""

    format: str
    sources: list[str]
    pictures: int
    boxes: int
    classes: dict[str, int]
    splits: dict[str, int]
    flaws: dict[str, int]

    def __str__(self) -> str:
        found = ", ".join(self.sources[:3]) + (f" and {len(self.sources) - 3} more" if len(self.sources) > 3 else "")
        splits = ", ".join(f"{name} {count}" for name, count in self.splits.items())
        lines = [f"found:   {TITLES[self.format]}, by {found}",
                 f"holds:   {self.pictures} pictures, {self.boxes} boxes",
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
    notes: list[Note] = []
    labels: set[str] = set()
    pictures, splits, classes = 0, Counter[str](), Counter[str]()
    for picture in read_pictures(index, sources, notes, labels):
        pictures += 1
        splits.update([picture.split] if picture.split else [])
        classes.update(box.label for box in picture.boxes)
    return Description(
        format=sources[0].format,
        sources=[source.path.relative_to(folder).as_posix() for source in sources],
        pictures=pictures, boxes=classes.total(),
        classes={name: classes[name] for name in sorted(labels | set(classes))},
        splits={name: splits[name] for name in SPLITS if splits[name]},
        flaws=dict(sorted(Counter(note.kind for note in notes).items())))
