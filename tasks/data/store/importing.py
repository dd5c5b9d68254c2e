"""An import: a folder of pictures and labels in any format becomes version N of a dataset in the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.base.errors import DataError
from tasks.base.files import digest_file, write_json
from tasks.base.progress import Progress
from tasks.data.build import Built, build
from tasks.data.classes import ClassList
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Note, Pixels, Reading, Source
from tasks.data.linking import clone_or_copy
from tasks.data.ops import Making
from tasks.data.reading import describe_reading, find_sources, read_pictures
from tasks.data.source import read_source
from tasks.data.store import shards
from tasks.data.store.layout import Store, Version
from tasks.data.store.recipes import facts
from tasks.data.table import Meta, full_disk_is_told, read_meta

SHOWN = 10


@dataclass
class Importing:
    """What to import, and how.

    Attributes:
        folder: has the pictures and the labels.
        name: of the dataset.
        origin: where the folder came from, as a person wrote it.
        format: one of `READERS`, or `auto`: found by looking.
        annotations: files or folders to read, relative to `folder`; empty for all.
        allow: kinds of flaws that are listed and do not stop the import; `all` for every kind.
        shard_over: more pictures than this are put into archives.
    """

    folder: Path
    name: str
    origin: str
    classes: ClassList
    format: str = "auto"
    annotations: list[str] = field(default_factory=list)
    allow: list[str] = field(default_factory=list)
    licence: str | None = None
    pixels: Pixels = "corners"
    shard_over: int = shards.LOOSE


@dataclass(frozen=True)
class Imported:
    """The version, whether it is new, what was read from where, and the flaws that were allowed."""

    version: Version
    new: bool
    built: Built
    sources: list[Source]
    notes: list[Note]


def bring_in(store: Store, wanted: Importing, owner: str) -> Imported:
    """Read, measure, copy the pictures in, and list the version; the folder itself is not touched.

    The same pictures and labels again give the version that is there.

    Raises:
        DataError: no annotations, flaws that are not allowed (all are counted), hostile files, a full disk.
        UserError: the name is taken by somebody else, or is none.
    """
    index = FolderIndex(wanted.folder)
    sources = find_sources(index, wanted.format, wanted.annotations)
    into = Reading(voc_pixels=wanted.pixels)
    with store.locked(), full_disk_is_told(store.root):
        making = store.begin(wanted.name, owner)
        items = wanted.classes.apply(read_pictures(index, sources, into), into)
        source = read_source(wanted.folder)

        def describe(classes: list[str]) -> Meta:
            return describe_reading(into, classes, name=wanted.name, licence=wanted.licence or source.get("licence"))

        built = build(wanted.folder, items, [], into, making.folder, describe, lambda file: f"{making.origin}/{file}")
        _refuse(into.notes, wanted.allow, built)
        write_json(making.folder / "notes.json", [note.to_json() for note in into.notes])
        if same := _same(store, wanted.name, making):
            return Imported(same, False, built, sources, into.notes)
        _copy_pictures(making, wanted)
        recipe = {"import": {"format": sorted({source.format for source in sources}), "from": wanted.origin}}
        return Imported(store.publish(making, recipe, owner, facts()), True, built, sources, into.notes)


def _refuse(notes: list[Note], allow: list[str], built: Built) -> None:
    """Flaws stop an import unless their kind is allowed: nothing is left out in silence."""
    refused = [note for note in notes if note.kind not in allow and "all" not in allow]
    if not built.images:
        first = notes[0].detail if notes else "no picture"
        raise DataError(f"annotations without pictures: {first}",
                        mend="put the pictures beside them, or --pictures DIR")
    if not refused:
        return
    kinds = Counter(note.kind for note in refused)
    lines = [f"{note.kind}: {note.file}{'#' + note.row if note.row else ''}: {note.detail}" for note in refused[:SHOWN]]
    if len(refused) > SHOWN:
        lines.append(f"… and {len(refused) - SHOWN} more")
    raise DataError("the import has flaws: " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())),
                    where="\n    ".join(["", *lines]).strip(),
                    mend="mend the files, or import what is sound and list the rest: "
                         f"--allow {' '.join(sorted(kinds))}")


def _same(store: Store, name: str, making: Making) -> Version | None:
    """The latest version of that name, where it was imported from the same bytes."""
    latest = store.latest(name)
    if latest is None or not latest.here or "import" not in latest.meta.recipe:
        return None
    known = _content(latest.folder, f"{name}-{latest.number}")
    return latest if known == _content(making.folder, making.origin) else None


def _content(folder: Path, origin: str) -> tuple[object, ...]:
    """What a version says, whatever its number and its archives."""
    images = pq.read_table(folder / "images.parquet").drop_columns(["shard", "offset"])
    for name in ("file", "mask", "reference"):
        plain = pc.replace_substring(images[name], f"{origin}/", "", max_replacements=1)
        images = images.set_column(images.schema.get_field_index(name), name, plain)
    return images, digest_file(folder / "annotations.parquet"), read_meta(folder).classes


def _copy_pictures(making: Making, wanted: Importing) -> None:
    images = making.folder / "images.parquet"
    names = [name.removeprefix(f"{making.origin}/") for name in shards.files_of(images)]
    rows = pq.ParquetFile(images).metadata.num_rows
    if rows > wanted.shard_over and len(names) == rows:
        shards.pack(images, wanted.folder, making.pictures, making.origin)
        return
    _copy(names, wanted.folder, making.pictures)


def _copy(names: Iterable[str], source: Path, target: Path) -> None:
    names = list(names)
    progress = Progress(len(names), "copied")
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        clone_or_copy(source / name, target / name)
        progress.step()
