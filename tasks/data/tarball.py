"""Tar archives, read once from front to back; nothing is left to `tarfile` but to say what is there."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO, Any, cast

from tasks.base.errors import DataError
from tasks.base.files import CHUNK
from tasks.data.unpacking import BY_HAND, Unpacker

DAMAGED = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError, RecursionError)
OPENERS: dict[str, Any] = {"": lambda file: file, "gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}
# tarfile reads long names and extended headers into memory, however large they say they are
LARGEST_HEADER = 1 << 16
# its pattern for extended headers takes quadratic time on a row of digits (CVE-2024-6232)
MANY_DIGITS = re.compile(rb"\d{64}")


def unpack_tar(kind: str, unpacker: Unpacker) -> None:
    """Write the files of a tar archive.

    Args:
        kind: its compression: `gz`, `bz2`, `xz`, or empty for none.

    Raises:
        DataError: a link, a device, a name or a size that is refused, or no sound tar archive.
    """
    unpacker.total = unpacker.archive.stat().st_size
    try:
        with unpacker.archive.open("rb") as packed:
            stream = Forward(cast(IO[bytes], OPENERS[kind](packed)), packed, unpacker)
            with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r:", encoding="utf-8") as opened:
                for member in _members(opened, stream):
                    _unpack(opened, member, unpacker)
            stream.ended()
    except DAMAGED as error:
        raise _damaged(unpacker, error) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(unpacker, error) from None  # gzip and bz2 say so of bad data


class Forward(io.RawIOBase):
    """An archive's bytes, front to back, counted. Headers, as long as `heading` is set, are short.

    Args:
        source: the bytes; `packed` is the file that they are unpacked from.
    """

    def __init__(self, source: IO[bytes], packed: IO[bytes], unpacker: Unpacker) -> None:
        self._source, self._packed, self._unpacker = source, packed, unpacker
        self._at, self._last = 0, b""
        self.heading = True

    def read(self, size: int = -1) -> bytes:
        if self.heading and not 0 <= size <= LARGEST_HEADER:
            raise self._refused(f"a header of {size:,} bytes")
        self._last = content = self._source.read(size)
        self._at += len(content)
        if self.heading and MANY_DIGITS.search(content):
            raise self._refused("a header of digits")
        self._unpacker.proportionate(self._at)
        self._unpacker.reached(self._packed.tell())
        return content

    def tell(self) -> int:
        return self._at

    def seek(self, to: int, whence: int = 0) -> int:
        if whence or to < self._at:
            raise tarfile.ReadError("a header points backwards")
        heading, self.heading = self.heading, False
        while self._at < to and self.read(min(CHUNK, to - self._at)):
            pass
        self.heading = heading
        return self._at

    def ended(self) -> None:
        """Raises ReadError where tarfile stopped at a damaged header, which it does without a word."""
        if self._last.strip(b"\0") or len(self._last) % tarfile.BLOCKSIZE:
            raise tarfile.ReadError(f"no header where one should be, {self._at - len(self._last):,} bytes in")

    def _refused(self, what: str) -> DataError:
        return DataError(f"the archive has {what} in it", where=self._unpacker.archive.name, mend=BY_HAND)


def _members(opened: tarfile.TarFile, stream: Forward) -> Iterator[tarfile.TarInfo]:
    while (member := opened.next()) is not None:
        stream.heading = False
        yield member
        stream.heading = True
        opened.members = []  # type: ignore[attr-defined]  # it would keep all that it has seen


def _unpack(opened: tarfile.TarFile, member: tarfile.TarInfo, unpacker: Unpacker) -> None:
    if member.isdir():
        return
    if member.issym() or member.islnk():
        raise unpacker.refuse("a link", member.name)
    if not member.isreg() or member.issparse():
        raise unpacker.refuse("a sparse file" if member.issparse() else "a device or a pipe", member.name)
    name, content = unpacker.member(member.name), opened.extractfile(member)
    if name is not None and content is not None:
        unpacker.declared(name, member.size, member.size)
        unpacker.write(name, content, member.size)


def _damaged(unpacker: Unpacker, error: Exception) -> DataError:
    return DataError(f"not a tar archive, or a damaged one: {error}", where=unpacker.archive.name,
                     mend=f"get it again, or {BY_HAND}")
