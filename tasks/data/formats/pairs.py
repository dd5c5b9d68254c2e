"""A test picture and the golden picture that it is compared with: DeepPCB's folders, `pairs.csv`, or `A/ B/ label/`.

DeepPCB (https://github.com/tangsanli5201/DeepPCB): `<id>_test.jpg` beside `<id>_temp.jpg`, boxes in
`<folder>_not/<id>.txt`, lists `trainval.txt` and `test.txt`. `A` (before, golden), `B` (after, test) and `label`
(masks) are the folders of change detection. `pairs.csv` has the columns `test` and `reference`, and may have `label`,
`mask`, `class`, `split` and `group`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import PurePosixPath

from tasks.data.formats._layout import has_file
from tasks.data.formats._lines import peek
from tasks.data.formats._pairs_boards import LISTS, TEMP, TEST, listed, read_boards
from tasks.data.formats._pairs_changes import bases, read_changes
from tasks.data.formats._pairs_table import NAME, is_table, read_table
from tasks.data.formats._pairs_write import CARRIES, write
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Picture, Reading, Source, split_in_name

__all__ = ["CARRIES", "EXPECTED", "TITLE", "find", "read", "write"]

TITLE = "pairs"
EXPECTED = "pairs.csv with columns test,reference; DeepPCB's *_test.jpg beside *_temp.jpg; or A/, B/ and label/"


def find(index: FolderIndex) -> list[Source]:
    """Tables of pairs, folders of boards, folders of changes; where a table is, it is meant."""
    tables = [file for file in index.files if posixpath.basename(file) == NAME and is_table(index.root / file)]
    if tables:
        return [Source("pairs", index.root / file, None) for file in tables]
    return [Source("pairs", index.root / folder, split_in_name(PurePosixPath(folder)))
            for folder in (_boards(index) or bases(index))]


def read(index: FolderIndex, source: Source, into: Reading) -> Iterator[Picture]:
    """The test pictures of a source with their references.

    Raises:
        DataError: a list, a table or a file of boxes is damaged, or names a picture outside the folder.
    """
    into.problem = "pairs"
    here = source.path.relative_to(index.root).as_posix()
    if source.path.name == NAME:
        yield from read_table(index, here, into)
    elif here in bases(index):
        yield from read_changes(index, here, source.split, into)
    else:
        yield from read_boards(index, here, into)


def _boards(index: FolderIndex) -> list[str]:
    """The folders of lists of boards, or what all boards have in common."""
    stems = [file for file in index.pictures() if posixpath.splitext(file)[0].endswith(TEMP)]
    folders = [posixpath.dirname(file) for file in stems
               if has_file(index, f"{file[:-len(posixpath.splitext(file)[1])].removesuffix(TEMP)}{TEST}"
                                  f"{posixpath.splitext(file)[1]}")]
    if not folders:
        return []
    lists = [file for file in index.with_suffix(".txt") if posixpath.basename(file) in LISTS
             and listed(next(iter(peek(index.root / file)), ""))]
    found = sorted({posixpath.dirname(file) or "." for file in lists})
    return found or [posixpath.commonpath(folders) or "."]
