"""Teachers that misbehave, to be opened in other processes too."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tasks.base.errors import DataError
from tasks.data.store.layout import Store
from tasks.labelling.prelabelling import Settings, prelabel
from tasks.labelling.teachers.found import Found, Teacher
from tasks.labelling.teachers.opening import open_teacher


class Odd:
    """A teacher that waits before it answers, writes down each picture that it is asked about, or breaks.

    Args:
        way: `slow`, `dies`, `raises`, `fails`, or `bare`, which cannot be sent to another process.
    """

    def __init__(self, file: Path, classes: list[str], way: str, log: Path, seconds: float = 0.0) -> None:
        self._told = (file, classes, way, log, seconds)
        self.inner: Teacher = open_teacher(str(file), classes, workspace=log.parent, threads=1)
        self.name, self.digest, self.classes, self.notes = "odd", "odd", self.inner.classes, self.inner.notes
        self.way, self.log, self.seconds = way, log, seconds

    def __reduce__(self) -> tuple[Any, ...]:
        if self.way == "bare":
            raise TypeError("it holds a socket")
        return Odd, self._told

    def ask(self, pictures: list[np.ndarray]) -> list[Found]:
        time.sleep(self.seconds * len(pictures))
        if self.way == "dies":
            os._exit(9)
        if self.way == "raises":
            raise DataError("the teacher does not like it", where="picture 7", mend="give it another")
        if self.way == "fails":
            raise ZeroDivisionError("by zero")
        with self.log.open("a") as log:
            print(f"{os.getpid()} {len(pictures)}", file=log)
        return self.inner.ask(pictures)


def main() -> None:
    """WORKSPACE STORE POOL FILE LOG SECONDS PROCESSES: pre-label, to be killed on the way."""
    workspace, store, pool, file, log = map(Path, sys.argv[1:6])
    teacher = Odd(file, ["red", "green"], "slow", log, float(sys.argv[6]))
    made = Store(store)
    prelabel(made.find(str(pool)), made, teacher, Settings(flip=False, vectors=False), workspace, int(sys.argv[7]))

