"""The processes of one model: requests wait in line, the first one starts a process, an idle one ends."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from tasks.serving.options import Serving
from tasks.serving.process import Died, Process, Unopened
from tasks.serving.target import Target

TURN = 8  # a picture of a batch gets at least every eighth turn
SLICE_S = 2.0  # a busy process gives its place to a model that has none after so long
LAST_S = 2.0  # idle time of a version that was replaced

Head = dict[str, Any]
Answer = tuple[Head, bytes]


class Unavailable(Exception):
    """A request that no process answered.

    Attributes:
        status: 503, or 504 when it took too long.
        of_request: this request is to blame; others are answered.
    """

    def __init__(self, text: str, status: int = 503, of_request: bool = False) -> None:
        super().__init__(text)
        self.status, self.of_request = status, of_request


@dataclass
class Job:
    """A request in line.

    Attributes:
        tries: processes that died of it so far.
    """

    head: Head
    body: bytes | bytearray | memoryview
    slow: bool
    done: asyncio.Future[Answer]
    tries: int = 0


class Places(Protocol):
    """Who says how many processes there may be, over all models."""

    def take(self, pool: Pool) -> bool: ...

    def free(self) -> None: ...

    def wanted(self) -> bool: ...

    def count(self, event: str, name: str) -> None: ...


@dataclass
class Member:
    """A process and what it does."""

    process: Process
    since: float = field(default_factory=time.monotonic)
    busy: bool = True
    leave: bool = False
    woken: asyncio.Future[None] | None = None

    def wake(self) -> bool:
        """True where it slept."""
        if self.woken is None or self.woken.done():
            return False
        self.woken.set_result(None)
        return True


class Pool:
    """The line before a model, and its processes.

    Attributes:
        target: what they open.
        members: the processes, starting ones too.
        retired: a newer version answers now; what is here is finished.
        reason: why the last start failed, None when it did not.
    """

    def __init__(self, target: Target, options: Serving, places: Places,
                 make: Callable[[Target], Process] = Process) -> None:
        self.target, self.options, self.places, self._make = target, options, places, make
        self.members: list[Member] = []
        self.retired = False
        self.reason: str | None = None
        self._fast: deque[Job] = deque()
        self._slow: deque[Job] = deque()
        self._turn = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Requests and pictures of batches in line."""
        return len(self._fast) + len(self._slow)

    @property
    def ready(self) -> list[Member]:
        """Processes whose model is open."""
        return [member for member in self.members if member.process.provider]

    async def ask(self, head: Head, body: bytes | bytearray | memoryview, slow: bool = False) -> Answer:
        """The answer of a process; once more where the first one dies.

        Raises:
            Unavailable: two processes died, the model does not open, or it took too long.
        """
        job = Job(head, body, slow, asyncio.get_running_loop().create_future())
        self._put(job)
        return await job.done

    def _put(self, job: Job, again: bool = False) -> None:
        line = self._slow if job.slow else self._fast
        line.appendleft(job) if again else line.append(job)
        if not any(member.wake() for member in self.members):
            self.grow()

    def grow(self) -> None:
        """Start a process where one is missing and there is a place for it."""
        starting = sum(not member.process.provider for member in self.members)
        if self.waiting > starting and len(self.members) < self.options.workers and self.places.take(self):
            self.start()

    def start(self) -> Member:
        """A process of its own, whose place has been taken."""
        member = Member(self._make(self.target))
        self.members.append(member)
        task = asyncio.get_running_loop().create_task(self._tend(member))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return member

    async def _tend(self, member: Member) -> None:
        """A process's life."""
        at_once = False
        try:
            self.places.count("starts", self.target.name)
            await member.process.start(self.options.start_s)
            self.reason = None
            while (job := await self._next(member)) is not None:
                await self._answer(member, job)
        except Unopened as error:
            self.reason, at_once = str(error), True
            self._refuse(f"the model does not open: {error}")
        except Died:
            at_once = True
        except BaseException as error:
            at_once = True
            if not isinstance(error, asyncio.CancelledError):
                self.reason = f"a process cannot be started: {error}"
                self._refuse(self.reason)
            raise
        finally:
            self.members.remove(member)
            ending = asyncio.shield(asyncio.ensure_future(member.process.end(at_once)))
            self.places.free()  # first whoever has no process at all
            self.grow()
            await ending

    async def _next(self, member: Member) -> Job | None:
        """The next request; None when the process is to end."""
        loop, member.busy = asyncio.get_running_loop(), False
        if time.monotonic() - member.since > SLICE_S and self.places.wanted():
            return None
        idle_s = min(self.options.idle_s, LAST_S) if self.retired else self.options.idle_s
        end = time.monotonic() + idle_s
        while (job := self._pop()) is None:
            left = end - time.monotonic()
            if member.leave or left <= 0:
                return None
            member.woken = loop.create_future()
            timer = loop.call_later(left, member.wake)
            self.places.free()
            await member.woken
            timer.cancel()
        member.busy = True
        return job

    def _pop(self) -> Job | None:
        """In turn: requests first, and now and then a batch. A client that is gone is left out."""
        while self.waiting:
            self._turn += 1
            slow = bool(self._slow) and (not self._fast or self._turn % TURN == 0)
            job = (self._slow if slow else self._fast).popleft()
            if not job.done.done():
                return job
        return None

    async def _answer(self, member: Member, job: Job) -> None:
        try:
            answer = await asyncio.wait_for(member.process.ask(job.head, job.body), self.options.timeout_s)
        except TimeoutError:
            self.places.count("timeouts", self.target.name)
            _fail(job, Unavailable(f"no answer within {self.options.timeout_s:g} s", 504, True))
            raise Died from None
        except Died:
            self.places.count("deaths", self.target.name)
            job.tries += 1
            if job.tries < 2:
                self._put(job, again=True)
            else:
                _fail(job, Unavailable("the model's process ended twice on this request", of_request=True))
            raise
        except asyncio.CancelledError:
            _fail(job, Unavailable("the server ends"))
            raise
        if not job.done.done():
            job.done.set_result(answer)

    def _refuse(self, text: str) -> None:
        """All who wait get that answer: another start would end as this one did."""
        while (job := self._pop()) is not None:
            _fail(job, Unavailable(text))

    def retire(self) -> None:
        """A newer version answers from now on."""
        self.retired = True
        for member in self.members:
            member.wake()

    def evict(self) -> bool:
        """Let an idle process go, if there is one."""
        idle = next((member for member in self.members if not member.busy and member.process.provider
                     and not member.leave), None)
        if idle is None or self.waiting:
            return False
        idle.leave = True
        idle.wake()
        return True

    async def close(self) -> None:
        """End all processes."""
        self._refuse("the server ends")
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _fail(job: Job, error: Unavailable) -> None:
    if not job.done.done():
        job.done.set_exception(error)
