"""Engines that were built on this machine, kept under the user's cache folder by what they were made of."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path

from tasks.base.files import digest_file, digest_value, write_atomic
from tasks.runtime.backends.description import Description, EngineOptions
from tasks.runtime.engines import CURRENT, Timing, build, module


def folder() -> Path:
    """Where engines are kept: `$XDG_CACHE_HOME/visionmill/engines`, by default under ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "visionmill" / "engines"


def key(runtime: str, version: str, gpu: str, onnx: Path, told: Description, options: EngineOptions) -> str:
    """What an engine depends on: the file's bytes, TensorRT's version, the GPU and the options."""
    return digest_value([[digest_file(file) for file in (onnx, *told.beside)], runtime, version, gpu, asdict(options),
                         told.precision])


def built(runtime: str, onnx: Path, told: Description, gpu: str, options: EngineOptions | None = None) -> Path:
    """The engine of an ONNX file for the GPU of this name, from the cache or built now.

    Args:
        runtime: `tensorrt` or `tensorrt-rtx`.
        onnx: an exported file.
        told: what it says of itself.
        gpu: the GPU's name, as torch says it.
        options: the file's own when None, for the GPU that is there.

    Raises:
        DataError: it cannot be built; the message has the builder's log.
    """
    options = options or replace(told.engine, capabilities=(CURRENT,) if runtime == "tensorrt-rtx" else ())
    version = module(runtime).__version__
    file = folder() / f"{key(runtime, version, gpu, onnx, told, options)[:32]}.engine"
    if not file.is_file():
        # TensorRT-RTX measures nothing: its kernels are compiled where they run
        timing = Timing(folder() / f"timing-{digest_value([version, gpu])[:16]}") if runtime == "tensorrt" else None
        write_atomic(file, build(runtime, onnx, told, options, timing))
    return file
