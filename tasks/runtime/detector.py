"""One way to ask any artefact for boxes: a model folder, an ONNX file, an engine; whatever runs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from tasks.runtime.backends.opening import open_artefact
from tasks.runtime.detections import Detections
from tasks.runtime.letterbox import letterbox
from tasks.runtime.postprocess import Suppression, detections_of


class Backend(Protocol):
    """Raw candidates of pictures uint8 [N, 3, H, W]: boxes float32 [N, A, 4] in input pixels, scores [N, A, K]."""

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...


class Detector:
    """Boxes for pictures of any size.

    Attributes:
        raw: the network alone, a `Backend`.
        classes: names in the order of class ids.
        height, width: the network's input in pixels.
        line: key of the line that made the artefact.
        provider: what really computes, for instance `torch cpu` or `CPUExecutionProvider`.
        thresholds: score from which a detection of a class counts in use, 0..1.
        suppression: how raw candidates become detections.
        runtime: what runs it, a key of `runtimes.NAMES`.
        precision: `fp32`, `fp16` or `int8`.
        batch: how many pictures `predict` gives the network at once.
    """

    def __init__(self, backend: Backend, classes: list[str], shape: tuple[int, int], line: str, provider: str,
                 thresholds: dict[str, float], *, suppression: Suppression | None = None, runtime: str = "torch",
                 precision: str = "fp32", batch: int = 1) -> None:
        self.raw, self.classes, self.line, self.provider = backend, classes, line, provider
        self.height, self.width = shape
        self.thresholds = thresholds
        self.suppression = suppression or Suppression()
        self.runtime, self.precision, self.batch = runtime, precision, batch

    def fit(self, picture: np.ndarray) -> tuple[np.ndarray, float]:
        """A picture uint8 [H, W, 3] as network input uint8 [1, 3, height, width], and the factor between them."""
        canvas, scale = letterbox(picture, (self.height, self.width))
        return np.ascontiguousarray(canvas.transpose(2, 0, 1)[None]), scale

    def predict(self, pictures: list[np.ndarray], score_threshold: float | np.ndarray = 0.05,
                max_detections: int | None = None) -> list[Detections]:
        """Detections in pixels of each picture; one at a time where the file has a fixed batch of one.

        Args:
            pictures: uint8 [H, W, 3] RGB each.
            score_threshold: 0..1, one for all or float [K], one a class.
            max_detections: the best of each picture; what the artefact says when None.
        """
        return [detections_of(boxes, scores, size=(picture.shape[0], picture.shape[1]), scale=scale,
                              score_threshold=score_threshold, suppression=self.suppression,
                              max_detections=max_detections or self.suppression.max_detections)
                for picture, scale, boxes, scores in self._candidates(pictures)]

    def _candidates(self, pictures: list[np.ndarray]) -> Iterator[tuple[np.ndarray, float, np.ndarray, np.ndarray]]:
        for start in range(0, len(pictures), self.batch):
            some = pictures[start: start + self.batch]
            fitted = [self.fit(picture) for picture in some]
            boxes, scores = self.raw(fitted[0][0] if len(some) == 1 else np.concatenate([x for x, _ in fitted]))
            for place, (picture, (_, scale)) in enumerate(zip(some, fitted, strict=True)):
                yield picture, scale, boxes[place], scores[place]


def open_detector(path: Path, threads: int | None = None, runtime: str | None = None,
                  device: str | None = None) -> Detector:
    """Open a model folder, an .onnx file or an .engine file.

    Args:
        path: what to open.
        threads: cores to use; all that this process may use when None.
        runtime: a key of `runtimes.NAMES`; what the file is made for when None. A file made for TensorRT can be opened
            with `onnxruntime` on a CPU, for its accuracy: `provider` then says that this is an emulation.
        device: `cpu` or `cuda`; what the file is made for when None.

    Raises:
        DataError: there is nothing there that can be opened, or it is no detector.
        UserError: the runtime or the device is not here; the message says which are. Never another one in silence.
    """
    opened = open_artefact(path, "detect", threads, runtime, device)

    def ask(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        boxes, scores = opened.ask(images)
        return boxes, scores

    told = opened.told
    return Detector(ask, told.classes, (told.height, told.width), told.line, opened.provider, told.thresholds,
                    suppression=told.suppression, runtime=opened.runtime, precision=told.precision,
                    batch=told.engine.batch[2])
