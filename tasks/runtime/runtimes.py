"""Which runtimes there are, which can run here, and what a file is made for."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

from tasks.base.errors import UserError, nearest

NAMES = {"torch": "torch", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "tensorrt": "TensorRT",
         "tensorrt-rtx": "TensorRT-RTX"}
# the first is where a file runs that was made for another runtime
DEVICES = {"torch": ("cpu", "cuda"), "onnxruntime": ("cpu", "cuda"), "openvino": ("cpu",), "tensorrt": ("cuda",),
           "tensorrt-rtx": ("cuda",)}
EXTRAS = {("onnxruntime", "cpu"): "cpu", ("onnxruntime", "cuda"): "gpu", ("openvino", "cpu"): "openvino",
          ("tensorrt", "cuda"): "tensorrt", ("tensorrt-rtx", "cuda"): "rtx"}
MODULES = {"torch": "torch", "onnxruntime": "onnxruntime", "openvino": "openvino", "tensorrt": "tensorrt",
           "tensorrt-rtx": "tensorrt_rtx"}
WHEELS = {"torch": ("torch",), "onnxruntime": ("onnxruntime", "onnxruntime-gpu"), "openvino": ("openvino",),
          "tensorrt": ("tensorrt", "tensorrt_cu13", "tensorrt_cu12"), "tensorrt-rtx": ("tensorrt_rtx",)}


def names() -> list[str]:
    """All runtimes that can be asked for, by the names that files and commands use."""
    return list(NAMES)


def checked(runtime: str) -> str:
    """The runtime of that name.

    Raises:
        UserError: there is none; the nearest is named.
    """
    if runtime not in NAMES:
        close = nearest(runtime, NAMES)
        raise UserError(f"no runtime is called {runtime!r}",
                        mend=f"did you mean {close!r}?" if close else f"one of {', '.join(NAMES)}")
    return runtime


def missing(runtime: str, device: str = "cpu") -> str | None:
    """Why a runtime cannot run here, in words with the command that mends it; None when it can.

    TensorRT needs a GPU whatever `device` says. Building engines ahead of time does not: see `engines.build_rtx`.
    """
    label = NAMES[checked(runtime)]
    if runtime.startswith("tensorrt"):
        device = "cuda"
    if device not in DEVICES[runtime]:
        return f"{label} does not run on {device!r} here; it does on {' and '.join(DEVICES[runtime])}"
    if device == "cuda" and (reason := no_gpu()):
        extra = f"; it has {', '.join(providers())}" if runtime == "onnxruntime" else ""
        return f"{label} needs an NVIDIA GPU{'' if runtime.startswith('tensorrt') else ' for cuda'}; {reason}{extra}"
    if not installed(runtime):
        return f"{label} is not installed: {pip(runtime, device)}"
    if (runtime, device) == ("onnxruntime", "cuda") and "CUDAExecutionProvider" not in providers():
        return (f"this ONNX Runtime has no CUDA, it has {', '.join(providers())}: "
                f"pip uninstall onnxruntime, then {pip(runtime, device)}")
    return _unknown_gpu() if runtime == "tensorrt-rtx" else None


def _unknown_gpu() -> str | None:
    """TensorRT-RTX is for workstations' GPUs: it knows no Hopper, for instance."""
    import torch

    from tasks.runtime.engines import known_capabilities

    generation, known = "SM{}{}".format(*torch.cuda.get_device_capability()), known_capabilities()
    return None if generation in known else \
        f"TensorRT-RTX does not run on {torch.cuda.get_device_name()} ({generation}); it does on {', '.join(known)}"


def no_gpu() -> str | None:
    """Why no NVIDIA GPU can be used, None when one can: torch moves the pictures there for every runtime."""
    import torch

    if torch.cuda.is_available():
        return None
    return f"torch {torch.__version__} does not see the one here" if Path("/dev/nvidiactl").exists() \
        else "this machine has none"


def providers() -> list[str]:
    """Execution providers of the ONNX Runtime that is installed; none when it is not."""
    if not installed("onnxruntime"):
        return []
    import onnxruntime

    return list(onnxruntime.get_available_providers())


def installed(runtime: str) -> bool:
    """Whether its Python module is here; nothing is imported."""
    return importlib.util.find_spec(MODULES[runtime]) is not None


def pip(runtime: str, device: str = "cpu") -> str:
    """The command that installs a runtime."""
    extra = EXTRAS.get((runtime, device))
    return f"pip install visionmill[{extra}]" if extra else "pip install torch torchvision"


def here() -> list[tuple[str, str]]:
    """Runtime and device of each that can run on this machine."""
    return [(name, device) for name in NAMES for device in DEVICES[name] if missing(name, device) is None]


def present() -> str:
    """The same in words: `torch (cpu), ONNX Runtime (cpu)`."""
    return ", ".join(f"{NAMES[name]} ({device})" for name, device in here())


def runtime_of(path: Path) -> tuple[str, str]:
    """Runtime and device that a file is made for; a model folder: torch, cpu.

    Raises:
        DataError: there is nothing that describes itself.
    """
    from tasks.runtime.backends.description import describe

    told = describe(path)
    return told.runtime, told.device


def versions() -> dict[str, str]:
    """Version of each runtime that is installed, for a benchmark's record."""
    found = {}
    for name, wheels in WHEELS.items():
        for wheel in wheels:
            try:
                found[name] = importlib.metadata.version(wheel)
                break
            except importlib.metadata.PackageNotFoundError:
                continue
    return found
