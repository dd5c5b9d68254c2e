"""Taking files out of an archive, which is hostile until shown otherwise."""

from __future__ import annotations

import contextlib
import errno
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from tasks.base.errors import DataError
from tasks.base.files import CHUNK
from tasks.data.formats.record import safe_name
from tasks.data.tarball import unpack_tar
from tasks.data.unpacking import BY_HAND, MAX_FILES, Limits, Unpacker, too_many

MAGIC = {b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\0": "xz",
         b"\x28\xb5\x2f\xfd": "zst", b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!": "rar"}
TAR_MAGIC, TAR_MAGIC_AT = b"ustar", 257
END, END_BYTES = b"PK\x05\x06", 22  # of a zip's directory; a comment of at most 65,535 bytes may follow
ENTRY = b"PK\x01\x02"
ENCRYPTED = 0x1 | 0x40 | 0x2000
UTF_8 = 0x800
REPARSE_POINT = 0x400  # Windows' links


def unpack(archive: Path, into: Path, limits: Limits | None = None) -> Unpacker:
    """Write all files of a zip or tar archive below the empty folder `into`, and nothing anywhere else.

    Returns:
        What was written and what was left out.

    Raises:
        DataError: it is neither, damaged, or has what no data set needs: names that leave the folder or differ only
            in case, links, devices, encryption, more than `limits` allow. Some files may have been written by then.
    """
    kind = archive_kind(archive)
    unpacker = Unpacker(archive, into, limits or Limits())
    if kind == "zip":
        _unpack_zip(unpacker)
    elif kind in ("tar", "gz", "bz2", "xz"):
        unpack_tar(kind.replace("tar", ""), unpacker)
    else:
        with archive.open("rb") as file:
            begins = file.read(40)
        what = f"{kind} archives are not read" if kind else f"not a zip or tar archive: it begins with {begins!r}"
        raise DataError(what, where=archive.name, mend=BY_HAND)
    return unpacker


def archive_kind(file: Path) -> str | None:
    """What a file's first bytes say: `zip`, `tar`, `gz`, `bz2`, `xz`, `zst`, `7z`, `rar`, or None."""
    with file.open("rb") as opened:
        head = opened.read(TAR_MAGIC_AT + len(TAR_MAGIC))
    if head[TAR_MAGIC_AT:] == TAR_MAGIC:
        return "tar"
    return next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), None)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a relative name fits one of the patterns, folder by folder: `*` does not cross a slash."""
    parts = PurePosixPath(name).parts
    return any(len(parts) == len(wanted := PurePosixPath(pattern).parts)
               and all(map(fnmatchcase, parts, wanted)) for pattern in patterns)


def unpack_zip(archive: Path, folder: Path, patterns: Sequence[str], roots: Sequence[str], max_bytes: int) -> None:
    """Write the members that fit `patterns` below `folder`, and nothing else.

    Args:
        patterns: names that are wanted, relative to a root.
        roots: folders of the archive, below its one top folder if it has one; the first that has a name gives it.
        max_bytes: of all that is unpacked together.

    Raises:
        DataError: a name that leaves the folder, a link, an encrypted member, too many files, too many bytes.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            _refuse(members, archive)
            wanted = _wanted([safe_name(member.filename, archive.name) for member in members], patterns, roots)
            left = max_bytes
            for target, position in sorted(wanted.items()):
                left = _extract(opened, members[position], folder / target, left)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise DataError(f"not a zip archive: {error}", where=archive.name, mend="download it again") from None


def _refuse(members: list[zipfile.ZipInfo], archive: Path) -> None:
    if len(members) > MAX_FILES:
        raise DataError(f"the archive has {len(members)} files, more than {MAX_FILES}", where=archive.name)
    for member in members:
        mode = member.external_attr >> 16
        if mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode):
            raise DataError("the archive has a link or a device in it", where=f"{archive.name}: {member.filename}")
        if not mode and member.external_attr & REPARSE_POINT:
            raise DataError("the archive has a link or a device in it", where=f"{archive.name}: {member.filename}")
        if member.flag_bits & ENCRYPTED:
            raise DataError("the archive is encrypted", where=f"{archive.name}: {member.filename}")


def _wanted(names: list[str], patterns: Sequence[str], roots: Sequence[str]) -> dict[str, int]:
    tops = {PurePosixPath(name).parts[0] for name in names}
    nested = all(len(PurePosixPath(name).parts) > 1 for name in names)
    top = PurePosixPath(tops.pop()) if len(tops) == 1 and nested else PurePosixPath()
    found: dict[str, int] = {}
    for root in roots:
        base = top / root
        for position, name in enumerate(names):
            path = PurePosixPath(name)
            if path.is_relative_to(base) and matches(inner := path.relative_to(base).as_posix(), patterns):
                found.setdefault(inner, position)
    return found


def _extract(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, left: int) -> int:
    """Bytes that may still be written. The header's size is not believed: what comes out is counted."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(member) as source, target.open("xb") as out:
        while chunk := source.read(CHUNK):
            left -= len(chunk)
            if left < 0:
                raise DataError("the archive unpacks to more than the catalogue allows", where=member.filename)
            out.write(chunk)
    return left


def _unpack_zip(unpacker: Unpacker) -> None:
    archive = unpacker.archive
    if _entries(archive) > unpacker.limits.files:
        raise too_many(archive, unpacker.limits)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.orig_filename.endswith(("/", "\\"))]
            _refuse(members, archive)
            for name, member in _checked(members, unpacker):
                with opened.open(member) as source:
                    unpacker.write(name, source, member.file_size)
                unpacker.reached(unpacker.written)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error, lzma.LZMAError, ValueError, struct.error,
            OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # of an offset that cannot be
            raise
        raise DataError(f"not a zip archive, or a damaged one: {error}", where=archive.name,
                        mend=f"get it again, or {BY_HAND}") from None


def _entries(archive: Path) -> int:
    """At most so many files are in a zip: a list of them takes memory, so they are counted before."""
    with archive.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(max(0, end - END_BYTES - 0xFFFF))
        tail = file.read()
        at = tail.rfind(END)
        size = int.from_bytes(tail[at + 12: at + 16], "little")
        if tail[at - 20: at].startswith(b"PK\x06\x07"):  # zip64: the locator of a record that has the true size
            file.seek(min(end, int.from_bytes(tail[at - 12: at - 4], "little")))
            size = int.from_bytes(file.read(56)[40:48], "little")
        # the directory ends in the tail, or where it begins
        file.seek(max(0, end - len(tail) - size))
        found, last = 0, b""
        while at >= 0 and (chunk := file.read(CHUNK)):
            found += (last + chunk).count(ENTRY)
            last = chunk[-len(ENTRY) + 1:]
        return found


def _checked(members: list[zipfile.ZipInfo], unpacker: Unpacker) -> list[tuple[str, zipfile.ZipInfo]]:
    """The files to be written and their names: all are judged before the first is written."""
    wanted = []
    for member in members:
        name = unpacker.member(_name(member))
        if name is not None:
            unpacker.declared(name, member.file_size, member.compress_size)
            unpacker.total += member.file_size
            wanted.append((name, member))
    unpacker.declared("", unpacker.total, unpacker.archive.stat().st_size)
    return wanted


def _name(member: zipfile.ZipInfo) -> str:
    """The name as meant: most tools write UTF-8 and not all say so, which zipfile takes for code page 437."""
    name = member.orig_filename
    if not member.flag_bits & UTF_8:
        with contextlib.suppress(UnicodeError):
            return name.encode("cp437").decode()
    return name
