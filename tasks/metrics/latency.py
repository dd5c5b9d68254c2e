"""Latency at batch 1: artefacts in turns, so that a drifting clock hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Timed = Callable[[int], Sequence[float]]


def timed(call: Callable[[], Any]) -> Timed:
    """A call as a function that gives the seconds of so many of them in a row, after one that is not counted."""

    def run(count: int) -> list[float]:
        call()
        seconds = []
        for _ in range(count):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        return seconds

    return run


def in_turns(calls: Mapping[str, Timed], rounds: int, warmup: int = 3, each: int = 5) -> dict[str, np.ndarray]:
    """Time several things in turns.

    Args:
        calls: what to time, by name: `timed(call)`, or what times itself.
        rounds: turns counted.
        warmup: turns before, not counted.
        each: calls in a row within a turn; more than one, since each call's data has left the cache after a turn of
            the others, which is not how a deployed model runs. The first of a row is not counted.

    Returns:
        Seconds of every counted call, float64 [rounds * each], by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(warmup + rounds):
        for name, call in calls.items():
            found = call(each)
            if turn >= warmup:
                seconds[name] += found
    return {name: np.asarray(values) for name, values in seconds.items()}


def summary(seconds: np.ndarray) -> dict[str, float]:
    """Median and 95th percentile in milliseconds, and pictures per second over all calls."""
    p95 = float(np.quantile(seconds, 0.95))
    return {"median_ms": float(np.median(seconds)) * 1e3, "p95_ms": p95 * 1e3,
            "throughput_per_s": len(seconds) / float(seconds.sum())}
