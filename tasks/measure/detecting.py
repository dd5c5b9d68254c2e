"""Several artefacts over one set of pictures, each picture decoded once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.base.errors import DataError
from tasks.base.progress import Progress
from tasks.data.pictures import locate, over_pictures, read_picture
from tasks.runtime.detections import Detections
from tasks.runtime.detector import Detector

if TYPE_CHECKING:
    from tasks.data.table import Dataset

BATCH = 8  # pictures decoded at a time


def detect(raw: Path, dataset: Dataset, detectors: Mapping[str, Detector], *, score_threshold: float = 0.05,
           max_detections: int = 100, label: str = "evaluate: pictures") -> dict[str, dict[int, Detections]]:
    """Artefact → image id → detections.

    Raises:
        DataError: a picture that cannot be read.
    """
    found: dict[str, dict[int, Detections]] = {name: {} for name in detectors}
    ids, places = dataset.images["image_id"].to_pylist(), locate(raw, dataset.images)
    progress = Progress(len(ids), label)
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH]
        pictures = list(over_pictures(read_picture, places[start : start + BATCH]))
        for name, detector in detectors.items():
            seen = detector.predict(pictures, score_threshold=score_threshold, max_detections=max_detections)
            found[name] |= zip(some, seen, strict=True)
        progress.step(count=len(some))
    return found


def of_these_classes(detector: Detector, dataset: Dataset, path: Path) -> Detector:
    """The detector itself.

    Raises:
        DataError: its classes are not those of the dataset, in that order.
    """
    if list(detector.classes) != list(dataset.meta.classes):
        what = f"the model knows {', '.join(detector.classes)}; the data {', '.join(dataset.meta.classes)}"
        raise DataError(what, where=path, mend="train again: visionmill run")
    return detector
