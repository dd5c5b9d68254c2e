"""An export of pictures that no folder describes, for the tests of writers."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from tasks.data.exporting import Export
from tasks.data.formats.record import Picture, Reading
from tasks.data.table import read_meta
from tests.data.roundtrip import make_table


def export_of(pictures: list[Picture], raw: Path, tmp_path: Path, into: Reading | None = None) -> Export:
    """What a writer is given: a table of these pictures of the folder `raw`, and an empty folder."""
    table = make_table(pictures, into or Reading(), raw, tmp_path / "table")
    (tmp_path / "out").mkdir()
    return Export(table, raw, tmp_path / "out", read_meta(table))


def written(module: ModuleType, pictures: list[Picture], raw: Path, tmp_path: Path,
            into: Reading | None = None) -> Export:
    """The same, written in the module's format."""
    export = export_of(pictures, raw, tmp_path, into)
    module.write(export)
    return export
