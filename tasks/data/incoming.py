"""What a person gives to import: a folder, an archive, or a URL. What comes out is a folder."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from tasks.base.errors import DataError
from tasks.data.archive import unpack
from tasks.data.download import TIMEOUT_S, download, is_url
from tasks.data.table import full_disk_is_told
from tasks.data.unpacking import Limits, Unpacker


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def bring(source: str, into: Path, limits: Limits | None = None, *, allow_private: bool = False,
          timeout: float = TIMEOUT_S, tell: Callable[[str], None] = _say) -> Path:
    """The folder that has the files of `source`.

    A folder is given back as it is. An archive (zip, tar, tar.gz, tar.bz2, tar.xz) is unpacked to `into`, which must be
    empty or not there, and which is left empty if that fails. A URL is downloaded beside `into` first; what is there of
    it when that fails is kept, and the next call goes on from there.

    Args:
        source: a path, or an http or https URL of an archive.
        limits: how much an archive may become; what is usual by default.
        allow_private: a URL may name a host of a private network, or of this machine.
        timeout: seconds without a byte after which a download is given up.
        tell: takes lines on what was left out.

    Raises:
        DataError: nothing is there, it is no archive, or one with something in it that no data set needs.
    """
    limits = limits or Limits()
    if "://" not in source:
        given = Path(source).expanduser()
        if given.is_dir():
            return given
        _unpack(given, _empty(into), limits, tell)
        return into
    if not is_url(source):
        raise DataError(f"{source.partition(':')[0]}: is not a way to get files", where=source.partition(":")[0] + "://…",
                        mend="give an http or https URL, or a path")
    _empty(into)
    archive = into.with_name(_waiting_name(source))
    with full_disk_is_told(into):
        download(source, archive, max_bytes=limits.bytes, timeout=timeout, allow_private=allow_private)
    try:
        _unpack(archive, into, limits, tell)
    finally:
        archive.unlink(missing_ok=True)
    return into


def _waiting_name(url: str) -> str:
    """The same for the same URL, so that a download is gone on with; the rest is for people."""
    last = re.sub(r"[^\w.-]", "", urlsplit(url).path.rpartition("/")[2])[-80:]
    return f".{sha256(url.encode()).hexdigest()[:12]}-{last}"


def _empty(into: Path) -> Path:
    into.mkdir(parents=True, exist_ok=True)
    if any(into.iterdir()):
        raise DataError("the folder for the files is not empty", where=into, mend="name another one, or remove it")
    return into


def _unpack(archive: Path, into: Path, limits: Limits, tell: Callable[[str], None]) -> None:
    if not archive.is_file():
        raise DataError("no such folder or archive", where=archive, mend="give a folder, a zip or tar file, or a URL")
    try:
        with full_disk_is_told(into):
            _report(unpack(archive, into, limits), tell)
    except BaseException:
        for path in into.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise


def _report(done: Unpacker, tell: Callable[[str], None]) -> None:
    if not done.files:
        raise DataError("the archive is empty", where=done.archive.name, mend="give an archive with pictures in it")
    tell(f"unpacked {done.files:,} files, {done.written / 1e6:,.1f} MB")
    if done.junk:
        tell(f"left out {done.junk:,} files that macOS and Windows leave in archives")
    if done.nested:
        names = ", ".join(done.nested[:5]) + (", …" if len(done.nested) > 5 else "")
        tell(f"{len(done.nested):,} archives in the archive stay packed: {names}")
