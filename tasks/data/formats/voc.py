"""Pascal VOC: one XML file a picture, given splits in `ImageSets/Main`.

Kept beyond boxes: `difficult`, `truncated`, `occluded`, polygons (`x1`, `y1`, `x2`, …), and other children that hold
plain text, as attributes.

VOC's own description counts pixels from 1 and includes the last one. Tools that write VOC files mostly do not: the
100 pictures of `voc100_formats` are published in VOC and in COCO form, and there `x = xmin`, `w = xmax - xmin`.
`corners` (default) reads that convention, so that both forms give one table; `inclusive` reads the description's,
`x = xmin - 1`, `w = xmax - xmin + 1`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree as SafeXml
from defusedxml.common import DefusedXmlException

from tasks.base.errors import DataError
from tasks.data.formats._voc_object import PICTURE_TAGS, box_of, texts_of
from tasks.data.formats._voc_write import CARRIES, write
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Note, Picture, Reading, Source, number, safe_name, split_in_name
from tasks.data.table import SPLIT_ORDER, SPLITS

__all__ = ["CARRIES", "EXPECTED", "TITLE", "find", "read", "write"]

TITLE = "Pascal VOC"
EXPECTED = "XML files with <annotation>, e.g. Annotations/*.xml beside JPEGImages/"
MAX_BYTES = 64 << 20
LOOKED_AT = 20
ROOT_TAG = re.compile(rb"<annotation[\s>]")


def find(index: FolderIndex) -> list[Source]:
    """Folders whose XML files are VOC annotations."""
    folders: dict[PurePosixPath, list[str]] = {}
    for file in index.with_suffix(".xml"):
        folders.setdefault(PurePosixPath(file).parent, []).append(file)
    return [Source("voc", index.root / folder, split_in_name(folder)) for folder, files in folders.items()
            if any(_is_annotation(index.root / file) for file in files[:LOOKED_AT])]


def read(index: FolderIndex, source: Source, into: Reading) -> Iterator[Picture]:
    """The pictures of one folder of XML files, those of test first.

    A picture in two lists has the split of the first of test, val and train; the other list is noted as `leaked`.

    Raises:
        DataError: an XML file is malformed, hostile (entities), or names a picture outside the folder.
    """
    inside = _inside(index, source.path)
    given = _given_splits(source.path.parent / "ImageSets" / "Main", {PurePosixPath(here).stem for here in inside})
    for here in sorted(inside, key=lambda here: SPLIT_ORDER[_splits(given, here, source)[0]]):
        path = index.root / here
        split, *others = _splits(given, here, source)
        given.pop(path.stem, None)
        root = _parse(path, here)
        named = safe_name(root.findtext("filename") or path.stem, here)
        near = PurePosixPath(here).parent
        file = index.find(named, near, split, here) or index.find(path.stem, near, split, here)
        into.notes += _leaks(index, source, path.stem, split, others, file)
        if file is None:
            into.notes.append(Note("missing_picture", here, "filename", f"there is no picture {named!r}"))
            continue
        yield _add_boxes(Picture(file, split, _declared(root), here), root, into)
    for stem, splits in sorted(given.items()):
        yield from _listed_only(index, source, stem, splits, into.notes)


def _add_boxes(picture: Picture, root: Element, into: Reading) -> Picture:
    picture.attributes = texts_of(root, PICTURE_TAGS)
    for row, item in enumerate(root.iter("object")):
        box, flaw = box_of(item, f"{picture.row}#{row}", into.voc_pixels)
        if flaw:
            into.notes.append(Note("bad_mask", picture.row, str(row), flaw, picture.file))
        if box.label:
            into.labels.add(box.label)
        if box.polygons:
            into.problem = "segment"
        picture.boxes.append(box)
    return picture


def _splits(given: dict[str, list[str]], here: str, source: Source) -> list[Any]:
    return given.get(PurePosixPath(here).stem, [source.split])


def _leaks(index: FolderIndex, source: Source, stem: str, split: str | None, others: list[str],
           file: str | None) -> list[Note]:
    detail = f"{stem!r} is listed under {split} too, which counts"
    return [Note("leaked", _list_file(index, source, other), stem, detail, file) for other in others]


def _list_file(index: FolderIndex, source: Source, split: str) -> str:
    return f"{source.path.parent.relative_to(index.root).as_posix()}/ImageSets/Main/{split}.txt".removeprefix("./")


def _listed_only(index: FolderIndex, source: Source, stem: str, splits: list[str],
                 notes: list[Note]) -> Iterator[Picture]:
    # ImageSets lists a picture that has no XML file
    split, *others = splits
    listed = _list_file(index, source, split)
    name = safe_name(stem, listed)
    file = index.find(name, PurePosixPath(listed).parent, split, listed)
    detail = f"{name!r} is listed and has no annotation" + ("" if file else ", nor is there such a picture")
    notes.append(Note("unannotated" if file else "dangling", listed, stem, detail, file))
    notes += _leaks(index, source, stem, split, others, file)
    if file:
        yield Picture(file, split, None, listed)


def _inside(index: FolderIndex, folder: Path) -> list[str]:
    return [file for file in index.with_suffix(".xml") if (index.root / file).parent == folder]


def _is_annotation(path: Path) -> bool:
    with path.open("rb") as file:
        return ROOT_TAG.search(file.read(65536)) is not None


def _parse(path: Path, here: str) -> Element:
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"annotation has more than {MAX_BYTES >> 20} MiB", where=here, mend="one file a picture")
    try:
        root = SafeXml.parse(path, forbid_dtd=True).getroot()
    except DefusedXmlException as error:
        reason = type(error).__name__.replace("Forbidden", "")
        raise DataError(f"refused XML with a document type or entities ({reason})", where=here,
                        mend="remove the <!DOCTYPE …> and what it declares") from None
    except (ParseError, ValueError, LookupError) as error:
        raise DataError(f"not XML: {error}", where=here, mend="mend or remove that file") from None
    if root is None or root.tag != "annotation":
        raise DataError("not a Pascal VOC annotation", where=here, mend="move that file elsewhere")
    return root


def _declared(root: Element) -> tuple[float, float] | None:
    if root.find("size") is None:
        return None
    return number(root.findtext("size/width")), number(root.findtext("size/height"))


def _given_splits(folder: Path, stems: set[str]) -> dict[str, list[str]]:
    """The splits that list a picture, by its stem: test before val before train."""
    given: dict[str, list[str]] = {}
    for split in sorted(SPLITS, key=SPLIT_ORDER.__getitem__):
        path = folder / f"{split}.txt"
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else ():
            if (stem := _stem(line, stems)) and split not in (known := given.setdefault(stem, [])):
                known.append(split)
    return given


def _stem(line: str, stems: set[str]) -> str:
    # a class's own list has a second column, 1 or -1; a picture may be called `photo 1` too
    text = line.strip()
    return text if text in stems else re.sub(r"\s+-?[01]$", "", text)
