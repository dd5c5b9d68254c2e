"""Formats that are read when they are named, `--format others:cvat`, and that are not written.

CVAT's XML, LabelMe's JSON, OpenImages' CSV and TensorFlow's records are read here; the rest by `datumaro`, an extra.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

from tasks.base.errors import DataError, UserError, nearest
from tasks.data.formats import _others_cvat, _others_labelme, _others_openimages, _others_tfrecord
from tasks.data.formats._others_datumaro import NAMES, read_datumaro
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import More, Picture, Reading, Source

TITLE = "others"
EXPECTED = "--format others:NAME, NAME being cvat, labelme, openimages, tfrecord, or one that datumaro reads"
OWN: dict[str, ModuleType] = {"cvat": _others_cvat, "labelme": _others_labelme, "openimages": _others_openimages,
                              "tfrecord": _others_tfrecord}
FORMATS = tuple(sorted([*OWN, *NAMES]))


def find(index: FolderIndex) -> list[Source]:
    """Nothing: these are read only when they are named, by `sources`."""
    return []


def sources(index: FolderIndex, format: str) -> list[Source]:
    """What is read of a folder as `others:NAME`.

    Raises:
        UserError: no format is called so.
    """
    name = format.partition(":")[2]
    if name not in FORMATS:
        guess = nearest(name, FORMATS)
        mend = f"did you mean 'others:{guess}'?" if guess else f"one of: {', '.join(FORMATS)}"
        raise UserError(f"no other format is called {name!r}", mend=mend)
    return [Source(format, index.root, None)]


def read(index: FolderIndex, source: Source, into: Reading) -> Iterator[Picture | More]:
    """The pictures of a source, whose format is `others:NAME`.

    Raises:
        UserError: no format is called so, or it needs `datumaro`, which is not installed.
        DataError: nothing is there in this format, or it cannot be read.
    """
    sources(index, source.format)
    name = source.format.partition(":")[2]
    if name not in OWN:
        yield from read_datumaro(index, source, NAMES[name], into)
        return
    module = OWN[name]
    files = [file for file in index.with_suffix(module.SUFFIX)
             if (index.root / file).is_relative_to(source.path) and _has_sign(index, file, module)]
    if not files:
        raise DataError(f"nothing of {name} is there: no *{module.SUFFIX} with {module.SIGN.decode()}",
                        where=source.path, mend="name the folder that has it, or another format")
    for file in files:
        yield from module.read(index, file, into)


def _has_sign(index: FolderIndex, file: str, module: ModuleType) -> bool:
    """Whether the head of a file, or all of it where `PEEKED` is 0, has the format's sign."""
    size = module.PEEKED or (index.root / file).stat().st_size
    with (index.root / file).open("rb") as content:
        tail = b""
        while size > 0 and (chunk := content.read(min(size, 1 << 20))):
            if module.SIGN in tail + chunk:
                return True
            tail, size = chunk[-len(module.SIGN):], size - len(chunk)
    return False
