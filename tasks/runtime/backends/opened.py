"""What every backend gives back, and how it says that a file does not open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from tasks.base.errors import DataError
from tasks.runtime.backends.description import AGAIN, Description

OUTPUTS = {"detect": ("boxes", "scores"), "classify": ("scores",)}


class Ask(Protocol):
    """Raw outputs of pictures uint8 [N, 3, H, W], in the order of `OUTPUTS`: float32 [N, A, 4], [N, A, K] or [N, K]."""

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, ...]: ...


@dataclass(frozen=True)
class Opened:
    """An artefact that answers.

    Attributes:
        ask: from pictures to raw outputs.
        told: what it says of itself.
        runtime: what runs it, a key of `runtimes.NAMES`.
        provider: what really computes.
    """

    ask: Ask
    told: Description
    runtime: str
    provider: str


def refused(runtime: str, said: object, file: Path, told: Description) -> DataError:
    """The error for a file that a runtime does not open, from what the runtime said."""
    lines = [line.strip(" -") for line in str(said).splitlines() if line.strip()]
    # OpenVINO begins with where in its source it stumbled, and ends with what is at fault
    telling = [line for line in lines if not line.startswith(("Exception from", "Check '")) and line[-1:] != ":"]
    text = next((line for line in telling if line.startswith("No conversion rule")), [*telling, *lines, "no reason"][0])
    if "opset" in str(said).lower():
        return DataError(f"{runtime} does not open it: ONNX opset {told.opset} is not one it knows ({text[:200]})",
                         where=file, mend="export it with an opset that it reads, or install a newer runtime")
    return DataError(f"{runtime} does not open it: {text[:300]}", where=file, mend=AGAIN)


def failed(runtime: str, error: object, file: Path, told: Description) -> DataError:
    """The error for a file that opened and does not run: its operators are put together for another runtime."""
    text = " ".join(str(error).split())
    return DataError(f"{runtime} does not run it: {text[-300:]}", where=file,
                     mend=f"it is made for {told.runtime}; leave the runtime out, or export it for this one")


def outputs_of(names: list[str], file: Path, told: Description) -> tuple[str, ...]:
    """Names of the outputs to ask for.

    Raises:
        DataError: the file has not the outputs of its problem.
    """
    if told.problem not in OUTPUTS:
        raise DataError(f"its problem is {told.problem!r}; {' and '.join(OUTPUTS)} can be run", where=file)
    wanted = OUTPUTS[told.problem]
    if set(wanted) - set(names):
        raise DataError(f"its outputs are {', '.join(names)}, not {' and '.join(wanted)}", where=file, mend=AGAIN)
    return wanted
