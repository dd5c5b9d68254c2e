"""Which annotations a raw folder holds, found by looking, and one stream of pictures from all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np

from tasks.base.errors import DataError, nearest
from tasks.data.formats import IMPLICIT, READERS, load
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import More, Note, Picture, Reading, Source, place_of
from tasks.data.table import SPLIT_ORDER, SPLITS, Meta

SPLIT_NAMES: list[str | None] = [None, *SPLITS]
OTHERS = "others"


def find_sources(index: FolderIndex, format: str = "auto", only: Iterable[str] = ()) -> list[Source]:
    """The annotations of a folder.

    Args:
        only: names, relative to the folder, of the annotation files or folders to read; all when empty.

    Raises:
        DataError: none are there, or several that may describe the same pictures.
        UserError: no format is called so.
    """
    wanted = [index.root / name for name in only]
    if format.startswith(f"{OTHERS}:"):
        named = load(OTHERS, (OTHERS,)).sources(index, format)
        return [replace(source, path=path) for source in named for path in wanted] or list(named)
    if format != "auto":
        load(format)
    explicit = [name for name in READERS if name not in IMPLICIT] if format == "auto" else [format]
    found = _find(index, explicit, wanted)
    if not found and format == "auto":
        found = next((some for name in IMPLICIT if (some := _find(index, [name], wanted))), [])
    if not found:
        looked = f" among {', '.join(only)}" if wanted else ""
        raise DataError(f"no annotations found{looked} ({len(index.files)} files looked at)", where=index.root,
                        mend=f"pictures without labels: --format pictures; else expected one of\n  {expected()}")
    _refuse_rivals(found, index.root)
    return sorted(found, key=lambda source: source.path.as_posix())


def reader(format: str) -> ModuleType:
    """The module that reads a format, `others:NAME` included."""
    return load(OTHERS, (OTHERS,)) if format.startswith(f"{OTHERS}:") else load(format)


def known_format(format: str) -> str:
    """The name of a format as a parameter may give it.

    Raises:
        ValueError: there is none of that name.
    """
    if format == "auto" or format in READERS or format.startswith(f"{OTHERS}:"):
        return format
    guess = nearest(format, READERS)
    raise ValueError(f"no format is called so; did you mean {guess!r}?" if guess else
                     f"must be auto, {', '.join(READERS)} or {OTHERS}:NAME")


def expected() -> str:
    """One line a format: what a folder of it looks like."""
    modules = [load(name) for name in READERS]
    return "\n  ".join(f"{module.TITLE}: {module.EXPECTED}" for module in modules)


def read_pictures(index: FolderIndex, sources: Iterable[Source], into: Reading) -> Iterator[Picture | More]:
    """Every annotated picture once, then the pictures beside them that no annotation mentions.

    Of a picture that is in several splits the copy in test goes before the one in val, and that before train's.
    `into` is filled on the way.
    """
    ordered = sorted(sources, key=lambda source: SPLIT_ORDER[source.split])
    # of each file the source that described it, from 1, and the split: two bytes a picture and a few
    owner, given = np.zeros(len(index.files), np.int16), np.zeros(len(index.files), np.int8)
    beside = np.zeros(len(index.files), bool)
    for number, source in enumerate(ordered, 1):
        for item in reader(source.format).read(index, source, into):
            place = index.number(item.file)
            if isinstance(item, More):
                if owner[place] == number:
                    yield item
            elif owner[place]:
                first = ordered[owner[place] - 1].path.relative_to(index.root).as_posix()
                into.notes.append(_twice(first, SPLIT_NAMES[given[place]], item))
            else:
                owner[place], given[place] = number, SPLIT_NAMES.index(item.split)
                beside[[index.number(file) for file in (item.mask, item.reference) if file]] = True
                yield item
    if any(source.format != "pictures" for source in ordered):  # that one has told of every picture
        yield from _unannotated(index, owner, beside, into.notes)


def describe_reading(into: Reading, classes: list[str], **values: object) -> Meta:
    """The description of what was read: problem, keypoints, and what the format says of the whole set."""
    ids = {name: into.ids[name] for name in classes if name in into.ids}
    return Meta.model_validate(values | {
        "problem": into.problem or "detect", "classes": classes, "keypoints": into.keypoints,
        "attributes": into.attributes | ({"ids": ids} if ids else {})})


def _find(index: FolderIndex, formats: Iterable[str], wanted: list[Path]) -> list[Source]:
    found: list[Source] = []
    for name in formats:
        claimed = [source.path for source in found]
        new = [source for source in load(name).find(index) if not any(map(source.path.is_relative_to, claimed))]
        found += [source for source in new if not wanted or any(map(source.path.is_relative_to, wanted))]
    return found


def _twice(first: str, split: str | None, again: Picture) -> Note:
    kind = "leaked" if split != again.split else "duplicate_id"
    file, row = place_of(again.row)
    detail = f"{again.file} ({again.split or 'no split'}) is described by {first} too ({split or 'no split'})"
    return Note(kind, file, row, f"{detail}, which counts", again.file)


def _unannotated(index: FolderIndex, owner: np.ndarray, beside: np.ndarray, notes: list[Note]) -> Iterator[Picture]:
    # folders without any annotated picture hold something else: documentation; `beside` are masks and golden pictures
    folders = {index.files[number].rpartition("/")[0] for number in np.flatnonzero(owner)}
    for file in index.pictures():
        number = index.number(file)
        if not owner[number] and not beside[number] and file.rpartition("/")[0] in folders:
            notes.append(Note("unannotated", file, "", "no annotation mentions this picture", file))
            yield Picture(file, None, None, file)


def _refuse_rivals(found: list[Source], root: Path) -> None:
    formats = {source.format for source in found}
    keys = [source.split for source in found]
    several_json = [s for s in found if s.format == "coco" and keys.count(s.split) > 1]
    if len(formats) == 1 and not several_json:
        return
    names = [source.path.relative_to(root).as_posix() for source in (found if len(formats) > 1 else several_json)]
    kinds = f" ({', '.join(sorted(formats))})" if len(formats) > 1 else ""
    raise DataError(f"several annotations{kinds} that may describe the same pictures: {', '.join(names[:6])}",
                    where=root, mend=f"name those to read: --annotations {names[0]}, or in params.yaml  "
                         f"ingest: {{annotations: [{names[0]}]}}")
