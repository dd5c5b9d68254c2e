"""What a model says of pictures without labels: how many boxes, of which classes, how sure."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.base.errors import DataError
from tasks.base.files import digest_file, digest_tree, digest_value, write_atomic
from tasks.data.pictures import read_picture
from tasks.drift.measures import Entry
from tasks.drift.reference import DAMAGED, STATE
from tasks.seeing.opening import thresholds

if TYPE_CHECKING:
    from tasks.runtime.detector import Detector

# a score below it is noise
LEAST = 0.05


@dataclass(frozen=True)
class Said:
    """A model's answers, a row a picture that could be read.

    Attributes:
        rows: positions among the entries, int64 [n].
        best: the best score, 0 to 1; 0 where there is no box; float64 [n].
        boxes: of each class from the score on that counts in use, float64 [n, K].
    """

    rows: np.ndarray
    best: np.ndarray
    boxes: np.ndarray


class Model:
    """A detector, opened when it is first asked; its answers are kept below `.visionmill/drift/`.

    Args:
        path: a file or a folder that `tasks.runtime.detector` opens.
        title: what it is called in the page.
    """

    def __init__(self, path: Path, title: str, workspace: Path) -> None:
        self.path, self.title, self.workspace = path, title, workspace
        self.digest = digest_tree(path) if path.is_dir() else digest_file(path)
        self._detector: Detector | None = None

    @property
    def detector(self) -> Detector:
        """Raises DataError or UserError where it cannot be opened here."""
        from tasks.runtime.detector import open_detector

        if self._detector is None:
            self._detector = open_detector(self.path)
        return self._detector

    @property
    def classes(self) -> list[str]:
        return self.detector.classes

    def ask(self, entries: Sequence[Entry]) -> Said:
        """Answers to pictures, in their order."""
        which = digest_value([self.digest, [entry.digest for entry in entries]])[:24]
        path = self.workspace / STATE / "said" / f"{which}.npz"
        if (kept := _load(path, len(self.classes))) is not None:
            return kept
        said = _ask(self.detector, entries)
        buffer = io.BytesIO()
        np.savez(buffer, rows=said.rows, best=said.best, boxes=said.boxes)
        write_atomic(path, buffer.getvalue())
        return said


def _ask(detector: Detector, entries: Sequence[Entry]) -> Said:
    counting = thresholds(detector, [])
    rows, best, boxes = [], [], []
    for position, entry in enumerate(entries):
        try:
            picture = read_picture(entry.place)
        except DataError:
            continue
        [found] = detector.predict([picture], score_threshold=LEAST)
        sure = found.scores >= counting[found.class_ids]
        rows.append(position)
        best.append(float(found.scores.max()) if len(found) else 0.0)
        boxes.append(np.bincount(found.class_ids[sure], minlength=len(detector.classes)))
    return Said(np.array(rows, np.int64), np.array(best, np.float64),
                np.array(boxes, np.float64).reshape(-1, len(detector.classes)))


def _load(path: Path, classes: int) -> Said | None:
    with suppress(*DAMAGED), np.load(path, allow_pickle=False) as kept:
        said = Said(kept["rows"], kept["best"], kept["boxes"])
        return said if said.boxes.shape[1] == classes else None
    return None
