"""Annotation formats: what each looks like in a folder, how it is read and how it is written.

A format is a module with

- `TITLE`, its name as people write it, and `EXPECTED`, one line: what a folder of it looks like;
- `find(index) -> list[Source]`: what of a folder is of this format;
- `read(index, source, into) -> Iterator[Picture | More]`: its pictures in its own order;
- `CARRIES`: the columns beyond boxes and classes that it can hold, and `write(export)`, where it is written too.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType

from tasks.base.errors import UserError, nearest

# imported when asked for; in whole names, by which the stage `code` finds what a stage imports
MODULES: dict[str, Callable[[], ModuleType]] = {
    "superb": lambda: import_module("tasks.data.formats.superb"),
    "groundtruth": lambda: import_module("tasks.data.formats.groundtruth"),
    "ymir": lambda: import_module("tasks.data.formats.ymir"),
    "labelstudio": lambda: import_module("tasks.data.formats.labelstudio"),
    "coco": lambda: import_module("tasks.data.formats.coco"),
    "voc": lambda: import_module("tasks.data.formats.voc"),
    "yolo": lambda: import_module("tasks.data.formats.yolo"),
    "kitti": lambda: import_module("tasks.data.formats.kitti"),
    "pairs": lambda: import_module("tasks.data.formats.pairs"),
    "csv": lambda: import_module("tasks.data.formats.csv"),
    "masks": lambda: import_module("tasks.data.formats.masks"),
    "folders": lambda: import_module("tasks.data.formats.folders"),
    "pictures": lambda: import_module("tasks.data.formats.pictures"),
    "others": lambda: import_module("tasks.data.formats.others"),
}
# they fit any folder, so they are never looked for: a person names them
NAMED = ("pictures", "others")
# in the order in which they are asked: what an earlier one has found, no later one may claim
READERS = tuple(name for name in MODULES if name not in NAMED)
WRITERS = tuple(sorted((*READERS, "pictures")))
# they look at names of folders alone, so they are asked only when no annotation file was found
IMPLICIT = ("masks", "folders")


def load(name: str, among: tuple[str, ...] = (*READERS, "pictures")) -> ModuleType:
    """The module of a format.

    Raises:
        UserError: none of that name; the nearest is offered.
    """
    if name not in among:
        guess = nearest(name, among)
        raise UserError(f"no format is called {name!r}", mend=f"did you mean {guess!r}?" if guess else
                        f"one of: {', '.join(among)}")
    return MODULES[name]()
