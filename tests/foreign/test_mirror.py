"""Real weights on real pictures give the accuracy that the catalogue states."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tasks.base import presets
from tasks.data.pictures import locate, over_pictures, read_picture
from tasks.data.table import Dataset, read_dataset
from tasks.foreign.bring import bring
from tasks.foreign.description import known, read_description, read_labels
from tasks.ingest import Params
from tasks.ingest import run as ingest
from tasks.metrics.coco import quick_ap
from tasks.metrics.detections import detections_table
from tasks.runtime.detector import open_detector

Half = tuple[Dataset, list[np.ndarray]]


@pytest.fixture(scope="module")
def pictures(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Half:
    """80 pictures to train on and 80 others: on one half alone the accuracy is known to ± 0.03 only."""
    raw, table = mirror / "datasets/coco_tiny", tmp_path_factory.mktemp("table") / "table"
    ingest(Params(classes=read_labels(presets.PACKAGE / "import/labels/coco.txt")), raw=raw, out=table)
    dataset = read_dataset(table)
    return dataset, list(over_pictures(read_picture, locate(raw, dataset.images)))


@pytest.mark.parametrize("name", [name for name, one in known().items() if one.file])
def test_every_entry_is_imported(name: str, mirror: Path, tmp_path: Path) -> None:
    """The decoding in the graph gives what the model itself says, put together in numpy."""
    made = bring(name, tmp_path / "out")
    assert len(made.classes) == 80
    detector = open_detector(made.folder / "model.onnx", threads=1)
    picture = np.random.default_rng(0).integers(0, 256, (detector.height, detector.width, 3), dtype=np.uint8)
    image = np.ascontiguousarray(picture.transpose(2, 0, 1)[None])
    boxes, scores = detector.raw(image)
    described = read_description(name)
    how = described.input
    mean, std = (np.reshape(values, (1, 3, 1, 1)) for values in (how.mean, how.std))
    pixels = (image[:, ::-1] - mean) / std
    session = onnxruntime.InferenceSession(mirror / "weights" / str(described.file),
                                           providers=["CPUExecutionProvider"])
    said = session.run(None, {session.get_inputs()[0].name: pixels.astype(np.float32)})
    expected_scores, centres = EXPECTED[described.decoding.family](said, detector.height)
    np.testing.assert_allclose(scores[0], expected_scores, atol=2e-4)
    np.testing.assert_allclose((boxes[0, :, :2] + boxes[0, :, 2:]) / 2, centres, atol=0.05)


def by_grid(said: list[np.ndarray], side: int) -> tuple[np.ndarray, np.ndarray]:
    rows, at = said[0][0], 0
    centres = np.zeros((len(rows), 2))
    for stride in (8, 16, 32):
        for y in range(side // stride):
            for x in range(side // stride):
                centres[at] = (rows[at, 0] + x) * stride, (rows[at, 1] + y) * stride
                at += 1
    return rows[:, 5:] * rows[:, 4:5], centres


def by_distribution(said: list[np.ndarray], side: int) -> tuple[np.ndarray, np.ndarray]:
    centres = []
    for stride, boxes in zip((8, 16, 32, 64), said[4:], strict=True):
        count = -(-side // stride)
        shares = np.exp(boxes[0].reshape(-1, 4, 8).astype(float))
        reach = (shares / shares.sum(-1, keepdims=True) * np.arange(8)).sum(-1)
        for cell, (left, top, right, bottom) in enumerate(reach):
            centres.append(((cell % count + 0.5 + (right - left) / 2) * stride,
                            (cell // count + 0.5 + (bottom - top) / 2) * stride))
    return np.concatenate([scores[0] for scores in said[:4]]), np.array(centres)


def by_fastestdet(said: list[np.ndarray], side: int) -> tuple[np.ndarray, np.ndarray]:
    value = said[0][0].reshape(85, -1)
    cells = np.arange(value.shape[1])
    centres = np.stack([cells % 22 + np.tanh(value[1]), cells // 22 + np.tanh(value[2])], axis=1) * side / 22
    return (value[0] ** 0.6 * value[5:] ** 0.4).T, centres


EXPECTED = {"anchor-free-grid": by_grid, "distribution-focal": by_distribution, "fastestdet": by_fastestdet}


@pytest.mark.parametrize("name", ["picodet-s-320", "yolox-nano"])
def test_accuracy_is_what_the_catalogue_states(name: str, pictures: Half, tmp_path: Path) -> None:
    detector = open_detector(bring(name, tmp_path / "out").folder / "model.onnx")
    dataset, seen = pictures
    found = dict(zip(dataset.images["image_id"].to_pylist(), detector.predict(seen, score_threshold=0.05), strict=True))
    halves = [dataset.subset(split) for split in ("train", "val")]
    kept = [{image: found[image] for image in half.images["image_id"].to_pylist()} for half in halves]
    measured = [quick_ap(half, detections_table(some)) for half, some in zip(halves, kept, strict=True)]
    stated = [(one.AP, one.AP50) for one in read_description(name).measured]
    np.testing.assert_allclose(np.mean(measured, axis=0), np.mean(stated, axis=0), atol=0.03)
