"""Does the batches: one of each model at a time, its pictures behind the requests of people who wait."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tasks.serving.batches import Batch, Batches, Results
from tasks.serving.house import House
from tasks.serving.pool import Unavailable

TRIES = 3  # of a batch whose model does not open
REST_S = 2.0
HOUR_S = 3600.0
RESULTS_CHUNK = 1 << 18


class Runner:
    """Works through the open batches of a server, and through each new one.

    Attributes:
        batches: those on disk.
    """

    def __init__(self, house: House, batches: Batches) -> None:
        self.house, self.batches = house, batches
        self._lines: dict[str, asyncio.Queue[Batch]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._running: dict[str, asyncio.Task[None]] = {}

    def begin(self) -> None:
        """Take up what an earlier server left; and tidy up now and then."""
        for batch in self.batches.open():
            if not Path(batch.target.path).exists():  # the workspace was moved
                same = (target for target in self.house.targets.values() if target.sha256 == batch.target.sha256)
                batch.target = next(same, batch.target)
            self.put(batch)
        self._tasks.append(asyncio.create_task(self._tidy()))

    def put(self, batch: Batch) -> None:
        """Line it up behind those of its model."""
        self.batches.known[batch.id] = batch
        name = batch.target.name
        if name not in self._lines:
            self._lines[name] = asyncio.Queue()
            self._tasks.append(asyncio.create_task(self._work(self._lines[name])))
        self._lines[name].put_nowait(batch)

    async def cancel(self, batch: Batch) -> None:
        """End a batch that waits or runs; what is done of it stays."""
        if task := self._running.get(batch.id):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if batch.state in ("waiting", "running"):
            batch.end("cancelled")

    async def close(self) -> None:
        """Stop; what is open goes on with the next start."""
        tasks = [*self._tasks, *self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(HOUR_S)
            self.batches.forget(self.house.options.keep_days)

    async def _work(self, line: asyncio.Queue[Batch]) -> None:
        while True:
            batch = await line.get()
            if batch.state != "waiting":
                continue
            task = self._running[batch.id] = asyncio.create_task(self._run(batch))
            await asyncio.wait([task])
            del self._running[batch.id]

    async def _run(self, batch: Batch) -> None:
        batch.state = "running"
        try:
            with batch.results() as results:
                await self._through(batch, results)
            batch.end("done")
        except Unavailable as error:
            batch.end("failed", str(error))
        except OSError as error:  # a full disk, a folder that someone removed
            batch.state, batch.reason = "failed", str(error)
            with contextlib.suppress(OSError):
                batch.end("failed", str(error))

    async def _through(self, batch: Batch, results: Results) -> None:
        """Answers in order, one picture more on its way than there are processes, so that none waits for us."""
        ahead: deque[tuple[int, str, asyncio.Task[dict[str, Any]]]] = deque()
        try:
            for number, name, content in batch.pictures():
                ahead.append((number, name, asyncio.create_task(self._look(batch, content))))
                if len(ahead) > self.house.options.workers:
                    await self._write(batch, results, *ahead.popleft())
            while ahead:
                await self._write(batch, results, *ahead.popleft())
        finally:
            for _, _, task in ahead:
                task.cancel()

    async def _write(self, batch: Batch, results: Results, number: int, name: str,
                     task: asyncio.Task[dict[str, Any]]) -> None:
        try:
            row = await task
        finally:
            task.cancel()
        results.add({"index": number, "name": name, **row})
        batch.done += 1
        batch.failed += "error" in row

    async def _look(self, batch: Batch, content: bytes) -> dict[str, Any]:
        """The answer to one picture; an error of the picture is an answer too."""
        told = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in batch.settings.items()}
        head = {"form": "predict", "type": "application/octet-stream", "query": urlencode(told)}
        for left in range(TRIES - 1, -1, -1):
            try:
                _, text = await self.house.ask(batch.target, head, content, slow=True)
                return json.loads(text)
            except Unavailable as error:
                if error.of_request:
                    return {"error": str(error)}
                if not left:
                    raise
                await asyncio.sleep(REST_S)
        raise AssertionError("the last try returns or raises")
