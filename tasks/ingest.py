"""Stage `ingest`: raw pictures with Pascal VOC or COCO annotations become the dataset table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import field_validator

from tasks.base.errors import DataError
from tasks.base.params import Params as Section
from tasks.data.build import build
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Note
from tasks.data.formats.voc import Pixels
from tasks.data.reading import Format, find_sources, read_pictures
from tasks.data.source import read_source
from tasks.data.table import Dataset, write_dataset


class Params(Section):
    """Section `ingest` of params.yaml."""

    format: Format = "auto"
    annotations: list[str] = []
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
    notes: list[Note] = []
    labels: set[str] = set()
    pictures = read_pictures(index, sources, notes, labels, params.voc_pixels)
    source = read_source(raw)
    meta = {"name": params.name or source.get("name", "dataset"), "licence": params.licence or source.get("licence"),
            "recipe": {"ingest": {"sources": [[s.format, s.path.relative_to(raw).as_posix()] for s in sources]}}}
    dataset, declared = build(raw, pictures, params.classes, labels, notes, **meta)
    if not dataset.images.num_rows:
        first = notes[0].detail if notes else "no picture"
        raise DataError(f"annotations without pictures: {first}", where=raw, mend="put the pictures beside them")
    notes += _contradicted_sizes(dataset, declared)
    write_dataset(out, dataset, {"notes.json": [note.to_json() for note in notes]})
    _tell(dataset, sources[0].format, notes)


def _contradicted_sizes(dataset: Dataset, declared: dict[str, tuple[float, float]]) -> list[Note]:
    columns = dataset.images.select(["file", "width", "height"]).to_pydict()
    return [Note("size_differs", file, "", f"the annotation says {given[0]:g} x {given[1]:g}, it is {w} x {h}", file)
            for file, w, h in zip(*columns.values(), strict=True)
            if w and (given := declared.get(file, (w, h))) != (w, h)]


def _tell(dataset: Dataset, format: str, notes: list[Note]) -> None:
    splits: dict[Any, int] = {}
    for split in dataset.images["split"].to_pylist():
        splits[split or "none"] = splits.get(split or "none", 0) + 1
    print(f"{format}: {dataset.images.num_rows} pictures, {dataset.annotations.num_rows} boxes, "
          f"{len(dataset.meta.classes)} classes: {', '.join(dataset.meta.classes)}")
    print(f"given splits: {', '.join(f'{name} {count}' for name, count in splits.items())}")
    if notes:
        print(f"{len(notes)} notes for validate, the first: {notes[0].file} {notes[0].row}: {notes[0].detail}")
