"""Pictures measured and checked by processes of their own: Python's lock lets threads do one header at a time.

A worker is this module under a fresh interpreter, fed by a pipe. Nothing is forked (libraries with threads do not
survive that) and the caller's `__main__` is not imported again; a worker ends when its pipe does, also when its parent
was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO

from tasks.base.errors import DataError
from tasks.data.pictures import Location, Member, find_flaw, measure

CHUNKS = {"measure": 128, "find_flaw": 16}  # pictures a message: about 5 ms of work, and more where they are large
WAITING = 4  # chunks in flight for each worker
START = "import sys; sys.path[:] = {path!r}; from tasks.data.crew import serve; serve()"


def _find_flaw(place: Location | str) -> tuple[str, str] | None:
    return find_flaw(Path(place) if isinstance(place, str) else place)


# a path is text here: to make a Path of it takes half as long as all that `measure` does
TASKS: dict[str, Callable[[Location | str], Any]] = {"measure": measure, "find_flaw": _find_flaw}


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def over_processes(task: str, places: Iterable[Location], workers: int) -> Iterator[Any]:
    """What the task named in `TASKS` says of each picture, in order; a bounded number of answers waits.

    Raises:
        OSError: a file is missing or may not be read.
        DataError: a picture's decoder crashed.
    """
    source = iter(places)
    with ExitStack() as stack:
        crew = [stack.enter_context(Worker()) for _ in range(workers)]
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        idle: SimpleQueue[Worker] = SimpleQueue()
        for worker in crew:
            idle.put(worker)
            # before the threads are waited for: who stops early does not wait for what is decoded
            stack.callback(worker.end)
        waiting: deque[Future[list[Any]]] = deque()
        while some := list(islice(source, CHUNKS[task])):
            waiting.append(pool.submit(_ask, idle, task, some))
            if len(waiting) >= WAITING * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _ask(idle: SimpleQueue[Worker], task: str, places: list[Location]) -> list[Any]:
    worker = idle.get()
    try:
        return worker.ask(task, places)
    finally:
        idle.put(worker)


class Worker:
    """One process; ends with the block."""

    def __enter__(self) -> Worker:
        command = [sys.executable, "-P", "-c", START.format(path=[str(Path(__file__).parents[2]), *sys.path])]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def __exit__(self, *raised: object) -> None:
        self.end()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):  # what was not sent yet
                pipe.close()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()

    def ask(self, task: str, places: list[Location]) -> list[Any]:
        """The answers for some pictures."""
        sent, came = self._process.stdin, self._process.stdout
        assert sent is not None and came is not None
        try:
            sent.write(json.dumps([task, [_plain(place) for place in places]]).encode() + b"\n")
            sent.flush()
            answer = json.loads(came.readline())
        except (OSError, ValueError):
            raise DataError("a decoder crashed on one of the pictures from here on", where=places[0],
                            mend="find and remove it; smaller folders show which one it is") from None
        if isinstance(answer, list):
            return answer
        raise OSError(answer["errno"], answer["strerror"], answer["filename"])


def serve() -> None:
    """What a worker does: a line of JSON in, a line of JSON out, until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    warnings.simplefilter("ignore")  # Pillow's, of damaged EXIF data
    # whatever a library prints must not get between the answers
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        for line in sys.stdin.buffer:
            _answer(line, out)


def _answer(line: bytes, out: BinaryIO) -> None:
    task, places = json.loads(line)
    answer: Any
    try:
        answer = [TASKS[task](_place(one)) for one in places]
    except OSError as error:
        answer = {"errno": error.errno, "strerror": error.strerror, "filename": str(error.filename)}
    out.write(json.dumps(answer).encode() + b"\n")
    out.flush()


def _plain(place: Location) -> Any:
    if isinstance(place, Member):
        return [str(place.archive), place.offset, place.size, place.name]
    return str(place)


def _place(plain: Any) -> Location | str:
    return plain if isinstance(plain, str) else Member(Path(plain[0]), *plain[1:])
