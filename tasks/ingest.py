"""Stage `ingest`: raw pictures with annotations in any format become the dataset table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, field_validator

from tasks.base.errors import DataError
from tasks.base.files import folder_atomic, write_json
from tasks.base.params import Params as Section
from tasks.data.build import Built, build
from tasks.data.classes import renamed
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Pixels, Reading
from tasks.data.reading import describe_reading, find_sources, known_format, read_pictures
from tasks.data.source import read_source
from tasks.data.table import Meta, full_disk_is_told


class Params(Section):
    """Section `ingest` of params.yaml."""

    format: Annotated[str, AfterValidator(known_format)] = "auto"
    annotations: list[str] = []
    aliases: dict[str, str] = {}
    classes: list[str] = []
    voc_pixels: Pixels = "corners"
    name: str | None = None
    licence: str | None = None

    @field_validator("classes")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        twice = sorted({name for name in value if value.count(name) > 1})
        if twice:
            raise ValueError(f"listed twice: {', '.join(twice)}")
        return value


def run(params: Params, *, raw: Path, out: Path) -> None:
    """Read all annotations below `raw` into a dataset folder `out`; pictures are measured, not copied.

    What cannot enter the table, or contradicts it, is noted in `notes.json`: `validate` judges it.

    Raises:
        DataError: no annotations, several that contradict, hostile or malformed files, a full disk.
    """
    index = FolderIndex(raw)
    sources = find_sources(index, params.format, params.annotations)
    into = Reading(voc_pixels=params.voc_pixels)
    source = read_source(raw)
    recipe = {"ingest": {"sources": [[s.format, s.path.relative_to(raw).as_posix()] for s in sources]}}

    def describe(classes: list[str]) -> Meta:
        return describe_reading(into, classes, name=params.name or source.get("name", "dataset"),
                                licence=params.licence or source.get("licence"), recipe=recipe)

    with full_disk_is_told(out), folder_atomic(out) as new:
        items = renamed(read_pictures(index, sources, into), params.aliases, into)
        built = build(raw, items, params.classes, into, new, describe)
        if not built.images:
            first = into.notes[0].detail if into.notes else "no picture"
            raise DataError(f"annotations without pictures: {first}", where=raw, mend="put the pictures beside them")
        write_json(new / "notes.json", [note.to_json() for note in into.notes])
    _tell(built, sources[0].format, into)


def _tell(built: Built, format: str, into: Reading) -> None:
    print(f"{format}: {built.images} pictures, {built.annotations} boxes, "
          f"{f'{built.labels} labels of whole pictures, ' if built.labels else ''}"
          f"{len(built.classes)} classes: {', '.join(built.classes)}")
    print(f"given splits: {', '.join(f'{name} {count}' for name, count in sorted(built.splits.items()))}")
    if into.notes:
        first = into.notes[0]
        print(f"{len(into.notes)} notes for validate, the first: {first.file} {first.row}: {first.detail}")
