"""One line that says how far a long step is and how long it still takes."""

from __future__ import annotations

import sys
import time


class Progress:
    """Counts steps and prints `label 12/60 (20 %), 1 min 20 s left` to standard error, at most every `every` seconds.

    Args:
        total: number of steps, at least 1.
        label: what is being counted.
        every: seconds between two lines; the first and the last step always print.
    """

    def __init__(self, total: int, label: str, every: float = 5.0) -> None:
        self.total, self.label, self.every = max(total, 1), label, every
        self.done, self.start, self.printed = 0, time.monotonic(), 0.0

    def step(self, note: str = "", count: int = 1) -> None:
        self.done += count
        now = time.monotonic()
        if self.done < self.total and self.done > count and now - self.printed < self.every:
            return
        self.printed = now
        left = (now - self.start) / self.done * (self.total - self.done)
        tail = f", {duration(left)} left" if self.done < self.total else f", took {duration(now - self.start)}"
        percent = 100 * self.done // self.total
        print(f"{self.label} {self.done}/{self.total} ({percent} %){tail}{'  ' + note if note else ''}",
              file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """`75.2` → `1 min 15 s`."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"
