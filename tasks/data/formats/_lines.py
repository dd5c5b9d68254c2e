"""Text files from outside, a line at a time: UTF-8, of limited size; and numbers as text that is read back equal."""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from tasks.base.errors import DataError

MAX_BYTES = 16 << 20
PEEKED = 1 << 16
# C's white space; a class name may hold the other kinds
FIELD = re.compile(r"[^ \t\r\f\v]+")


def read_text(path: Path, here: str, limit: int = MAX_BYTES) -> str:
    """A whole text file, without a byte order mark.

    Raises:
        DataError: it is larger than `limit`, or it is not UTF-8 text.
    """
    if path.stat().st_size > limit:
        raise DataError(f"the file has more than {limit >> 10:,} KiB", where=here, mend="split or remove that file")
    content = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError("not UTF-8 text", where=f"{here}:{line}", mend=f"iconv -f LATIN1 -t UTF-8 {here}") from None
    if "\0" in text:
        raise DataError("not a text file: it has NUL bytes", where=here, mend="save it as UTF-8, or remove it")
    return text


def numbered(path: Path, here: str) -> Iterator[tuple[int, list[str]]]:
    """The lines that are not blank: number from 1, and fields apart by white space.

    Raises:
        DataError: as `read_text`.
    """
    for number, line in enumerate(read_text(path, here).split("\n"), 1):
        if fields := FIELD.findall(line):
            yield number, fields


def peek(path: Path) -> list[str]:
    """The first whole lines of a file, none where it is not text; what is not UTF-8 is replaced."""
    with path.open("rb") as file:
        content = file.read(PEEKED).removeprefix(codecs.BOM_UTF8)
    lines = content.split(b"\n")
    whole = lines if len(content) < PEEKED - len(codecs.BOM_UTF8) else lines[:-1]
    return [] if b"\0" in content else [line.decode("utf-8", "replace") for line in whole]


def decimal(value: float, same: Callable[[float], bool], least: int) -> str:
    """`value` as text with `least` decimals or more, so that `same` is true of what is read from it where it can be."""
    if math.isfinite(value) and abs(value) < 1e15:
        for places in range(least, 16, 3):
            if same(float(text := f"{value:.{places}f}")):
                whole, point, part = text.partition(".")
                return whole + point + part.rstrip("0").ljust(least, "0")
        for near in (value, math.nextafter(value, math.inf), math.nextafter(value, -math.inf)):
            if same(near):
                return repr(near)
    return repr(value)
