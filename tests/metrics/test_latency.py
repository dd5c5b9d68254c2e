"""Latency: in turns, warm-up not counted, throughput over all calls."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.metrics.latency import in_turns, summary, timed


def test_artefacts_take_turns() -> None:
    seen: list[str] = []
    times = in_turns({name: timed(lambda name=name: seen.append(name)) for name in "ab"}, rounds=2, warmup=1, each=3)
    assert "".join(seen) == "aaaabbbb" * 3
    assert {name: len(values) for name, values in times.items()} == {"a": 6, "b": 6}


def test_summary_is_median_p95_and_calls_over_time() -> None:
    found = summary(np.array([0.010, 0.010, 0.010, 0.050]))
    assert found["median_ms"] == pytest.approx(10)
    assert found["p95_ms"] == pytest.approx(44)
    assert found["throughput_per_s"] == pytest.approx(4 / 0.080)
