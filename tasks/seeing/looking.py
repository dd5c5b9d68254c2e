"""One look at one picture: the detector, in tiles where it is asked to, and the classifier behind it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tasks.runtime.cascade import Cascade, Cascading
from tasks.runtime.detector import Detector, open_detector
from tasks.runtime.slicing import predict_sliced
from tasks.seeing.drawing import Row, draw, rows
from tasks.seeing.opening import find_model, thresholds
from tasks.seeing.options import Options


class Looker:
    """A detector with its settings.

    Args:
        model: see `find_model`.
        options: what was chosen.
        workspace: where the default model and the registry are.

    Attributes:
        detector: what finds.
        provider: what really computes, the classifier's too.
        seconds: spent on looking so far, reading and drawing apart.
        looks: how many.

    Raises:
        UserError: no such model, runtime, device or class.
    """

    def __init__(self, model: str | None, options: Options, workspace: Path = Path()) -> None:
        self.detector: Detector = open_detector(find_model(model, workspace), runtime=options.runtime,
                                                device=options.device)
        self.limits = thresholds(self.detector, options.threshold)
        self.slicing, self.provider = options.slicing, self.detector.provider
        self.cascade: Cascade | None = None
        self.seconds, self.looks = 0.0, 0
        if options.cascade:
            self._classify_with(options.cascade)

    def _classify_with(self, asked: Cascading) -> None:
        from tasks.runtime.classifier import open_classifier

        # a runtime is asked for the detector; the classifier runs on what its file is made for
        classifier = open_classifier(asked.file)
        self.cascade = Cascade(classifier, self.detector.classes, asked.only, asked.margin)
        self.provider = f"{self.detector.provider}, labels by {classifier.provider}"

    def __call__(self, picture: np.ndarray) -> list[Row]:
        """What is seen on a picture uint8 [H, W, 3] RGB; see `drawing.rows`."""
        start = time.perf_counter()
        if self.slicing:
            found = predict_sliced(self.detector, picture, self.slicing, self.limits, self.detector.suppression.iou)
        else:
            found = self.detector.predict([picture], score_threshold=self.limits)[0]
        labels = self.cascade.label(picture, found) if self.cascade else None
        self.seconds += time.perf_counter() - start
        self.looks += 1
        return rows(found, self.detector.classes, labels)

    def drawn(self, picture: np.ndarray, said: Sequence[Row]) -> np.ndarray:
        """The picture with what was said of it."""
        return np.asarray(draw(picture, said, self.detector.classes))

    def counted(self, said: Sequence[Row]) -> str:
        """`3 RBC, 1 WBC`, or `nothing`."""
        counts = {name: sum(row["class"] == name for row in said) for name in self.detector.classes}
        return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing"

    def pace(self) -> str:
        """`85.3 pictures/s`, reading and drawing apart."""
        return f"{self.looks / max(self.seconds, 1e-9):.1f} pictures/s"
