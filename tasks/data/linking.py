"""A second name for a file's bytes: shared blocks or a hard link where the file system can, else a copy."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

FICLONE = 0x40049409


def clone(source: Path, target: Path) -> bool:
    """Make `target` share the blocks of `source` (reflink); False, and no file, where the file system cannot."""
    with source.open("rb") as old, target.open("xb") as new:
        try:
            fcntl.ioctl(new.fileno(), FICLONE, old.fileno())
            return True
        except OSError:
            pass
    target.unlink()
    return False


def clone_or_copy(source: Path, target: Path) -> None:
    """A file of its own: writing to one does not change the other."""
    if not clone(source, target):
        shutil.copyfile(source, target)


def link_or_copy(source: Path, target: Path) -> None:
    """Reflink, else hard link, else copy. For files that are read-only by agreement: a hard link shares writes."""
    if clone(source, target):
        return
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
