"""Which annotations a raw folder holds, found by looking, and one stream of pictures from all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

from tasks.base.errors import DataError
from tasks.data.formats import coco, voc
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Note, Picture, Source
from tasks.data.table import SPLIT_ORDER

Format = Literal["auto", "voc", "coco"]
FINDERS = {"voc": voc.find, "coco": coco.find}
EXPECTED = """Pascal VOC: XML files with <annotation>, e.g. Annotations/*.xml beside JPEGImages/
  COCO: a JSON file with "images", "annotations" and "categories", e.g. annotations/instances_train.json"""


def find_sources(index: FolderIndex, format: Format = "auto", only: Iterable[str] = ()) -> list[Source]:
    """The annotations of a folder.

    Args:
        only: names, relative to the folder, of the annotation files or folders to read; all when empty.

    Raises:
        DataError: none are there, or several that may describe the same pictures.
    """
    formats = list(FINDERS) if format == "auto" else [format]
    found = [source for name in formats for source in FINDERS[name](index)]
    wanted = [index.root / name for name in only]
    if wanted:
        found = [source for source in found if any(source.path.is_relative_to(path) for path in wanted)]
    if not found:
        looked = f" among {', '.join(only)}" if wanted else ""
        raise DataError(f"no annotations found{looked} ({len(index.files)} files looked at)", where=index.root,
                        mend=f"expected one of\n  {EXPECTED}")
    _refuse_rivals(found, index.root)
    return sorted(found, key=lambda source: source.path.as_posix())


def read_pictures(index: FolderIndex, sources: Iterable[Source], notes: list[Note], labels: set[str],
                  voc_pixels: voc.Pixels = "corners") -> Iterator[Picture]:
    """Every annotated picture once, then the pictures beside them that no annotation mentions.

    Of a picture that is in several splits the copy in test goes before the one in val, and that before train's.
    `notes` and `labels` are filled on the way.
    """
    seen: dict[str, Picture] = {}
    for source in sorted(sources, key=lambda source: SPLIT_ORDER[source.split]):
        read = (voc.read(index, source, notes, labels, voc_pixels) if source.format == "voc"
                else coco.read(index, source, notes, labels))
        for picture in read:
            first = seen.setdefault(picture.file, _head(picture))
            if first.row == picture.row:
                yield picture
            else:
                notes.append(_twice(first, picture))
    yield from _unannotated(index, seen, notes)


def _head(picture: Picture) -> Picture:
    return Picture(picture.file, picture.split, None, picture.row)


def _twice(first: Picture, again: Picture) -> Note:
    kind = "leaked" if first.split != again.split else "duplicate_id"
    file, _, row = again.row.partition("#")
    detail = f"{again.file} ({again.split or 'no split'}) is described by {first.row} too ({first.split or 'no split'})"
    return Note(kind, file, row, f"{detail}, which counts", again.file)


def _unannotated(index: FolderIndex, seen: dict[str, Picture], notes: list[Note]) -> Iterator[Picture]:
    # folders without any annotated picture hold something else: masks, documentation
    folders = {PurePosixPath(file).parent for file in seen}
    for file in index.pictures():
        if file not in seen and PurePosixPath(file).parent in folders:
            notes.append(Note("unannotated", file, "", "no annotation mentions this picture", file))
            yield Picture(file, None, None, file)


def _refuse_rivals(found: list[Source], root: Path) -> None:
    formats = {source.format for source in found}
    keys = [source.split for source in found]
    several_json = [s for s in found if s.format == "coco" and keys.count(s.split) > 1]
    if len(formats) == 1 and not several_json:
        return
    names = [source.path.relative_to(root).as_posix() for source in (found if len(formats) > 1 else several_json)]
    raise DataError(f"several annotations that may describe the same pictures: {', '.join(names[:6])}", where=root,
                    mend=f"name those to read in params.yaml, e.g.  ingest: {{annotations: [{names[0]}]}}")
