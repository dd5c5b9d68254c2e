"""A detector finds, a classifier names: boxes of chosen classes are cut out and looked at once more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from pydantic import Field

from tasks.base.errors import UserError, nearest
from tasks.base.params import Params
from tasks.runtime.detections import Detections


class Classifies(Protocol):
    """Names and scores of a picture uint8 [H, W, 3] RGB: float32 [K] in 0..1."""

    @property
    def classes(self) -> list[str]: ...

    def scores(self, picture: np.ndarray) -> np.ndarray: ...


class Cascading(Params):
    """Which boxes a classifier names.

    Attributes:
        file: the classifier, an .onnx file with `problem: classify`.
        only: classes of the detector whose boxes are named; all when empty.
        margin: what is cut out around a box, as a share of its sides, on each side.
    """

    file: Path
    only: list[str] = []
    margin: float = Field(default=0.1, ge=0, le=2)


class Label(NamedTuple):
    """What the classifier says of a box: its best class, and that class's score in 0..1."""

    name: str
    score: float


class Cascade:
    """Names for a detector's boxes.

    Args:
        classifier: names a crop.
        classes: the detector's.
        only, margin: see `Cascading`.

    Raises:
        UserError: `only` names a class that the detector does not have.
    """

    def __init__(self, classifier: Classifies, classes: Sequence[str], only: Sequence[str] = (),
                 margin: float = 0.1) -> None:
        for name in only:
            if name not in classes:
                guess = nearest(name, classes)
                raise UserError(f"the detector knows no class {name!r}", where=f"--classify-only {name}",
                                mend=f"did you mean {guess!r}?" if guess else f"classes: {', '.join(classes)}")
        self.classifier, self.margin = classifier, margin
        self._asked = {classes.index(name) for name in only} or set(range(len(classes)))

    def label(self, picture: np.ndarray, found: Detections) -> list[Label | None]:
        """A label for each detection of the picture uint8 [H, W, 3]; None for those of other classes."""
        return [self._name(crop(picture, box, self.margin)) if int(name) in self._asked else None
                for box, name in zip(found.boxes, found.class_ids, strict=True)]

    def _name(self, part: np.ndarray) -> Label:
        scores = self.classifier.scores(part)
        best = int(np.argmax(scores))
        return Label(self.classifier.classes[best], float(scores[best]))


def crop(picture: np.ndarray, box: np.ndarray, margin: float = 0.0) -> np.ndarray:
    """What is in a box and around it, at least one pixel.

    Args:
        picture: uint8 [H, W, 3].
        box: xyxy in its pixels.
        margin: share of the box's width and height that is added on each side, as far as the picture reaches.
    """
    height, width = picture.shape[:2]
    left, top, right, bottom = (float(side) for side in box)
    wide, high = margin * max(right - left, 0), margin * max(bottom - top, 0)
    x0 = min(max(int(np.floor(left - wide)), 0), width - 1)
    y0 = min(max(int(np.floor(top - high)), 0), height - 1)
    x1 = min(max(int(np.ceil(right + wide)), x0 + 1), width)
    y1 = min(max(int(np.ceil(bottom + high)), y0 + 1), height)
    return np.ascontiguousarray(picture[y0:y1, x0:x1])
