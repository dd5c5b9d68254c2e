"""`monitor.txt`: how far an executor is, and what went wrong. One record, written anew each time."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

from tasks.base.files import write_atomic
from tasks.plugins.plain import open_plain, shown

PENDING, RUNNING, DONE, ERROR = 1, 2, 3, 4
MOST = 1 << 20  # bytes of it that are read
LINES = 100
CODES = {
    160004: "the executor failed",
    300001: "its configuration is wrong",
    300002: "the data set is wrong",
    300003: "a picture is of a form that it does not read",
    300004: "the model cannot be used",
    300101: "CUDA failed",
    300102: "there is no GPU",
    300103: "out of memory",
    300201: "the loss is not a number",
    300301: "the network cannot be reached",
}
CONFIG, DATA, PICTURE, MODEL, MEMORY, NOT_A_NUMBER, FAILED = 300001, 300002, 300003, 300004, 300103, 300201, 160004


@dataclass(frozen=True)
class Record:
    """What a monitor file says: share done 0..1, state, error code, message, and the free text after it."""

    task: str
    share: float
    state: int
    code: int | None = None
    message: str = ""
    text: str = ""

    @property
    def failed(self) -> bool:
        return self.state == ERROR

    def explained(self) -> str:
        """The error in words."""
        known = CODES.get(self.code or 0, f"error {self.code}" if self.code else "it reports an error")
        return f"{known}{f' ({self.code})' if self.code in CODES else ''}{f': {self.message}' if self.message else ''}"


def parse(content: str) -> Record | str:
    """The record of a monitor file, or what is wrong with it."""
    head, _, text = content.partition("\n")
    cells = head.split("\t")
    if len(cells) < 4:
        return f"its first line has {len(cells)} parts between tabs, expected task, time, share and state"
    try:
        stamp, share, state = float(cells[1]), float(cells[2]), int(float(cells[3]))
        code = int(float(cells[4])) if len(cells) > 4 and cells[4].strip() else None
    except (ValueError, OverflowError):
        return f"its first line has words where numbers belong: {head[:200]!r}"
    if not math.isfinite(stamp) or not 0 <= share <= 1:
        return f"a share of {cells[2]} or a time of {cells[1]}: 0 to 1, and seconds, belong there"
    if state not in (PENDING, RUNNING, DONE, ERROR):
        return f"state {state}: 1 pending, 2 running, 3 done or 4 error belongs there"
    lines = text.splitlines()[:LINES]
    return Record(cells[0], share, state, code or None, " ".join(cells[5:]).strip()[:2000], "\n".join(lines))


def read(path: Path) -> Record | str | None:
    """What stands in a monitor file; None where there is none, words where it is wrong."""
    try:
        with open_plain(path) as file:
            content = shown(file.read(MOST).decode("utf-8", "replace"))
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    # it is being written: nothing yet
    return parse(content) if content.strip() else None


def write(path: Path, task: str, share: float, state: int = RUNNING, code: int | None = None, message: str = "",
          text: str = "") -> None:
    """Write the record, in one step."""
    tail = f"\t{code}\t{' '.join(message.split())}" if code is not None else ""
    more = "".join(f"{line}\n" for line in text.splitlines()[-LINES:])
    write_atomic(path, f"{task}\t{time.time():.6f}\t{min(max(share, 0.0), 1.0):.4f}\t{state}{tail}\n{more}")


class Watch:
    """Looks at a monitor file again and again.

    Attributes:
        record: the last sound record.
        flaws: what was wrong with it, each once.
        seen: how many different records there were.
        backwards: how often the share fell.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record: Record | None = None
        self.flaws: list[str] = []
        self.seen = self.backwards = 0

    def look(self) -> Record | None:
        """The record where it is a new one."""
        found = read(self.path)
        if isinstance(found, str):
            # a file that is being written may be cut anywhere: what stays wrong is told at the end
            self.flaws = [found]
            return None
        if found is None or found == self.record:
            return None
        self.flaws = []
        self.seen += 1
        self.backwards += self.record is not None and found.share < self.record.share
        self.record = found
        return found
