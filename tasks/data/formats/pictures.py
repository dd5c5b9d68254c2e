"""Pictures without labels: a pool. Every picture of a folder and of the folders below it, whatever lies beside them.

Read only when it is asked for: any folder of any other format would be one too. Every picture is decoded, since nothing
looks at a pool again before a model does; a damaged one is told, and left out where that kind is allowed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tasks.base.errors import DataError
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Note, Picture, Reading, Source
from tasks.data.pictures import SUFFIXES, find_flaws

if TYPE_CHECKING:
    from tasks.data.exporting import Export

TITLE = "pictures without labels"
EXPECTED = "*.jpg, *.png, … in any folders; read only with --format pictures"
CARRIES: frozenset[str] = frozenset()


def find(index: FolderIndex) -> list[Source]:
    """The folder itself.

    Raises:
        DataError: it has no picture.
    """
    if not index.pictures():
        raise DataError(f"no picture among {len(index.files):,} files", where=index.root,
                        mend=f"what counts as one ends with {', '.join(sorted(SUFFIXES))}")
    return [Source("pictures", index.root, None)]


def read(index: FolderIndex, source: Source, into: Reading) -> Iterator[Picture]:
    """Every picture that can be decoded, without labels; of each of the others a note.

    Raises:
        DataError: none can be decoded.
    """
    files, sound = index.pictures(), 0
    for file, flaw in zip(files, find_flaws(index.root / file for file in files), strict=True):
        if flaw is None:
            sound += 1
            yield Picture(file, None, None, file)
        else:
            into.notes.append(Note(flaw[0], file, "", flaw[1], file))
    if not sound:
        kind, reason = into.notes[-1].kind.replace("_", " "), into.notes[-1].detail
        raise DataError(f"none of the {len(files):,} pictures can be read; the last is {kind}: {reason}",
                        where=index.root / files[-1], mend="replace them, or name another folder")


def write(export: Export) -> None:
    """The pictures alone, in the folders that the table names; annotations are lost, and counted."""
    for row in export.rows():
        export.lose("annotations", len(row.boxes))
        export.place(row.image, str(row.image["file"]))
