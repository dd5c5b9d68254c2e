"""Latency, throughput, memory and size at batch 1, all in turns."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.metrics.latency import Timed, in_turns, summary
from tasks.metrics.memory import peak_mb
from tasks.runtime.apart import Apart, Here
from tasks.runtime.artefacts import size_of

PASSIVE = " (passive)"


@dataclass(frozen=True)
class Candidate:
    """An artefact, and the runtime and device that are timed; those that it is made for when None."""

    path: Path
    runtime: str | None = None
    device: str | None = None


def timings(candidates: Mapping[str, Candidate], pictures: Sequence[np.ndarray], rounds: int,
            threads: int | None = None, memory: bool = True) -> dict[str, dict[str, Any]]:
    """Name → median_ms, p95_ms, throughput_per_s, peak_memory_mb, bytes, provider, runtime, device, precision.

    Torch runs twice, with threads that spin while they wait and with threads that sleep, and the better one counts: on
    idle cores spinning halves the time, beside other programs it multiplies it, and would flatter every file. `busy` is
    True where sleeping won: other programs used the cores.

    Args:
        candidates: what is timed, in turns.
        pictures: uint8 [H, W, 3] each, used in rotation.
        rounds: turns that are counted, five pictures each.
        threads: cores for each; all that there are when None.
        memory: measure peak memory, in a fresh process each.

    Raises:
        UserError: a runtime is not here, or does not open the file.
    """
    with ExitStack() as stack:
        runners = {name: _runner(one, threads, pictures, stack) for name, one in candidates.items()}
        providers = {name: runner.provider for name, runner in runners.items()}
        calls: dict[str, Timed] = dict(runners)
        for name, one in candidates.items():
            if _made_for(one)["runtime"] == "torch":
                calls[name + PASSIVE] = stack.enter_context(
                    Apart(one.path, threads, pictures, one.runtime, one.device, passive=True))
        times = in_turns(calls, rounds)
    said = {name: _better(summary(times[name]), times.get(name + PASSIVE)) for name in candidates}
    return {name: {**said[name], "bytes": size_of(one.path), "provider": providers[name], **_made_for(one),
                   "peak_memory_mb": peak_mb(one.path, threads, one.runtime) if memory else None}
            for name, one in candidates.items()}


def _better(active: dict[str, float], passive: np.ndarray | None) -> dict[str, Any]:
    if passive is None:
        return {**active}
    other = summary(passive)
    busy = other["median_ms"] < active["median_ms"]
    return {**(other if busy else active), "busy": busy}


def machine(threads: int | None) -> dict[str, Any]:
    """What was measured on: processor, cores, threads, system, and the versions of the runtimes."""
    import os

    import torch

    from tasks.runtime.runtimes import versions

    return {"cpu": _cpu_name(), "cores": len(os.sched_getaffinity(0)), "threads": threads or torch.get_num_threads(),
            "system": f"{platform.system()} {platform.machine()}", **versions()}


def _runner(one: Candidate, threads: int | None, pictures: Sequence[np.ndarray], stack: ExitStack) -> Any:
    # apart: in one process the waiting threads of torch or OpenVINO and those of ONNX Runtime slow each other down
    if _made_for(one)["runtime"] == "onnxruntime":
        return Here(one.path, threads, pictures, one.runtime, one.device)
    return stack.enter_context(Apart(one.path, threads, pictures, one.runtime, one.device))


def _made_for(one: Candidate) -> dict[str, str]:
    from tasks.runtime.backends.description import describe
    from tasks.runtime.runtimes import DEVICES

    told = describe(one.path)
    runtime = one.runtime or told.runtime
    device = one.device or (told.device if runtime == told.runtime else DEVICES[runtime][0])
    return {"runtime": runtime, "device": device, "precision": told.precision}


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
