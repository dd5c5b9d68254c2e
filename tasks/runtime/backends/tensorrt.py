"""TensorRT and TensorRT-RTX on an NVIDIA GPU; torch's tensors are the memory that engines read and write.

Checked against the API of both; running needs a GPU.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tasks.base.errors import DataError, VisionmillError
from tasks.base.files import digest_file, read_json, write_atomic
from tasks.runtime.backends.description import Description, description_beside
from tasks.runtime.backends.opened import Opened, outputs_of
from tasks.runtime.engines import logger, module, said
from tasks.runtime.engines_cached import built, folder
from tasks.runtime.runtimes import NAMES


def open_file(file: Path, told: Description, runtime: str) -> Opened:
    """Open an .engine file, or an .onnx file whose engine is built now or was built before.

    An engine holds machine code: open only one that you or someone you trust has built.

    Raises:
        DataError: the file cannot be built, or the engine is not for this GPU or this version.
    """
    import torch

    gpu = torch.cuda.get_device_name()
    if file.suffix == ".engine":
        whole(file)
        engine = file
    else:
        engine = built(runtime, file, told, gpu)
    trt = module(runtime)
    run = Runner(trt, runtime, engine, file, told)
    return Opened(run, told, runtime, f"{NAMES[runtime]} {trt.__version__} {gpu}")


def whole(engine: Path) -> None:
    """Raises DataError when an engine is not the one that its description was written for."""
    if digest_file(engine) != read_json(description_beside(engine)).get("facts", {}).get("engine"):
        raise DataError("the engine is not the one that was described: cut off or changed", where=engine,
                        mend="build it again")


class Runner:
    """An engine, its context and a stream of its own.

    Raises:
        DataError: the engine does not fit this GPU or this version of TensorRT; the message has the log.
    """

    def __init__(self, trt: Any, runtime: str, engine: Path, file: Path, told: Description) -> None:
        import torch

        self._trt, self._label, self._log = trt, NAMES[runtime], logger(trt)
        self._runtime = trt.Runtime(self._log)
        self._engine = self._runtime.deserialize_cuda_engine(engine.read_bytes())
        if self._engine is None:
            raise DataError(f"{self._label} does not load the engine on this GPU:{said(self._log)}", where=engine,
                            mend="build it on this machine, or for this GPU generation and version")
        names = [self._engine.get_tensor_name(place) for place in range(self._engine.num_io_tensors)]
        ins = [name for name in names if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        self._input, self._outputs = ins[0], outputs_of([name for name in names if name not in ins], file, told)
        self._stream = torch.cuda.Stream()
        compiled = folder() / f"{digest_file(engine)[:32]}.kernels" if runtime == "tensorrt-rtx" else None
        self._context, cache = self._prepared(compiled)
        if compiled and not compiled.is_file():
            self(np.zeros((told.engine.batch[1], 3, told.height, told.width), dtype=np.uint8))
            write_atomic(compiled, bytes(cache.serialize()))

    def _prepared(self, compiled: Path | None) -> tuple[Any, Any]:
        """The context; TensorRT-RTX compiles kernels as it first runs, and takes them from `compiled` the next time."""
        cache = None
        if compiled:
            config = self._engine.create_runtime_config()
            cache = config.create_runtime_cache()
            if compiled.is_file() and not cache.deserialize(compiled.read_bytes()):
                compiled.unlink()  # of another driver
            config.set_runtime_cache(cache)
            context = self._engine.create_execution_context(config)
        else:
            context = self._engine.create_execution_context()
        if context is None:
            raise VisionmillError(f"{self._label} has no room for the engine on this GPU:{said(self._log)}")
        return context, cache

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        """Raw outputs of pictures uint8 [N, 3, H, W], N within the engine's batch."""
        import torch

        with torch.cuda.stream(self._stream):
            given = torch.from_numpy(np.ascontiguousarray(images)).cuda(non_blocking=True)
            self._checked(self._context.set_input_shape(self._input, tuple(given.shape)))
            self._checked(self._context.set_tensor_address(self._input, given.data_ptr()))
            found = [torch.empty(tuple(self._context.get_tensor_shape(name)), dtype=torch.float32, device="cuda")
                     for name in self._outputs]
            for name, tensor in zip(self._outputs, found, strict=True):
                self._checked(self._context.set_tensor_address(name, tensor.data_ptr()))
            self._checked(self._context.execute_async_v3(self._stream.cuda_stream))
        self._stream.synchronize()
        return tuple(tensor.cpu().numpy() for tensor in found)

    def _checked(self, done: bool) -> None:
        if not done:
            raise VisionmillError(f"{self._label} did not run the engine:{said(self._log)}")
