"""One way to ask any classifier file what a picture shows: the second step of a cascade."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tasks.runtime.backends.opening import open_artefact
from tasks.runtime.letterbox import letterbox


class Classifier:
    """Scores of classes for pictures of any size.

    Attributes:
        classes: names in the order of class ids.
        height, width: the network's input in pixels.
        runtime: what runs it, a key of `runtimes.NAMES`.
        precision: `fp32`, `fp16` or `int8`.
        provider: what really computes.
    """

    def __init__(self, path: Path, threads: int | None, runtime: str | None, device: str | None) -> None:
        opened = open_artefact(path, "classify", threads, runtime, device)
        told = opened.told
        self._ask, self.runtime, self.provider = opened.ask, opened.runtime, opened.provider
        self.classes, self.height, self.width, self.precision = told.classes, told.height, told.width, told.precision

    def scores(self, picture: np.ndarray) -> np.ndarray:
        """Score of each class, float32 [K] in 0..1, for a picture uint8 [H, W, 3] RGB."""
        canvas, _ = letterbox(picture, (self.height, self.width))
        (scores,) = self._ask(np.ascontiguousarray(canvas.transpose(2, 0, 1)[None]))
        return np.asarray(scores[0], dtype=np.float32)


def open_classifier(path: Path, threads: int | None = None, runtime: str | None = None,
                    device: str | None = None) -> Classifier:
    """Open an .onnx or .engine file whose problem is `classify`.

    Args:
        path: what to open.
        threads: cores to use; all that this process may use when None.
        runtime, device: what the file is made for when None.

    Raises:
        DataError: there is nothing that can be opened, or it is a detector.
        UserError: the runtime is not here.
    """
    return Classifier(path, threads, runtime, device)
