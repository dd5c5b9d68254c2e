"""An artefact in a process of its own, which waits for work as its runtime likes to and is timed there.

Our commands set `OMP_WAIT_POLICY=PASSIVE`, without which two trainings on one machine starve each other. At batch 1 it
makes torch more than twice as slow (47.6 ms instead of 20.7 on two cores), so a baseline measured under it would
flatter every exported file; and within one process torch's waiting threads slow ONNX Runtime down instead.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType

import numpy as np

from tasks.base.errors import VisionmillError
from tasks.metrics.latency import timed

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


class Here:
    """Runs `Detector.raw` on pictures in rotation, in this process.

    Args:
        path: a model folder or an .onnx file.
        threads: cores to use; all that this process may use when None.
        pictures: uint8 [height, width, 3] each, RGB.
        runtime, device: what the file is made for when None.
    """

    def __init__(self, path: Path, threads: int | None, pictures: Sequence[np.ndarray], runtime: str | None = None,
                 device: str | None = None) -> None:
        from tasks.runtime.detector import open_detector

        detector = open_detector(path, threads, runtime, device)
        inputs = [detector.fit(picture)[0] for picture in pictures]
        turn = iter(range(10**9))
        self.provider = detector.provider
        self._run = timed(lambda: detector.raw(inputs[next(turn) % len(inputs)]))

    def __call__(self, count: int) -> Sequence[float]:
        """Seconds of `count` calls in a row, after one that is not counted."""
        return self._run(count)


class Apart:
    """The same in a process of its own.

    Args:
        passive: its threads sleep while they wait, as in our commands; else they wait as the runtime likes to.

    Raises:
        UserError: the runtime is not here, or the file does not open, as in `open_detector`.
    """

    def __init__(self, path: Path, threads: int | None, pictures: Sequence[np.ndarray], runtime: str | None = None,
                 device: str | None = None, passive: bool = False) -> None:
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        asked = (theirs, path, threads, list(pictures), runtime, device)
        self._process = context.Process(target=_serve, args=asked, daemon=True)
        before = {name: os.environ.pop(name) for name in WAITING if name in os.environ}
        if passive:
            os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        try:
            self._process.start()
        finally:
            os.environ.pop("OMP_WAIT_POLICY", None)
            os.environ.update(before)
        theirs.close()
        self.path = path
        self.provider = str(self._answer())

    def __call__(self, count: int) -> list[float]:
        """As `Here` does."""
        self._line.send(count)
        answer = self._answer()
        return answer if isinstance(answer, list) else []

    def __enter__(self) -> Apart:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._line.close()
        self._process.join(10)
        self._process.kill()

    def _answer(self) -> object:
        try:
            answer = self._line.recv()
        except EOFError:
            raise VisionmillError("the artefact does not run: its process ended", where=self.path) from None
        if isinstance(answer, Refusal):
            raise answer.kind(answer.what, where=answer.where, mend=answer.mend)
        return answer


@dataclass(frozen=True)
class Refusal:
    """An error of the other process, in parts: an exception with arguments by name does not travel."""

    kind: type[VisionmillError]
    what: str
    where: str | None
    mend: str | None


def _serve(line: Connection, path: Path, threads: int | None, pictures: list[np.ndarray], runtime: str | None,
           device: str | None) -> None:
    from tasks.training.session import use_threads

    use_threads()
    try:
        run = Here(path, threads, pictures, runtime, device)
    except VisionmillError as error:
        where = None if error.where is None else str(error.where)
        line.send(Refusal(type(error), error.what, where, error.mend))
        return
    line.send(run.provider)
    while True:
        try:
            line.send(list(run(line.recv())))
        except (EOFError, BrokenPipeError):
            return
