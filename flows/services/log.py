"""One log for all services in the terminal, and a whole one for each below `.visionmill/logs/`."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import IO, TextIO

COLOURS = {"prefect": 36, "mlflow": 35, "worker": 32, "watch": 33, "label-studio": 34, "up": 1}
# an `up` that runs for months must not fill the disk: one older file is kept
LIMIT = 10 << 20
# our own look at a server, every few seconds
NOISE = '"GET /health HTTP'


class Terminal:
    """Prints whole lines with the name of their service, coloured where someone looks."""

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self.coloured = self.out.isatty() and "NO_COLOR" not in os.environ
        self._lock = threading.Lock()

    def say(self, name: str, text: str) -> None:
        title = f"{name:8}|"
        if self.coloured:
            title = f"\x1b[{COLOURS.get(name, 37)}m{title}\x1b[0m"
        with self._lock:
            try:
                print(f"{title} {text}", file=self.out, flush=True)
            except (BrokenPipeError, OSError):
                return  # the terminal is gone; the services and their files go on


class Log:
    """The file of one service; it is also what its lines are passed on through."""

    def __init__(self, name: str, path: Path, terminal: Terminal) -> None:
        self.name, self.path, self.terminal = name, path, terminal
        self.heard: list[str] = []
        path.parent.mkdir(parents=True, exist_ok=True)

    def follow(self, stream: IO[str]) -> threading.Thread:
        """Read a service's output to its end, in a thread."""
        self.heard = []
        thread = threading.Thread(target=self._read, args=(stream,), daemon=True, name=f"log of {self.name}")
        thread.start()
        return thread

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for text in stream:
                self.write(text.rstrip())

    def write(self, text: str) -> None:
        if not text.strip() or NOISE in text:
            return
        self.heard = [*self.heard[-199:], text]
        if self.path.exists() and self.path.stat().st_size > LIMIT:
            self.path.replace(self.path.with_suffix(".old.log"))
        with self.path.open("a", encoding="utf-8") as file:
            print(text, file=file)
        self.terminal.say(self.name, text)


def tail(path: Path, lines: int = 5) -> list[str]:
    """The last lines of a log; none where there is no file."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 8192, 0))
        return file.read().decode("utf-8", "replace").splitlines()[-lines:]
