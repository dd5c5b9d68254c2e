"""Lock files that one process holds; they go with it, however it ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.base.errors import VisionmillError


@contextmanager
def held_alone(path: Path, busy: Callable[[str], VisionmillError]) -> Iterator[None]:
    """Hold a lock file for the length of the block, without waiting; in it stands who holds it.

    Args:
        path: made where it is missing, with its folder.
        busy: makes the error of one who comes second from what the first wrote, "PID 12, since 14:05:09"; empty where
            it has written nothing yet.

    Raises:
        VisionmillError: another process holds it: what `busy` made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise busy(file.read().strip()) from None
        file.truncate(0)
        print(f"PID {os.getpid()}, since {time.strftime('%H:%M:%S')}", file=file, flush=True)
        try:
            yield
        finally:
            file.truncate(0)
