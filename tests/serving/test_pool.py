"""The line before a model, with processes that are made up: who is answered when, and what happens when one dies."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from tasks.serving.house import Full, House
from tasks.serving.options import Serving
from tasks.serving.pool import Pool, Unavailable
from tasks.serving.process import Died, Unopened
from tasks.serving.target import Target


def target(name: str = "a", version: str | None = None) -> Target:
    return Target(name, name, f"/{name}", "0", version, None, ("red",), "onnxruntime")


class Scripted:
    """Stands for a process; `script` says how each request ends, in order, over all processes."""

    def __init__(self, of: Target, script: list[Any], log: list[Any]) -> None:
        self.target, self.script, self.log, self.provider, self.pid = of, script, log, "", 1

    async def start(self, patience_s: float) -> None:
        await asyncio.sleep(0)
        self.log.append("start")
        if self.script and isinstance(self.script[0], Unopened):
            raise self.script.pop(0)
        self.provider = "none"

    async def ask(self, head: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        self.log.append(body)
        step = self.script.pop(0) if self.script else 0.0
        if isinstance(step, Exception):
            raise step
        await asyncio.sleep(step)
        return {"status": 200, "pictures": 1, "decode_ms": 1.0, "infer_ms": 1.0}, body

    async def end(self, at_once: bool = False) -> None:
        self.log.append("killed" if at_once else "end")


def house_of(names: str = "a", script: list[Any] | None = None, **options: Any) -> tuple[House, list[Any]]:
    log: list[Any] = []
    steps = script or []
    found = House([target(name) for name in names], Serving(**options))
    for one in found.targets.values():
        found.pools[one.key] = Pool(one, found.options, found, lambda of: Scripted(of, steps, log))  # type: ignore
    return found, log


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 60))


def ask(house: House, body: bytes, name: str = "a", slow: bool = False) -> asyncio.Task[Any]:
    return asyncio.ensure_future(house.ask(house.targets[name], {}, body, slow))


def test_one_process_answers_in_order_and_ends_when_idle() -> None:
    async def work() -> None:
        house, log = house_of(idle_s=0.05)
        answers = await asyncio.gather(*(ask(house, bytes([n])) for n in range(5)))
        assert [body for _, body in answers] == [bytes([n]) for n in range(5)] == log[1:]
        assert house.processes == 1
        while house.processes:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        assert log[-1] == "end" and log.count("start") == 1
        await ask(house, b"again")
        assert log.count("start") == 2
        await house.close()

    run(work())


def test_more_processes_only_while_requests_wait_and_never_more_than_allowed() -> None:
    async def work() -> None:
        house, log = house_of(script=[0.05] * 9, workers=3)
        await asyncio.gather(*(ask(house, bytes([n])) for n in range(9)))
        assert log.count("start") == house.processes == 3
        await house.close()
        assert house.processes == 0 and log.count("killed") == 3

    run(work())


def test_a_request_whose_process_dies_is_asked_once_more_then_not() -> None:
    async def work() -> None:
        house, log = house_of(script=[Died()])
        assert (await ask(house, b"x"))[1] == b"x" and log == ["start", b"x", "killed", "start", b"x"]
        assert house.counts.events["deaths", "a"] == 1
        await house.close()
        house, log = house_of(script=[Died(), Died()])
        first, second = ask(house, b"x"), ask(house, b"y")
        with pytest.raises(Unavailable, match="ended twice") as caught:
            await first
        assert caught.value.of_request and (await second)[1] == b"y" and log.count("start") == 3
        await house.close()

    run(work())


def test_what_takes_too_long_is_killed_and_the_next_is_answered() -> None:
    async def work() -> None:
        house, log = house_of(script=[30.0], timeout_s=0.05)
        first, second = ask(house, b"x"), ask(house, b"y")
        with pytest.raises(Unavailable, match="no answer within") as caught:
            await first
        assert caught.value.status == 504 and (await second)[1] == b"y" and log.count(b"x") == 1
        await house.close()

    run(work())


def test_a_model_that_does_not_open_refuses_who_waits_and_is_tried_again() -> None:
    async def work() -> None:
        house, _ = house_of(script=[Unopened("cut off")])
        answers = await asyncio.gather(ask(house, b"x"), ask(house, b"y"), return_exceptions=True)
        assert all(isinstance(one, Unavailable) and "cut off" in str(one) for one in answers)
        assert (await ask(house, b"z"))[1] == b"z"
        await house.close()

    run(work())


def test_a_client_that_is_gone_is_not_answered() -> None:
    async def work() -> None:
        house, log = house_of(script=[0.05])
        first, second, third = (ask(house, name) for name in (b"x", b"y", b"z"))
        await asyncio.sleep(0.02)
        second.cancel()
        assert (await first)[1] == b"x" and (await third)[1] == b"z" and b"y" not in log
        await house.close()

    run(work())


def test_batches_stand_behind_and_are_not_forgotten() -> None:
    async def work() -> None:
        house, log = house_of()
        slow = [ask(house, b"slow", slow=True) for _ in range(3)]
        fast = [ask(house, b"fast") for _ in range(20)]
        await asyncio.gather(*slow, *fast)
        order = log[1:]
        assert order[:5] == [b"fast"] * 5 and order.index(b"slow") <= 8 and len(order) == 23
        assert order[-1] == b"slow" or order.count(b"slow") == 3
        await house.close()

    run(work())


def test_an_idle_process_gives_its_place_to_another_model() -> None:
    async def work() -> None:
        house, log = house_of("abc", processes=1)
        for name in "abcab":
            assert (await ask(house, name.encode(), name))[1] == name.encode()
            assert house.processes == 1
        assert log.count("start") == 5
        await house.close()

    run(work())


def test_a_busy_model_does_not_keep_another_one_waiting_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.serving.pool.SLICE_S", 0.05)

    async def work() -> None:
        house, _ = house_of("ab", script=[0.01] * 200, processes=1)
        busy = [ask(house, b"a") for _ in range(150)]
        await asyncio.sleep(0.02)
        await ask(house, b"b", "b")
        assert sum(not one.done() for one in busy) > 50
        await asyncio.gather(*busy)
        await house.close()

    run(work())


def test_a_replaced_version_finishes_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.serving.pool.LAST_S", 0.05)

    async def work() -> None:
        house, log = house_of(script=[0.05] * 4)
        old = [ask(house, b"old") for _ in range(4)]
        await asyncio.sleep(0.02)
        fresh, other = target(version="2"), list[Any]()
        monkeypatch.setattr("tasks.serving.house.Pool", lambda of, options, places: Pool(
            of, options, places, lambda one: Scripted(one, [], other)))  # type: ignore[arg-type,return-value]
        await house.replace(fresh)
        assert other == ["start"], "it opens before it takes over"
        await ask(house, b"new")
        assert other == ["start", b"new"]
        assert [body for _, body in await asyncio.gather(*old)] == [b"old"] * 4
        while len(house.pools) > 1 or log[-1] != "end":
            await asyncio.sleep(0.01)
        assert house.targets["a"] == fresh and house.processes == 1
        await house.close()

    run(work())


def test_a_version_that_does_not_open_does_not_take_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        house, _ = house_of()
        await ask(house, b"x")
        monkeypatch.setattr("tasks.serving.house.Pool", lambda of, options, places: Pool(
            of, options, places, lambda one: Scripted(one, [Unopened("no")], [])))  # type: ignore[arg-type,return-value]
        with pytest.raises(RuntimeError, match="no"):
            await house.replace(target(version="2"))
        assert house.targets["a"].version is None and (await ask(house, b"y"))[1] == b"y"
        await house.close()

    run(work())


def test_places_and_memory_are_counted() -> None:
    house, _ = house_of(queue=2, workers=1, memory_mb=1)
    with house.admitted("a"), house.admitted("a"), house.admitted("a"):
        with pytest.raises(Full) as caught, house.admitted("a"):
            pass
        assert caught.value.status == 429 and caught.value.after_s >= 1
    with house.admitted("a"):
        house.hold(900_000)
        with pytest.raises(Full) as caught:
            house.hold(200_000)
        assert caught.value.status == 503
        house.release(900_000)
        house.hold(1_000_000)
