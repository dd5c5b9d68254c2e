"""TensorRT and TensorRT-RTX engines from exported ONNX files.

Both libraries have the same API (TensorRT-RTX mirrors it), so both are built by the same lines. TensorRT builds for the
GPU that is there; TensorRT-RTX also builds ahead of time, on a machine without any, for named GPU generations.
Networks are strongly typed: the arithmetic is what the file says (FP16 casts, INT8 Q/DQ), the builder chooses nothing.
Building was checked with TensorRT-RTX 1.7; running, and TensorRT 11 itself, against their API only.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from tasks.base.errors import DataError, UserError, nearest
from tasks.base.files import digest_file, write_atomic, write_json
from tasks.runtime.backends.description import Description, EngineOptions, describe, description_beside
from tasks.runtime.runtimes import NAMES, installed, pip

CURRENT = "CURRENT"  # the GPU that is there
SAID = 12  # lines of a builder's log in an error


@dataclass(frozen=True)
class Timing:
    """Measured kernel times that builds of one TensorRT on one GPU share: the next build measures only what is new."""

    file: Path

    def into(self, config: Any) -> Any:
        """Give the builder what is known; the cache must live until the engine is built."""
        known = self.file.read_bytes() if self.file.is_file() else b""
        cache = config.create_timing_cache(known)
        if cache is None or not config.set_timing_cache(cache, False):  # of another version or GPU
            cache = config.create_timing_cache(b"")
            config.set_timing_cache(cache, False)
        return cache

    def keep(self, cache: Any) -> None:
        """Write down what is known after the build."""
        write_atomic(self.file, bytes(cache.serialize()))


def module(runtime: str) -> Any:
    """The Python module of `tensorrt` or `tensorrt-rtx`.

    Raises:
        UserError: it is not installed.
    """
    if not installed(runtime):
        raise UserError(f"{NAMES[runtime]} is not installed", mend=pip(runtime, "cuda"))
    if runtime == "tensorrt":
        import tensorrt

        return tensorrt
    import tensorrt_rtx

    return tensorrt_rtx


def logger(trt: Any) -> Any:
    """The logger of this module, emptied; it keeps warnings and errors in `.lines`.

    TensorRT's failures are `None` and a line in its log. It takes one logger a process: the first that it is given.
    """
    log = _logger(trt)
    log.lines.clear()
    return log


@cache
def _logger(trt: Any) -> Any:
    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= int(trt.ILogger.Severity.WARNING):
                self.lines.append(f"{severity.name.lower()}: {message.strip()}")

    return Log()


def said(log: Any) -> str:
    """The end of a log as lines of an error message."""
    return "".join(f"\n  {line[:300]}" for line in log.lines[-SAID:]) or "\n  its log is empty"


def build(runtime: str, onnx: Path, told: Description, options: EngineOptions, timing: Timing | None = None) -> bytes:
    """Build an engine and return its bytes.

    Args:
        runtime: `tensorrt` or `tensorrt-rtx`.
        onnx: an exported file.
        told: what it says of itself.
        options: batch, workspace and GPU generations; `told`'s own are not read.
        timing: measured kernel times to begin with and to add to; TensorRT only, TensorRT-RTX measures nothing.

    Raises:
        DataError: the file cannot be parsed or built; the message has the builder's log.
    """
    trt = module(runtime)
    log = logger(trt)
    builder = trt.Builder(log)
    # TensorRT 11 knows no other networks and ignores the flag
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(onnx)):
        wrong = "; ".join(str(parser.get_error(i).desc()) for i in range(min(3, parser.num_errors)))
        raise DataError(f"{NAMES[runtime]} cannot read it: {wrong}{said(log)}", where=onnx,
                        mend=f"export it for {runtime}: a target of conf/target/ with `runtime: {runtime}`")
    config = _config(trt, builder, options, told)
    _batch(builder, config, network, told, options, onnx)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        cache = timing.into(config) if timing else None
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise _not_built(runtime, log, onnx, options)
        if timing and cache is not None:
            timing.keep(cache)
    return bytes(plan)


def _config(trt: Any, builder: Any, options: EngineOptions, told: Description) -> Any:
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mb << 20)
    if told.precision == "fp32":
        config.clear_flag(trt.BuilderFlag.TF32)  # 10 bits of mantissa, on by default
    if options.capabilities:
        config.num_compute_capabilities = len(options.capabilities)
        for place, name in enumerate(options.capabilities):
            if not config.set_compute_capability(getattr(trt.ComputeCapability, name), place):
                raise UserError(f"{name} cannot be built for together with {', '.join(options.capabilities)}")
    return config


def _batch(builder: Any, config: Any, network: Any, told: Description, options: EngineOptions, onnx: Path) -> None:
    """A file with a dynamic batch needs a profile; one with a fixed batch must be what the options ask for."""
    given = network.get_input(0)
    low, usual, high = options.batch
    if given.shape[0] != -1:
        if (low, high) != (given.shape[0],) * 2:
            raise DataError(f"it takes {given.shape[0]} picture at once, not {low} to {high}", where=onnx,
                            mend="export it for a target with this `batch`")
        return
    profile = builder.create_optimization_profile()
    shapes = [(count, 3, told.height, told.width) for count in (low, usual, high)]
    profile.set_shape(given.name, *shapes)
    config.add_optimization_profile(profile)


def _not_built(runtime: str, log: Any, onnx: Path, options: EngineOptions) -> DataError:
    memory = any(word in line.lower() for line in log.lines for word in ("memory", "workspace"))
    return DataError(f"{NAMES[runtime]} did not build an engine:{said(log)}", where=onnx,
                     mend=f"a target with more than workspace_mb: {options.workspace_mb}" if memory else
                     "a target of another precision, or other capabilities")


def known_capabilities() -> list[str]:
    """GPU generations that the installed TensorRT-RTX builds for, for instance `SM89`.

    Raises:
        UserError: TensorRT-RTX is not installed.
    """
    return [name for name in module("tensorrt-rtx").ComputeCapability.__members__ if name not in ("NONE", CURRENT)]


def checked_capabilities(names: list[str]) -> tuple[str, ...]:
    """The same names, in the library's order.

    Raises:
        UserError: none is named, or one that the installed TensorRT-RTX does not know; those it knows are listed.
    """
    known = known_capabilities()
    for name in names:
        if name not in known:
            close = nearest(name.upper(), known)
            raise UserError(f"TensorRT-RTX does not build for {name!r}", where="capabilities",
                            mend=f"it knows {', '.join(known)}" + (f"; the nearest is {close}" if close else ""))
    if not names:
        raise UserError("no GPU generation is named", where="capabilities", mend=f"one or more of {', '.join(known)}")
    return tuple(name for name in known if name in names)


def build_rtx(onnx: Path, out: Path, capabilities: list[str] | None = None,
              workspace_mb: int | None = None) -> dict[str, Any]:
    """Build a TensorRT-RTX engine ahead of time, on any machine, and write it with its description beside it.

    Args:
        onnx: an exported file for TensorRT-RTX; its batch is the engine's.
        out: the engine, `NAME.engine`; what it is stands in `NAME.engine.json`.
        capabilities: GPU generations, for instance `["SM80", "SM89"]`; those of the file's target when None.
        workspace_mb: memory that the engine may work with, in MB; that of the file's target when None.

    Returns:
        What was built: capabilities, workspace_mb, batch, version, digests, bytes; and `seconds`, which is not written.

    Raises:
        UserError: a generation that TensorRT-RTX does not know, or it is not installed.
        DataError: the file cannot be built; the message has the builder's log.
    """
    if out.suffix != ".engine":
        raise UserError(f"an engine is called NAME.engine, not {out.name!r}", where=out)
    told = describe(onnx)
    named = list(told.engine.capabilities) if capabilities is None else capabilities
    options = replace(told.engine, workspace_mb=workspace_mb or told.engine.workspace_mb,
                      capabilities=checked_capabilities(named))
    began = time.perf_counter()
    plan = build("tensorrt-rtx", onnx, told, options)
    seconds = time.perf_counter() - began
    write_atomic(out, plan)
    facts = {"capabilities": list(options.capabilities), "workspace_mb": options.workspace_mb,
             "batch": list(options.batch), "precision": told.precision, "bytes": len(plan),
             "version": module("tensorrt-rtx").__version__, "onnx": digest_file(onnx), "engine": digest_file(out)}
    write_json(description_beside(out), {"metadata": described(told, "tensorrt-rtx", options), "facts": facts})
    return {**facts, "seconds": seconds}


def described(told: Description, runtime: str, options: EngineOptions) -> dict[str, str]:
    """The metadata of an engine: the file's own, and what it was built for."""
    import json

    batch = dict(zip(("min", "opt", "max"), options.batch, strict=True))
    engine = {**asdict(options), "batch": batch}
    return {**told.metadata, "runtime": runtime, "device": "cuda", "engine": json.dumps(engine, sort_keys=True)}
