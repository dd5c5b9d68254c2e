"""All models of a server: how many processes there are, who waits for one, which version a name stands for."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence

from tasks.serving.counts import Counts, Gauge
from tasks.serving.options import Serving
from tasks.serving.pool import Answer, Head, Pool
from tasks.serving.target import Target

MB = 1_000_000


class Full(Exception):
    """No room for one request more.

    Attributes:
        status: 429 where the model's line is full, 503 where the server's memory is.
        after_s: when it may be worth asking again.
    """

    def __init__(self, text: str, status: int, after_s: int) -> None:
        super().__init__(text)
        self.status, self.after_s = status, after_s


class House:
    """The models of a server.

    Attributes:
        targets: name → what it stands for now.
        pools: the lines before them, those of replaced versions too.
        warnings: name → what is wrong with following it.
        held: bytes of request bodies that are in memory.
    """

    def __init__(self, targets: Sequence[Target], options: Serving) -> None:
        self.options, self.counts = options, Counts()
        self.targets = {target.name: target for target in targets}
        self.pools: dict[tuple[str, str, str | None], Pool] = {}
        self.warnings: dict[str, str] = {}
        self.held = 0
        self._inside: Counter[str] = Counter()
        self._hungry: list[Pool] = []

    def pool(self, target: Target) -> Pool:
        """The line of a target, of one that was replaced too."""
        if target.key not in self.pools:
            self.pools[target.key] = Pool(target, self.options, self)
            now = self.targets.get(target.name)
            self.pools[target.key].retired = now is None or now.key != target.key
        return self.pools[target.key]

    async def ask(self, target: Target, head: Head, body: bytes | bytearray | memoryview,
                  slow: bool = False) -> Answer:
        """The answer of a target's process.

        Raises:
            Unavailable: there is none.
        """
        answer = await self.pool(target).ask(head, body, slow)
        told = answer[0]
        if told["status"] == 200:
            self.counts.looked(target.name, told["pictures"], told["decode_ms"], told["infer_ms"])
        return answer

    @contextlib.contextmanager
    def admitted(self, name: str) -> Iterator[None]:
        """A place in a model's line, held from before the body is read until the answer is sent.

        Raises:
            Full: there is none.
        """
        if self._inside[name] >= self.options.queue + self.options.workers:
            after = 1 + int(self.counts.mean_s(name) * self._inside[name] / self.options.workers)
            raise Full(f"{self._inside[name]} requests are waiting for {name!r}", 429, min(after, 60))
        self._inside[name] += 1
        try:
            yield
        finally:
            self._inside[name] -= 1

    def hold(self, count: int) -> None:
        """Count bytes of a body.

        Raises:
            Full: there are too many.
        """
        if self.held + count > self.options.memory_mb * MB:
            raise Full("too many large requests at once", 503, 1)
        self.held += count

    def release(self, count: int) -> None:
        """The body is gone."""
        self.held -= count

    async def replace(self, target: Target) -> None:
        """A name stands for something else from now on: requests that come go there, once it can answer."""
        before = self.targets[target.name]
        if target.key == before.key:
            self.targets[target.name] = target
            return
        old, fresh = self.pools.get(before.key), Pool(target, self.options, self)
        if old is not None and old.members:
            # nobody waits for the start of a version that replaces one which runs
            await self._opened(fresh)
        self.pools[target.key], self.targets[target.name] = fresh, target
        if old is not None:
            old.retire()
        self._forget()

    async def _opened(self, pool: Pool) -> None:
        member = pool.start()
        while member in pool.members and not member.process.provider:
            await asyncio.sleep(0.02)
        if pool.reason is not None:
            raise RuntimeError(pool.reason)

    def _forget(self) -> None:
        current = {target.key for target in self.targets.values()}
        for key in [key for key, pool in self.pools.items()
                    if key not in current and not pool.members and not pool.waiting]:
            del self.pools[key]

    @property
    def processes(self) -> int:
        """Processes of all models."""
        return sum(len(pool.members) for pool in self.pools.values())

    def take(self, pool: Pool) -> bool:
        """A place for one process more; one that is idle ends for it, and the pool is asked again."""
        if self.processes < self.options.processes:
            return True
        if pool not in self._hungry:
            self._hungry.append(pool)
        self._evict()
        return False

    def free(self) -> None:
        """A process is idle or gone: whoever waits for a place may have it."""
        while self._hungry and self.processes < self.options.processes:
            self._hungry.pop(0).grow()
        if self._hungry:
            self._evict()
        self._forget()

    def wanted(self) -> bool:
        """Whether a model waits that has no process at all."""
        return any(pool.waiting and not pool.members for pool in self._hungry)

    def _evict(self) -> None:
        self._hungry = [pool for pool in self._hungry if pool.waiting]
        if self._hungry:
            next((True for pool in self.pools.values() if pool.evict()), None)

    def count(self, event: str, name: str) -> None:
        """Count what happened to a model's processes."""
        self.counts.events[event, name] += 1

    def gauges(self) -> list[Gauge]:
        """What is now, for the metrics."""
        pools = list(self.pools.values())
        return [("processes", "model processes", self._by_name({p.target.name: len(p.members) for p in pools})),
                ("waiting", "requests and pictures in line", self._by_name({p.target.name: p.waiting for p in pools})),
                ("inside", "requests from their first byte to their answer", self._by_name(dict(self._inside))),
                ("held_bytes", "bytes of request bodies in memory", [({}, self.held)])]

    def _by_name(self, known: dict[str, int]) -> list[tuple[dict[str, str], float]]:
        return [({"model": name}, known.get(name, 0)) for name in self.targets]

    async def close(self) -> None:
        """End everything."""
        await asyncio.gather(*(pool.close() for pool in self.pools.values()))
