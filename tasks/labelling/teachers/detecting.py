"""A detector as a teacher: any artefact that the runtimes open, its candidates brought to the pool's classes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tasks.base.errors import UserError
from tasks.labelling.teachers.answers import found_of, refuse_misfit
from tasks.labelling.teachers.finding import KEPT
from tasks.labelling.teachers.found import Found
from tasks.labelling.teachers.mapping import Classes
from tasks.runtime.detector import Detector, open_detector

STRIDES = (4, 8, 16, 32, 64, 128)


class DetectingTeacher:
    """Asks a detector; see `found.Teacher`. Pickled, it is opened again where it is unpickled, with one thread.

    Args:
        file: a model folder, an .onnx file or an .engine file.
        mapped: of the detector's classes.
        digest: of the model's bytes and of the mapping.
        threads: cores to use; all of them when None.

    Attributes:
        detector: what finds.

    Raises:
        DataError, UserError: as `open_detector`.
    """

    def __init__(self, file: Path, mapped: Classes, *, name: str, digest: str, threads: int | None = None) -> None:
        self.file, self.name, self.digest = file, name, digest
        self.classes, self.notes = mapped.names, mapped.notes
        self._mapped = mapped
        self.detector: Detector = open_detector(file, threads)

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened_again, (self.file, self._mapped, self.name, self.digest)

    def ask(self, pictures: list[np.ndarray]) -> list[Found]:
        """Boxes of the pool's classes on each picture, uint8 [H, W, 3] RGB.

        Raises:
            UserError: the network's answer cannot be what its description says.
        """
        return [self._found(*one) for one in self._candidates(pictures)]

    def glance(self, pictures: list[np.ndarray]) -> list[Found]:
        """As `ask`, without margin, spread and support, which are zeros: for a second look, by which a first is
        checked."""
        return [self._found(*one, features=False) for one in self._candidates(pictures)]

    def heat(self, pictures: list[np.ndarray]) -> list[np.ndarray]:
        """ALDD's S of each class on each picture, float64 [K]; the network is run again for it.

        Raises:
            UserError: the network's candidates stand on no grid.
        """
        from tasks.labels.mining.aldd import scores as aldd

        found = []
        for *_, scores in self._candidates(pictures):
            known = self._scores(scores)[:, :len(self.classes)]
            found.append(np.array([aldd(self._maps(known[:, k])[:, None])[0] for k in range(known.shape[1])]))
        return found

    def _candidates(self, pictures: list[np.ndarray]) -> Iterator[tuple[np.ndarray, float, np.ndarray, np.ndarray]]:
        detector = self.detector
        for start in range(0, len(pictures), detector.batch):
            some = pictures[start: start + detector.batch]
            fitted = [detector.fit(picture) for picture in some]
            boxes, scores = detector.raw(np.concatenate([canvas for canvas, _ in fitted]))
            for place, (picture, (_, scale)) in enumerate(zip(some, fitted, strict=True)):
                yield picture, scale, boxes[place], scores[place]

    def _found(self, picture: np.ndarray, scale: float, boxes: np.ndarray, scores: np.ndarray,
               features: bool = True) -> Found:
        refuse_misfit(boxes, scores, (self.detector.height, self.detector.width), self.name,
                      elsewhere=self.file.parts[-4:-2] == KEPT.parts)
        height, width = picture.shape[:2]
        return found_of(boxes, self._scores(scores), len(self.classes), size=(height, width), scale=scale,
                        suppression=self.detector.suppression, features=features)

    def _scores(self, scores: np.ndarray) -> np.ndarray:
        """[A, K] of the pool's classes; where the teacher knows more, a last column for the best of these.

        That last column is never a detection, but a box that it speaks against is less sure of its class.
        """
        if self._mapped.same and scores.shape[1] == len(self.classes):
            return scores
        to = np.where(self._mapped.to < 0, len(self.classes), self._mapped.to)
        said = np.zeros((len(self.classes) + 1, len(scores)), np.float32)
        for theirs, ours in enumerate(to):
            np.maximum(said[ours], scores[:, theirs], out=said[ours])
        return np.ascontiguousarray(said.T)

    def _maps(self, scores: np.ndarray) -> np.ndarray:
        """Scores [A] of one class as maps [levels, height, width] of the input's size."""
        size = (self.detector.height, self.detector.width)
        levels = grids(len(scores), size)
        if levels is None:
            raise UserError(f"the {len(scores)} candidates of {self.name} stand on no grid: there are no heat maps",
                            where="aldd", mend="take another strategy, or a teacher that answers for each place")
        parts = np.split(scores, np.cumsum([rows * columns for rows, columns in levels])[:-1])
        return np.stack([_resized(part.reshape(shape), size) for part, shape in zip(parts, levels, strict=True)])


def grids(candidates: int, size: tuple[int, int]) -> list[tuple[int, int]] | None:
    """Rows and columns of the levels that give so many candidates, one a place, finest first; None where none do.

    Networks differ in which powers of two they look at, and all of ours look at neighbouring ones.
    """
    for first in range(len(STRIDES)):
        levels: list[tuple[int, int]] = []
        for stride in STRIDES[first:]:
            levels.append((-(-size[0] // stride), -(-size[1] // stride)))
            if sum(rows * columns for rows, columns in levels) == candidates:
                return levels
    return None


def _resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    grid = Image.fromarray(np.ascontiguousarray(values, np.float32), "F")
    return np.asarray(grid.resize((size[1], size[0]), Image.Resampling.BILINEAR)).clip(0, 1)


def _opened_again(file: Path, mapped: Classes, name: str, digest: str) -> DetectingTeacher:
    return DetectingTeacher(file, mapped, name=name, digest=digest, threads=1)
