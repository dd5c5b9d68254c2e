"""What a plug-in left, taken up with tongs: plain files alone, and words without the terminal's commands."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_plain(path: Path) -> BinaryIO:
    """A plain file for reading.

    Raises:
        OSError: it is not there, is a link or a pipe, or may not be read. A link may lead to any file, and who opens
            a pipe waits for its other end.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    return os.fdopen(handle, "rb")


def shown(text: str) -> str:
    """Text that can be printed: what would move the cursor or colour the screen is a dot."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "\N{MIDDLE DOT}" for letter in text)
