"""Shards looked at by processes of one thread each.

A worker is this module under a fresh interpreter, fed by a pipe: nothing is forked and the caller's `__main__` is not
imported again. It ends at once when its pipe does, also in the midst of a shard and when its parent was killed.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO

from tasks.base.errors import DataError, ParamsError, UserError, VisionmillError
from tasks.labelling.prelabelling.looking import look_at
from tasks.labelling.prelabelling.settings import Settings
from tasks.labelling.prelabelling.shards import Rows, write_shard
from tasks.labelling.teachers.found import Teacher

START = ("import sys; sys.path[:] = {path!r}; "
         "from tasks.labelling.prelabelling.workers import serve; serve()")
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
KINDS = {kind.__name__: kind for kind in (UserError, DataError, ParamsError, VisionmillError)}


@dataclass(frozen=True)
class Job:
    """What a process needs to look at any shard.

    Attributes:
        folder: of the pre-labels; `images`: the pool's table; `root`: what its files are relative to.
        size: pictures a shard.
    """

    teacher: Teacher
    folder: Path
    images: Path
    root: Path
    settings: Settings
    size: int


@dataclass(frozen=True)
class Told:
    """A shard that is done: how many pictures, and how many of them could not be read."""

    shard: int
    pictures: int
    flaws: int


def do_shard(job: Job, rows: Rows, number: int) -> Told:
    """Look at one shard and keep what was found."""
    some = rows(number * job.size, min((number + 1) * job.size, len(rows)))
    boxes, pictures = look_at(some, job.root, job.teacher, job.settings)
    write_shard(job.folder, number, boxes, pictures)
    return Told(number, some.num_rows, some.num_rows - pictures["flaw"].null_count)


def over_shards(job: Job, numbers: Iterable[int], processes: int) -> Iterator[Told]:
    """Do the shards; each is told when it is kept.

    Raises:
        DataError: a process died, or ran out of memory.
    """
    if processes == 1:
        rows = Rows(job.images)
        yield from (do_shard(job, rows, number) for number in numbers)
        return
    sent = pickle.dumps(job)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(processes))
        idle: SimpleQueue[Worker] = SimpleQueue()
        for _ in range(processes):
            worker = Worker(sent)
            # before the threads are waited for: who is interrupted does not wait for a shard
            stack.callback(worker.end)
            idle.put(worker)
        waiting: deque[Future[Told]] = deque()
        for number in numbers:
            waiting.append(pool.submit(_ask, idle, number))
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def in_processes(job: Job) -> bool:
    """Whether other processes can be given this job: a teacher that cannot be pickled looks in this one alone."""
    if type(job.teacher).__module__ == "__main__":  # a script's own, which nobody can import
        return False
    try:
        pickle.dumps(job)
    except Exception:  # PicklingError, TypeError, AttributeError, whatever a teacher's own method raises
        return False
    return True


def _ask(idle: SimpleQueue[Worker], number: int) -> Told:
    worker = idle.get()
    try:
        return worker.ask(number)
    finally:
        idle.put(worker)


class Worker:
    """One process."""

    def __init__(self, job: bytes) -> None:
        command = [sys.executable, "-P", "-c", START.format(path=[str(Path(__file__).parents[3]), *sys.path])]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         env=os.environ | dict.fromkeys(ONE_THREAD, "1"))
        self._send(job)

    def ask(self, number: int) -> Told:
        """Do one shard.

        Raises:
            VisionmillError: as the shard did, or the process is gone.
        """
        self._send(b"%d\n" % number)
        assert self._process.stdout is not None
        try:
            answer = json.loads(self._process.stdout.readline())
        except ValueError:
            raise DataError("a process that looked at pictures died: out of memory, or a decoder crashed",
                            where=f"shard {number}", mend="run it again, it goes on from there; --processes 1 needs "
                                                          "the least memory") from None
        if "error" in answer:
            kind, what, where, mend = answer["error"]
            raise KINDS.get(kind, VisionmillError)(what, where=where, mend=mend)
        return Told(**answer)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(OSError):  # what was not sent yet
                pipe.close()

    def _send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # reading the answer tells that it is gone
            self._process.stdin.write(data)
            self._process.stdin.flush()


def serve() -> None:
    """What a worker does: a job, then the number of a shard a line in, a line of JSON out, until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    numbers: SimpleQueue[int] = SimpleQueue()
    # whatever a library prints must not get between the answers
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        source = sys.stdin.buffer
        try:
            job: Job = pickle.load(source)
        except VisionmillError as error:
            _tell(out, {"error": _plain(error)})
            return
        threading.Thread(target=_listen, args=(source, numbers), daemon=True).start()
        rows = Rows(job.images)
        while True:
            _answer(job, rows, numbers.get(), out)


def _listen(source: BinaryIO, numbers: SimpleQueue[int]) -> None:
    for line in source:
        numbers.put(int(line))
    os._exit(0)  # nobody waits for what is being done


def _answer(job: Job, rows: Rows, number: int, out: BinaryIO) -> None:
    try:
        _tell(out, vars(do_shard(job, rows, number)))
    except VisionmillError as error:
        _tell(out, {"error": _plain(error)})
    except Exception as error:
        traceback.print_exc()
        _tell(out, {"error": ["VisionmillError", f"shard {number}: {type(error).__name__}: {error}", None, None]})


def _plain(error: VisionmillError) -> list[Any]:
    return [type(error).__name__, error.what, None if error.where is None else str(error.where), error.mend]


def _tell(out: BinaryIO, answer: dict[str, Any]) -> None:
    out.write(json.dumps(answer).encode() + b"\n")
    out.flush()
