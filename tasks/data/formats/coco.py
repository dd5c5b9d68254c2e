"""COCO JSON: one file a split, or one for all. Read as a stream: memory holds ids and names, not rows.

`images` and `annotations` may stand in any order with `categories`; where annotations come before what they refer to,
the file is read twice. Keys that COCO does not define are kept as attributes and written again.
"""

from __future__ import annotations

from collections.abc import Iterator

from tasks.data.formats._coco_find import find
from tasks.data.formats._coco_read import CocoFile
from tasks.data.formats._coco_write import CARRIES, write
from tasks.data.formats._jsonstream import CHUNK, JsonStream
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import More, Picture, Reading, Source

__all__ = ["CARRIES", "EXPECTED", "TITLE", "find", "read", "write"]

TITLE = "COCO"
EXPECTED = 'a JSON file with "images", "annotations" and "categories", e.g. annotations/instances_train.json'


def read(index: FolderIndex, source: Source, into: Reading, chunk: int = CHUNK) -> Iterator[Picture | More]:
    """The pictures of one file in its order, without boxes; then boxes in small lots.

    Args:
        into: takes all categories, used or not, with their ids and keypoints.
        chunk: characters read at once.

    Raises:
        DataError: the file is not COCO JSON, is cut off, or names a picture outside the folder.
    """
    file = CocoFile(index, source, into)
    with JsonStream(source.path, file.here, chunk) as stream:
        yield from file.first(stream)
    if not file.done:
        with JsonStream(source.path, file.here, chunk) as stream:
            yield from file.again(stream)
