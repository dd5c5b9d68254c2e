"""Latency at batch 1: artefacts in turns within one process, so that a drifting clock hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def in_turns(calls: Mapping[str, Callable[[], Any]], rounds: int, warmup: int = 3,
             each: int = 5) -> dict[str, np.ndarray]:
    """Time several calls in turns.

    Args:
        calls: what to time, by name.
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
            call()
            for _ in range(each):
                start = time.perf_counter()
                call()
                if turn >= warmup:
                    seconds[name].append(time.perf_counter() - start)
    return {name: np.asarray(values) for name, values in seconds.items()}


def summary(seconds: np.ndarray) -> dict[str, float]:
    """Median and 95th percentile in milliseconds, and pictures per second over all calls."""
    p95 = float(np.quantile(seconds, 0.95))
    return {"median_ms": float(np.median(seconds)) * 1e3, "p95_ms": p95 * 1e3,
            "throughput_per_s": len(seconds) / float(seconds.sum())}
