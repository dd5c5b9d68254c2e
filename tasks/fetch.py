"""Stage `fetch`: brings the pictures of a catalogue entry into the workspace, checksum verified."""

from __future__ import annotations

from pathlib import Path

from tasks.base.files import folder_atomic
from tasks.base.params import Params as Section
from tasks.data.catalogue import obtain, read_entry
from tasks.data.table import full_disk_is_told


class Params(Section):
    """Section `fetch` of params.yaml."""

    dataset: str = "digits"


def run(params: Params, *, out: Path) -> None:
    """Fill `out` with the entry's files and a SOURCE.txt: the same bytes whichever place they came from.

    Raises:
        ParamsError: no such entry. UserError: no place has it. DataError: the disk is full.
    """
    entry = read_entry(params.dataset)
    with full_disk_is_told(out), folder_atomic(out) as new:
        place = obtain(params.dataset, entry, new)
        files = sum(1 for path in new.rglob("*") if path.is_file())
    print(f"{params.dataset}: {entry.title}; {entry.licence}; {files} files from {place}")
