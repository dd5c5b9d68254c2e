"""A teacher whose boxes get outlines: another model draws what is in each."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from tasks.base.files import digest_value
from tasks.labelling.teachers.found import Found, Teacher
from tasks.labels.calibration import PRIOR_LOW, PRIOR_SLOPE
from tasks.labels.difficulty import SHOWN

# a box that nobody is shown needs no outline, and there are many of them
LEAST = (SHOWN - PRIOR_LOW) / PRIOR_SLOPE


class Masker(Protocol):
    """See `prompted.open_masker`."""

    name: str

    @property
    def digest(self) -> str:
        """SHA-256 of the weights and of how they are used."""

    def mask(self, picture: np.ndarray, boxes: np.ndarray) -> list[list[list[float]]]:
        """The rings of each box."""


class MaskingTeacher:
    """Boxes by one model, their outlines by another; see `found.Teacher`.

    Args:
        least: boxes of lower scores keep no outline.
    """

    def __init__(self, teacher: Teacher, masker: Masker, least: float = LEAST) -> None:
        self.teacher, self.masker, self.least = teacher, masker, least
        self.name, self.classes = teacher.name, teacher.classes
        self.notes = [*getattr(teacher, "notes", []), f"outlines by {masker.name}"]
        self.digest = digest_value([teacher.digest, masker.digest, least])

    def ask(self, pictures: list[np.ndarray]) -> list[Found]:
        """Boxes with outlines on each picture, uint8 [H, W, 3] RGB."""
        return [self._outlined(picture, found)
                for picture, found in zip(pictures, self.teacher.ask(pictures), strict=True)]

    def glance(self, pictures: list[np.ndarray]) -> list[Found]:
        """Boxes alone."""
        glance = getattr(self.teacher, "glance", self.teacher.ask)
        found: list[Found] = glance(pictures)
        return found

    def _outlined(self, picture: np.ndarray, found: Found) -> Found:
        sure = np.flatnonzero(found.scores >= self.least)
        outlines: list[list[list[float]]] = [[] for _ in range(len(found.scores))]
        if len(sure):
            for row, rings in zip(sure.tolist(), self.masker.mask(picture, found.boxes[sure]), strict=True):
                outlines[row] = rings
        return replace(found, polygons=outlines)
