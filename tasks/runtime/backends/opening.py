"""Opens any artefact with the runtime that is asked for, or the one that it is made for; never with another."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from tasks.base.errors import DataError, UserError
from tasks.runtime.backends.description import Description, describe
from tasks.runtime.backends.opened import Ask, Opened
from tasks.runtime.runtimes import DEVICES, NAMES, checked, missing, present

ENGINES = ("tensorrt", "tensorrt-rtx")


def open_artefact(path: Path, problem: str, threads: int | None = None, runtime: str | None = None,
                  device: str | None = None) -> Opened:
    """Open a model folder, an .onnx file or an .engine file.

    Args:
        path: what to open.
        problem: `detect` or `classify`.
        threads: cores to use; all that this process may use when None.
        runtime: a key of `runtimes.NAMES`; what the file is made for when None.
        device: `cpu` or `cuda`; what the file is made for when None.

    Raises:
        DataError: there is nothing there that can be opened.
        UserError: the runtime or the device is not here; the message says which are.
    """
    told = describe(path)
    if told.problem != problem:
        raise DataError(f"its problem is {told.problem!r}, not {problem!r}", where=path,
                        mend="a cascade takes a detector first, then a classifier")
    chosen, place = _chosen(path, told, runtime, device)
    reason = missing(chosen, place)
    if reason:
        raise UserError(reason, where=path, mend=f"here are: {present()}")
    opened = _open(path, told, chosen, place, threads or len(os.sched_getaffinity(0)))
    if told.runtime in ENGINES and chosen not in ENGINES:
        opened = replace(opened, provider=f"{opened.provider}, emulating {NAMES[told.runtime]}")
    least = told.engine.batch[0]
    return replace(opened, ask=_at_least(opened.ask, least)) if least > 1 else opened


def _chosen(path: Path, told: Description, runtime: str | None, device: str | None) -> tuple[str, str]:
    chosen = checked(runtime) if runtime else told.runtime
    if chosen not in NAMES:
        raise DataError(f"it is made for the runtime {chosen!r}, which is not known here", where=path,
                        mend="visionmill upgrade, or export it again")
    folder, engine = told.runtime == "torch", path.suffix == ".engine"
    if (chosen == "torch") != folder or (engine and chosen != told.runtime):
        kind = "a model folder" if folder else f"an engine of {NAMES[told.runtime]}" if engine else "an ONNX file"
        raise UserError(f"{kind} does not run in {NAMES[chosen]}", where=path,
                        mend="name one of exports/*/trained.onnx" if folder else "leave the runtime out")
    fitting = told.device if told.runtime == chosen else DEVICES[chosen][0]
    place = device or (fitting if fitting in DEVICES[chosen] else DEVICES[chosen][0])
    if place not in DEVICES[chosen]:
        raise UserError(f"{NAMES[chosen]} runs on {' or '.join(DEVICES[chosen])}, not on {place!r}", where=path)
    return chosen, place


def _open(path: Path, told: Description, runtime: str, device: str, threads: int) -> Opened:
    if runtime == "torch":
        from tasks.runtime.backends import torch

        return torch.open_folder(path, told, threads, device)
    if runtime == "onnxruntime":
        from tasks.runtime.backends import onnxruntime

        return onnxruntime.open_file(path, told, threads, device)
    if runtime == "openvino":
        from tasks.runtime.backends import openvino

        return openvino.open_file(path, told, threads)
    from tasks.runtime.backends import tensorrt

    return tensorrt.open_file(path, told, runtime)


def _at_least(ask: Ask, least: int) -> Ask:
    """Fewer pictures than the file takes at once are filled up with the last one, whose answers are dropped."""
    def filled(images: np.ndarray) -> tuple[np.ndarray, ...]:
        count = len(images)
        if count >= least:
            return ask(images)
        whole = np.concatenate([images, np.repeat(images[-1:], least - count, axis=0)])
        return tuple(values[:count] for values in ask(whole))

    return filled
