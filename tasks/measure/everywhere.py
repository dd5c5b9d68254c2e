"""Every artefact on every runtime of this machine: accuracy, speed, memory and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.base.errors import UserError, VisionmillError
from tasks.measure.comparing import slower_than_float
from tasks.measure.detecting import detect, of_these_classes
from tasks.measure.timing import Candidate, machine, timings
from tasks.metrics.bootstrap import resample, spread
from tasks.metrics.detections import detections_table
from tasks.runtime.runtimes import NAMES, checked, here, missing

if TYPE_CHECKING:
    from tasks.data.table import Dataset

Left = dict[str, str]


@dataclass(frozen=True)
class Settings:
    """How it is measured.

    Attributes:
        rounds: turns that are counted, five pictures each.
        threads: cores for each; all that there are when None.
        runtimes: which are asked; all that are here when empty.
        pictures: that are run in rotation for times.
        memory: measure peak memory, in a process of its own each.
    """

    rounds: int = 10
    threads: int | None = None
    runtimes: tuple[str, ...] = ()
    pictures: int = 8
    memory: bool = True


def everywhere(paths: Mapping[str, Path], test: tuple[Dataset, Path] | None, settings: Settings) -> dict[str, Any]:
    """Measure each artefact on each runtime that can open it.

    Args:
        paths: artefact → model folder or file.
        test: pictures with boxes and their folder; without them there is no accuracy.
        settings: how.

    Returns:
        machine; rows: `ARTEFACT on RUNTIME` → artefact, runtime, device, precision, median_ms, p95_ms,
        throughput_per_s, peak_memory_mb, bytes, provider and, with pictures, AP, AP50 and their _low and _high;
        left_out: `ARTEFACT on RUNTIME` or a runtime → the reason; images: how many accuracy was measured on.

    Raises:
        DataError: an artefact is missing, broken, or has other classes than the pictures.
        UserError: a runtime that is asked for is not here, or nothing can be opened by any.
    """
    places, left_out = _places(settings.runtimes)
    candidates = {name: one for name, one in _pairs(paths, places).items()
                  if _opens(name, one, settings.threads, left_out)}
    if not candidates:
        raise UserError("no runtime on this machine opens any of these",
                        where="; ".join(f"{name}: {reason}" for name, reason in left_out.items()))
    accurate = _accuracy(candidates, test, settings.threads)
    timed = timings(candidates, _shown(candidates, test, settings.pictures), settings.rounds, settings.threads,
                    settings.memory)
    for name, faster in slower_than_float(timed).items():
        timed[name] |= {"slower_than_float": True, "faster_float": faster}
    rows = {name: {"artefact": name.partition(" on ")[0], **one, **accurate.get(name, {})}
            for name, one in timed.items()}
    return {"machine": machine(settings.threads), "rows": rows, "left_out": left_out,
            "images": test[0].images.num_rows if test else 0}


def _places(asked: Sequence[str]) -> tuple[list[tuple[str, str]], Left]:
    """Runtime and device of each that is measured, and why others are not.

    Raises:
        UserError: one that is asked for is not here.
    """
    present = here()
    for runtime in asked:
        if not any(name == checked(runtime) for name, _ in present):
            reason = missing(runtime) or missing(runtime, "cuda") or "not here"
            raise UserError(reason, where=f"--runtimes {runtime}",
                            mend=f"here are: {', '.join(dict.fromkeys(name for name, _ in present))}")
    absent = {} if asked else {label: missing(name) or "" for name, label in NAMES.items()
                               if not any(name == other for other, _ in present)}
    return [(name, device) for name, device in present if not asked or name in asked], absent


def _pairs(paths: Mapping[str, Path], places: Sequence[tuple[str, str]]) -> dict[str, Candidate]:
    """Those that fit: a model folder runs in torch alone, an engine in its own runtime, an ONNX file in the others."""
    from tasks.runtime.backends.description import describe

    found = {}
    for name, path in paths.items():
        own = describe(path).runtime
        alone = own == "torch" or path.suffix == ".engine"
        for runtime, device in places:
            if (runtime == own) if alone else (runtime != "torch"):
                where = runtime if device == "cpu" or runtime.startswith("tensorrt") else f"{runtime} {device}"
                found[f"{name} on {where}"] = Candidate(path, runtime, device)
    return found


def _opens(name: str, one: Candidate, threads: int | None, left_out: Left) -> bool:
    from tasks.runtime.detector import open_detector

    try:
        open_detector(one.path, threads, one.runtime, one.device)
    except VisionmillError as error:
        left_out[name] = error.what
        return False
    return True


def _accuracy(candidates: Mapping[str, Candidate], test: tuple[Dataset, Path] | None, threads: int | None
              ) -> dict[str, dict[str, float | None]]:
    """One detector after the other: they would hold each other's memory."""
    from tasks.runtime.detector import open_detector

    if test is None:
        return {}
    dataset, raw = test
    found: dict[str, dict[str, float | None]] = {}
    for name, one in candidates.items():
        detector = of_these_classes(open_detector(one.path, threads, one.runtime, one.device), dataset, one.path)
        seen = detect(raw, dataset, {name: detector}, label=f"{name}: pictures")[name]
        samples = resample(dataset, detections_table(seen))
        found[name] = {}
        for measure, sample in samples.items():
            for key, value in zip((measure, f"{measure}_low", f"{measure}_high"), spread(sample), strict=True):
                found[name][key] = value
    return found


def _shown(candidates: Mapping[str, Candidate], test: tuple[Dataset, Path] | None, count: int) -> list[np.ndarray]:
    """Pictures to run on; noise where there are none, which takes a network as long."""
    from tasks.data.pictures import locate, read_picture
    from tasks.runtime.backends.description import describe

    if test is not None:
        return [read_picture(place) for place in locate(test[1], test[0].images)[:count]]
    told = describe(next(iter(candidates.values())).path)
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (told.height, told.width, 3), dtype=np.uint8) for _ in range(min(count, 4))]
