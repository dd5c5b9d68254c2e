"""Artefacts for their accuracy: by their own runtime, or by ONNX Runtime where that one is not on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tasks.base.errors import UserError
from tasks.runtime.detector import Detector, open_detector
from tasks.runtime.runtimes import missing, runtime_of


@dataclass(frozen=True)
class Opened:
    """An artefact that answers.

    Attributes:
        detector: what answers.
        emulated: why it is not its own runtime that does, None when it is.
    """

    detector: Detector
    emulated: str | None = None


def open_all(paths: dict[str, Path]) -> tuple[dict[str, Opened], dict[str, str]]:
    """Open each artefact; also returns those that cannot be asked here, with the reason.

    Raises:
        DataError: a file that is missing, broken, or whose own runtime is here and does not open it.
    """
    opened: dict[str, Opened] = {}
    left_out: dict[str, str] = {}
    for name, path in paths.items():
        found = open_here(path)
        if isinstance(found, Opened):
            opened[name] = found
        else:
            left_out[name] = found
    return opened, left_out


def open_here(path: Path) -> Opened | str:
    """The artefact on its own runtime, else in ONNX Runtime on the CPU, else the reason why it cannot be asked.

    Raises:
        DataError: as `open_all`.
    """
    reason = why_not(path)
    if reason is None:
        return Opened(open_detector(path))
    try:
        return Opened(open_detector(path, runtime="onnxruntime", device="cpu"), reason)
    except UserError as error:  # for instance an engine, or arithmetic that ONNX Runtime has only on GPUs
        return f"{reason}; and ONNX Runtime does not stand in: {error.what}"


def why_not(path: Path) -> str | None:
    """Why the runtime that an artefact is made for cannot run here, None when it can.

    Raises:
        DataError: the artefact is missing or does not say what it is.
    """
    return missing(*runtime_of(path))
