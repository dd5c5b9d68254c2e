"""What every archive must keep to, whatever its form: names, links, sizes. Members become plain files or nothing."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from tasks.base.errors import DataError
from tasks.base.files import CHUNK
from tasks.base.progress import Progress
from tasks.data.formats.record import safe_name

MAX_FILES = 2_000_000
NAME_BYTES = 255  # of one folder or file, on every common file system
PATH_BYTES = 3500  # Linux takes 4,096 with the folder that it is put into
# what macOS and Windows leave in archives and nobody means to send
JUNK = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
JUNK_FOLDER = "__MACOSX"
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")
BY_HAND = "unpack it with a tool that you trust and import the folder"


@dataclass(frozen=True)
class Limits:
    """How much an archive may become.

    Attributes:
        bytes: of all files together, and of a download.
        files: their number.
        ratio: unpacked to packed, of each member and of the whole, where that is more than `small` bytes.
    """

    bytes: int = 200 << 30
    files: int = MAX_FILES
    ratio: int = 200
    small: int = 1 << 20


@dataclass
class Unpacker:
    """Writes members below the empty folder `into`; refuses what does not keep to the limits.

    Attributes:
        total: bytes that `reached` counts up to.
        files, written: files and bytes that are there by now.
        junk: members that were left out, see `JUNK`.
        nested: archives inside the archive; they stay as they are.
    """

    archive: Path
    into: Path
    limits: Limits
    total: int = 0
    files: int = 0
    written: int = 0
    junk: int = 0
    nested: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._packed = self.archive.stat().st_size
        self._progress: Progress | None = None
        self._shown = 0
        self._names: dict[str, str] = {}
        self._folders: set[str] = set()

    def member(self, name: str) -> str | None:
        """The checked name of a file in the archive; None for junk.

        Raises:
            DataError: the name leaves the folder, is too long, is not UTF-8, or is there already in this or other case.
        """
        safe_name(name, self.at(name))
        path = PurePosixPath(name.replace("\\", "/"))
        if path.parts[0] == JUNK_FOLDER or path.name in JUNK or path.name.startswith("._"):
            self.junk += 1
            return None
        safe = self._that_fits(path)
        # some systems take these for one name, and would show one picture for the other
        key = unicodedata.normalize("NFC", safe).casefold()
        if key in self._names:
            other = self._names[key]
            said = "twice" if other == safe else f"and {other!r}: on some systems they are one file"
            raise DataError(f"the archive has {safe!r} {said}", where=self.archive.name, mend=BY_HAND)
        self._names[key] = safe
        if len(self._names) > self.limits.files:
            raise too_many(self.archive, self.limits)
        if safe.lower().endswith(ARCHIVES):
            self.nested.append(safe)
        return safe

    def declared(self, name: str, size: int, packed: int) -> None:
        """Judges what a header says of one file, before it is unpacked; headers lie, so `write` counts again."""
        if size > self.limits.small and size > self.limits.ratio * max(packed, 1):
            raise self._bomb(f"{size:,} bytes out of {packed:,}", name)
        if size > self.limits.bytes - self.written:
            raise self._bomb(f"more than {self.limits.bytes:,} bytes", name)

    def write(self, name: str, source: IO[bytes], size: int) -> None:
        """One file, whose header says `size` bytes.

        Raises:
            DataError: it has more or fewer, or all together are too many.
        """
        before = self.written
        with self._open(name) as out:
            while chunk := source.read(CHUNK):
                self._count(len(chunk), name)
                out.write(chunk)
        if (found := self.written - before) != size:
            raise DataError(f"the archive says {size:,} bytes, there are {found:,}", where=self.at(name),
                            mend="get the archive again")
        self.files += 1

    def at(self, name: str) -> str:
        return f"{self.archive.name}: {name!r}" if name else self.archive.name

    def refuse(self, what: str, name: str) -> DataError:
        """The error for a member that is no plain file."""
        return DataError(f"the archive has {what} in it", where=self.at(name), mend=BY_HAND)

    def _count(self, size: int, name: str) -> None:
        self.written += size
        if self.written > self.limits.bytes:
            raise self._bomb(f"more than {self.limits.bytes:,} bytes", name)
        self.proportionate(self.written, name)

    def proportionate(self, unpacked: int, name: str = "") -> None:
        """Compares what has come out so far with the archive's size."""
        if unpacked > self.limits.small and unpacked > self.limits.ratio * self._packed:
            raise self._bomb(f"more than {self.limits.ratio} times its size", name)

    def reached(self, position: int) -> None:
        """Tells how far it is, each MiB."""
        self._progress = self._progress or Progress((self.total >> 20) + 1, "unpacked, MiB")
        if (steps := (position - self._shown) // CHUNK) > 0:
            self._shown += steps * CHUNK
            self._progress.step(count=steps)

    def _that_fits(self, path: PurePosixPath) -> str:
        try:
            longest, whole = max(len(part.encode()) for part in path.parts), len(str(path).encode())
        except UnicodeEncodeError:
            raise DataError("a file name in the archive is not UTF-8", where=self.at(str(path)),
                            mend=f"{BY_HAND}; convmv renames files") from None
        if longest > NAME_BYTES or whole > PATH_BYTES:
            raise DataError(f"a file name in the archive is too long: {whole:,} bytes", where=self.at(str(path)),
                            mend=BY_HAND)
        return str(path)

    def _open(self, name: str) -> IO[bytes]:
        folder = name.rpartition("/")[0]
        try:
            if folder not in self._folders:
                (self.into / folder).mkdir(parents=True, exist_ok=True)
                self._folders.add(folder)
            return (self.into / name).open("xb")
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise DataError("a name in the archive is a file and a folder", where=self.at(name), mend=BY_HAND) from None

    def _bomb(self, what: str, name: str) -> DataError:
        return DataError(f"the archive unpacks to {what}", where=self.at(name), mend=f"if it must, {BY_HAND}")


def too_many(archive: Path, limits: Limits) -> DataError:
    return DataError(f"the archive has more than {limits.files:,} files", where=archive.name, mend=BY_HAND)
