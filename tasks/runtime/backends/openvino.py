"""OpenVINO on a CPU. Nothing is sent to anyone: importing it would otherwise tell its makers so."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from tasks.runtime.backends.description import Description
from tasks.runtime.backends.opened import Opened, failed, outputs_of, refused


def silence() -> None:
    """Keep OpenVINO and nncf from sending telemetry: both use an empty stand-in where its module cannot be imported.

    Call it before the first import of either. The opt-out that their makers offer is a file in the user's home, which
    is not ours to write; an environment variable counts in their own CI only.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]


def open_file(file: Path, told: Description, threads: int) -> Opened:
    """Open an .onnx file.

    Raises:
        DataError: it does not open.
    """
    silence()
    import openvino

    core = openvino.Core()
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads,
               # newer CPUs would otherwise compute in bfloat16, which is not the model that was trained
               "INFERENCE_PRECISION_HINT": "f32",
               # threads tied to cores collide with those of whoever else runs here
               "ENABLE_CPU_PINNING": False}
    try:
        model = core.read_model(file)
        compiled = core.compile_model(model, "CPU", options)
    except RuntimeError as error:
        raise refused("OpenVINO", error, file, told) from None
    wanted = outputs_of([name for output in compiled.outputs for name in output.names], file, told)
    request = compiled.create_infer_request()
    provider = f"OpenVINO {openvino.get_version().partition('-')[0]} CPU"
    outputs = [compiled.output(name) for name in wanted]

    def ask(images: np.ndarray) -> tuple[np.ndarray, ...]:
        try:
            found = request.infer({0: images}, share_inputs=True)
        except RuntimeError as error:
            raise failed("OpenVINO", error, file, told) from None
        # the request's own memory is written over by the next call
        return tuple(np.array(found[output]) for output in outputs)

    return Opened(ask, told, "openvino", provider)
