"""TensorFlow's object detection records: frames of protobuf `Example`, read without TensorFlow.

The picture in a record is not unpacked: it is looked for by `image/filename`. See
https://www.tensorflow.org/tutorials/load_data/tfrecord for the frames (length, its checksum, data, its checksum) and
https://protobuf.dev/programming-guides/encoding for what is in them.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO

from tasks.base.errors import DataError
from tasks.data.formats._lines import read_text
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, Note, Picture, Reading, number, safe_name, split_in_name

SUFFIX, SIGN = ".tfrecord", b"image/"
PEEKED = 0
MAX_RECORD = 256 << 20
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
LONGEST_VARINT = 10
# shares are 32-bit floats: seven digits of a few thousand pixels
DIGITS = 3
ITEM = re.compile(r"item\s*\{(.*?)\}", re.DOTALL)
Value = bytes | float | int
Features = dict[str, list[Value]]


def read(index: FolderIndex, here: str, into: Reading) -> Iterator[Picture]:
    """The pictures of one file; a label map (`*.pbtxt`) in its folder declares the classes.

    Raises:
        DataError: a frame is cut off or is no `Example`, or it names a picture outside the folder.
    """
    split = split_in_name(PurePosixPath(here))
    for file in index.with_suffix(".pbtxt"):
        if PurePosixPath(file).parent == PurePosixPath(here).parent:
            into.ids.update(_label_map(read_text(index.root / file, file)))
            into.labels.update(into.ids)
    with (index.root / here).open("rb") as records:
        for place, data in enumerate(_frames(records, here)):
            row = f"{here}#record {place}"
            try:
                features = _features(data)
            except (ValueError, IndexError, struct.error) as error:
                raise DataError(f"not a record of TensorFlow's Example: {error}", where=row,
                                mend="write the file again") from None
            yield from _picture(index, here, place, features, split, into)


def _picture(index: FolderIndex, here: str, place: int, features: Features, split: str | None,
             into: Reading) -> Iterator[Picture]:
    row = f"{here}#record {place}"
    name = safe_name(next(iter(_texts(features, "image/filename")), ""), row)
    file = index.find(name, PurePosixPath(here).parent, split, row)
    if file is None:
        detail = f"there is no picture {name!r}; the one in the record is not unpacked"
        into.notes.append(Note("missing_picture", here, f"record {place}", detail))
        return
    width, height = (number(next(iter(features.get(f"image/{side}", ())), None)) for side in ("width", "height"))
    edges = [[number(value) for value in features.get(f"image/object/bbox/{edge}", ())]
             for edge in ("xmin", "ymin", "xmax", "ymax")]
    names = _texts(features, "image/object/class/text") or _named(features.get("image/object/class/label", []), into)
    if len({len(names), *map(len, edges)}) > 1:
        raise DataError("the lists of edges and of classes differ in length", where=row, mend="write the file again")
    boxes = [Box(name.strip(), round(left * width, DIGITS), round(top * height, DIGITS),
                 round((right - left) * width, DIGITS), round((bottom - top) * height, DIGITS), f"{row}, box {i}")
             for i, (name, left, top, right, bottom) in enumerate(zip(names, *edges, strict=True))]
    for column, flags in (("difficult", "image/object/difficult"), ("iscrowd", "image/object/is_crowd")):
        for box, flag in zip(boxes, features.get(flags, ()), strict=False):
            setattr(box, column, flag == 1)
    yield Picture(file, split, (width, height), row, boxes)


def _named(numbers: list[Value], into: Reading) -> list[str]:
    names: dict[Value, str] = {number: name for name, number in into.ids.items()}
    return [names.get(value, "") for value in numbers]


def _frames(file: BinaryIO, here: str) -> Iterator[bytes]:
    number = 0
    while head := file.read(12):
        size = struct.unpack_from("<Q", head.ljust(12, b"\xff"))[0]
        data = file.read(size + 4) if size <= MAX_RECORD else b""
        if len(data) < size + 4 or len(head) < 12:
            raise DataError("the record is cut off, or this is no file of TensorFlow's records",
                            where=f"{here}#record {number}", mend="fetch or write the file again")
        yield data[:size]
        number += 1


def _features(data: bytes) -> Features:
    """`Example.features.feature`: a name and a list of bytes, floats or integers each."""
    found: Features = {}
    for features in _fields(data, 1):
        for entry in _fields(features, 1):
            name = b"".join(_fields(entry, 1)).decode("utf-8")
            for value in _fields(entry, 2):
                found[name] = [*_fields(_first(value, 1), 1), *_floats(_first(value, 2)), *_integers(_first(value, 3))]
    return found


def _fields(data: bytes, wanted: int) -> list[bytes]:
    """The fields of a message that have this number and are bytes."""
    return [value for number, value in _all_fields(data) if number == wanted and isinstance(value, bytes)]


def _all_fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        kind = key & 7
        if kind == VARINT:
            value, place = _varint(data, place)
            yield key >> 3, value
            continue
        size = {FIXED64: 8, FIXED32: 4}.get(kind)
        if size is None and kind == BYTES:
            size, place = _varint(data, place)
        if size is None or place + size > len(data):
            raise ValueError("a field is cut off or of an unknown kind")
        yield key >> 3, data[place:place + size]
        place += size


def _first(data: bytes, wanted: int) -> bytes:
    return next(iter(_fields(data, wanted)), b"")


def _floats(data: bytes) -> list[float]:
    joined = b"".join(_fields(data, 1))
    return list(struct.unpack(f"<{len(joined) // 4}f", joined))


def _integers(data: bytes) -> list[int]:
    values: list[int] = []
    for value in (value for key, value in _all_fields(data) if key == 1):
        if isinstance(value, int):
            values.append(value)
        else:
            place = 0
            while place < len(value):
                one, place = _varint(value, place)
                values.append(one)
    return values


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(LONGEST_VARINT):
        byte = data[place + shift]
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, place + shift + 1
    raise ValueError("a number of more than ten bytes")


def _texts(features: Features, name: str) -> list[str]:
    return [value.decode("utf-8", "replace") for value in features.get(name, ()) if isinstance(value, bytes)]


def _label_map(text: str) -> dict[str, int]:
    found = {}
    for item in ITEM.findall(text):
        name = re.search(r"\bname\s*:\s*(['\"])(.*?)\1", item)
        number_ = re.search(r"\bid\s*:\s*(\d{1,9})\b", item)
        if name and number_ and name[2].strip():
            found[name[2].strip()] = int(number_[1])
    return found
