"""One way to ask any artefact for boxes: a model folder through torch, an ONNX file through ONNX Runtime."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Protocol

import numpy as np

from tasks.base.errors import DataError
from tasks.runtime.detections import Detections
from tasks.runtime.letterbox import letterbox
from tasks.runtime.postprocess import detections_of


class Backend(Protocol):
    """Raw candidates of pictures uint8 [N, 3, H, W]: boxes float32 [N, A, 4] in input pixels, scores [N, A, K]."""

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...


class Detector:
    """Boxes for pictures of any size.

    Attributes:
        classes: names in the order of class ids.
        height, width: the network's input in pixels.
        line: key of the line that made the artefact.
        provider: what really computes, for instance `torch cpu` or `CPUExecutionProvider`.
        thresholds: score from which a detection of a class counts in use, 0..1.
    """

    def __init__(self, backend: Backend, classes: list[str], shape: tuple[int, int], line: str, provider: str,
                 thresholds: dict[str, float]) -> None:
        self.raw, self.classes, self.line, self.provider = backend, classes, line, provider
        self.height, self.width = shape
        self.thresholds = thresholds

    def fit(self, picture: np.ndarray) -> tuple[np.ndarray, float]:
        """A picture uint8 [H, W, 3] as network input uint8 [1, 3, height, width], and the factor between them."""
        canvas, scale = letterbox(picture, (self.height, self.width))
        return np.ascontiguousarray(canvas.transpose(2, 0, 1)[None]), scale

    def predict(self, pictures: list[np.ndarray], score_threshold: float | np.ndarray = 0.05,
                max_detections: int = 100) -> list[Detections]:
        """Detections in pixels of each picture, one picture at a time: exported files have a fixed batch of one.

        Args:
            pictures: uint8 [H, W, 3] RGB each.
            score_threshold: 0..1, one for all or float [K], one a class.
            max_detections: the best of each picture.
        """
        found = []
        for picture in pictures:
            image, scale = self.fit(picture)
            boxes, scores = self.raw(image)
            found.append(detections_of(boxes[0], scores[0], size=(picture.shape[0], picture.shape[1]), scale=scale,
                                       score_threshold=score_threshold, max_detections=max_detections))
        return found


def open_detector(path: Path, threads: int | None = None) -> Detector:
    """Open a model folder or an .onnx file.

    Args:
        path: what to open.
        threads: cores to use; all that this process may use when None.

    Raises:
        DataError: there is nothing there that can be opened.
    """
    count = threads or len(os.sched_getaffinity(0))
    return _open_onnx(path, count) if path.suffix == ".onnx" else _open_torch(path, count)


def _open_torch(folder: Path, threads: int) -> Detector:
    import torch

    from tasks.models.store import load_model

    torch.set_num_threads(threads)
    model, told = load_model(folder)
    model.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def ask(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        boxes, scores = model(torch.from_numpy(images))
        return boxes.numpy(), scores.numpy()

    return Detector(ask, told.classes, (told.height, told.width), told.line, "torch cpu", told.thresholds or {})


def _open_onnx(file: Path, threads: int) -> Detector:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # threads that spin on after an answer take the cores from whoever comes next: 16 against 9 ms beside three others
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no common base of its errors
        raise DataError(f"ONNX Runtime does not open it: {str(error).splitlines()[0][:200]}", where=file,
                        mend="export it again: dvc repro") from None
    told = session.get_modelmeta().custom_metadata_map
    if "classes" not in told:
        raise DataError("an ONNX file without our metadata", where=file, mend="export it with visionmill")

    def ask(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        boxes, scores = session.run(["boxes", "scores"], {"images": images})
        return np.asarray(boxes), np.asarray(scores)

    return Detector(ask, json.loads(told["classes"]), (int(told["height"]), int(told["width"])), told["line"],
                    session.get_providers()[0], json.loads(told["thresholds"]))
