"""Taking files out of a downloaded archive, which is hostile until shown otherwise."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from tasks.base.errors import DataError
from tasks.base.files import CHUNK
from tasks.data.formats.record import safe_name

MAX_FILES = 2_000_000


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
        if member.flag_bits & 1:
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
