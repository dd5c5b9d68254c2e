"""What a version carries to be tried and compared without its dataset: results, detections, a few small pictures."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tasks.base.errors import VisionmillError
from tasks.base.files import write_atomic, write_json
from tasks.registry.gates.answers import opened
from tasks.registry.gates.gate import GateReport
from tasks.registry.gates.opponents import test_set
from tasks.registry.outputs import Outputs
from tasks.registry.runs import warn

if TYPE_CHECKING:
    from tasks.data.table import Dataset
    from tasks.runtime.detector import Detector

EVALUATION, SMOKE = "evaluation", "smoke"
MOST_PICTURES = 8
MOST_BYTES = 2_000_000  # of all pictures together
TRUTH_BYTES = 20_000_000  # a larger table of the test set stays behind
LEAST_SCORE = 0.05


def add_evaluation(outputs: Outputs, report: GateReport, folder: Path, *, truth: bool) -> None:
    """Write `evaluation/`: metrics.json, benchmark.json, export.json, gate.json, the judged artefact's detections on
    the test split and, if `truth`, the table of that split with its boxes and no picture."""
    into = folder / EVALUATION
    into.mkdir(parents=True)
    write_json(into / "metrics.json", outputs.evaluation)
    write_json(into / "benchmark.json", outputs.benchmark)
    write_json(into / "gate.json", report.to_dict())
    if target := outputs.exports.get(report.artefact.partition("/")[2]):
        write_json(into / "export.json", target)
    if (found := outputs.detections_file(report.artefact)).is_file():
        shutil.copy(found, into / "detections.parquet")
    dataset, _ = test_set(outputs) if truth else (None, "")
    if dataset is not None and dataset.annotations.nbytes + dataset.images.nbytes < TRUTH_BYTES:
        from tasks.data.table import write_dataset

        write_dataset(into / "truth", dataset)


def add_smoke(outputs: Outputs, artefact: str, folder: Path, wanted: int) -> None:
    """Write `smoke/`: `answers.json` and PNG files of test pictures no larger than the model's input, 2 MB in all.

    answers.json: `score_threshold`, `provider`, `classes`, `artefact`, and `pictures`, each with file, width, height,
    boxes [[x1, y1, x2, y2]] in pixels, classes (names) and scores, best first, as the judged file answers them. A model
    that cannot be asked here, or pictures that are not here, are warned about: the version is made without.
    """
    dataset, why = test_set(outputs)
    if not wanted or dataset is None:
        if wanted:
            warn(f"the version carries no smoke test: {why}")
        return
    try:
        detector = opened(outputs.file(artefact))
        pictures = small_pictures(dataset, outputs.workspace / "data/raw", min(wanted, MOST_PICTURES),
                                  max(detector.height, detector.width))
    except VisionmillError as error:
        warn(f"the version carries no smoke test: {error.what}")
        return
    rows = []
    for place, content in enumerate(pictures):
        write_atomic(folder / SMOKE / f"{place}.png", content)
        rows.append(_answer(detector, content, f"{place}.png"))
    write_json(folder / SMOKE / "answers.json",
               {"schema": 1, "artefact": artefact, "provider": detector.provider, "classes": detector.classes,
                "score_threshold": LEAST_SCORE, "pictures": rows})


def small_pictures(dataset: Dataset, raw: Path, wanted: int, side: int) -> list[bytes]:
    """PNG files of pictures that show every class, in turn, as far as there is room; written anew, so that they carry
    no EXIF, no place and no name.

    Args:
        side: longest side in pixels; larger pictures are scaled down to it, or further where they would be too big.

    Raises:
        DataError: a picture cannot be read.
    """
    from tasks.data.pictures import locate, read_picture
    from tasks.reporting.boxes import typical

    chosen = set(typical(dataset, wanted))
    rows = [row for row, image in enumerate(dataset.images["image_id"].to_pylist()) if image in chosen]
    places = locate(raw, dataset.images.take(rows))
    return [_png(read_picture(place), side, MOST_BYTES // max(len(places), 1)) for place in places]


def _png(pixels: np.ndarray, side: int, limit: int) -> bytes:
    picture = Image.fromarray(pixels)
    while True:
        picture.thumbnail((side, side), Image.Resampling.BILINEAR)
        content = io.BytesIO()
        picture.save(content, "PNG", optimize=True)
        if content.tell() <= limit or side <= 32:
            return content.getvalue()
        side = side * 3 // 4


def _answer(detector: Detector, content: bytes, file: str) -> dict[str, Any]:
    with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    found = detector.predict([pixels], score_threshold=LEAST_SCORE)[0]
    return {"file": file, "width": pixels.shape[1], "height": pixels.shape[0], "boxes": found.boxes.tolist(),
            "classes": [detector.classes[place] for place in found.class_ids], "scores": found.scores.tolist()}
