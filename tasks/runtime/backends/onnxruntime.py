"""ONNX Runtime on a CPU or an NVIDIA GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tasks.base.errors import UserError
from tasks.runtime.backends.description import Description
from tasks.runtime.backends.opened import Opened, failed, outputs_of, refused

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def open_file(file: Path, told: Description, threads: int, device: str) -> Opened:
    """Open an .onnx file.

    Raises:
        DataError: it does not open.
        UserError: the GPU was asked for and ONNX Runtime took the CPU, which it does without a word.
    """
    session = _session(file, told, threads, device)
    used = session.get_providers()
    if used[0] != PROVIDERS[device]:
        raise UserError(f"ONNX Runtime did not take {PROVIDERS[device]}; it has {', '.join(used)}", where=file,
                        mend="visionmill doctor says what is missing; or ask for device cpu")
    wanted = list(outputs_of([output.name for output in session.get_outputs()], file, told))
    name = session.get_inputs()[0].name

    def ask(images: np.ndarray) -> tuple[np.ndarray, ...]:
        try:
            return tuple(np.asarray(value) for value in session.run(wanted, {name: images}))
        except Exception as error:  # onnxruntime has no common base of its errors
            raise failed("ONNX Runtime", error, file, told) from None

    return Opened(ask, told, "onnxruntime", used[0])


def _session(file: Path, told: Description, threads: int, device: str) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what goes wrong is raised
    # threads that spin on after an answer take the cores from whoever comes next: 16 against 9 ms beside three others
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if device == "cuda":
        ort.preload_dlls()  # CUDA's libraries from torch's wheels, where the system has none
    try:
        return ort.InferenceSession(file, options, providers=[PROVIDERS[device]])
    except Exception as error:  # onnxruntime has no common base of its errors
        raise refused("ONNX Runtime", error, file, told) from None
