"""Parity of files with torch: raw tensors, matched detections, AP with its interval, and the picture when it fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from tasks.base import presets
from tasks.base.errors import DataError, GateRefused, ParamsError
from tasks.base.params import check
from tasks.compress.onnx_file import write_onnx
from tasks.compress.parity import Comparison, Limits, broken, compare
from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, Meta
from tasks.metrics.agreement import agreement
from tasks.metrics.coco import quick_ap
from tasks.metrics.detections import detections_table
from tasks.models.preset import DetectorPreset
from tasks.models.store import Structure, save_model
from tasks.runtime.detector import Detector, open_detector

from .conftest import inputs

SIDE = 64
Change = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def _raw(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An 8 × 8 grid of boxes of 8 px; a cell's score is its mean brightness, red for class 0 and blue for class 1."""
    cells = images[0].reshape(3, 8, 8, 8, 8).mean(axis=(2, 4)) / 255
    y, x = np.mgrid[:8, :8] * 8.0
    boxes = np.stack([x, y, x + 8, y + 8], axis=-1).reshape(1, 64, 4).astype(np.float32)
    return boxes, cells[[0, 2]].reshape(2, 64).T[None].astype(np.float32)


def detector(change: Change = lambda boxes, scores: (boxes, scores), classes: tuple[str, ...] = ("red", "blue")
             ) -> Detector:
    return Detector(lambda images: change(*_raw(images)), list(classes), (SIDE, SIDE), "0" * 8, "by hand", {})


@pytest.fixture
def val(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Six pictures of red and blue cells on black, labelled as they are."""
    monkeypatch.chdir(tmp_path)
    random, rows, boxes = np.random.default_rng(0), [], []
    for image in range(6):
        picture = np.zeros((SIDE, SIDE, 3), np.uint8)
        for place in random.choice(64, 6, replace=False):
            y, x, label = place // 8 * 8, place % 8 * 8, int(random.integers(2))
            picture[y : y + 8, x : x + 8, 2 * label] = random.integers(120, 250)
            boxes.append({"annotation_id": len(boxes), "image_id": image, "class_id": label, "x": x, "y": y, "w": 8,
                          "h": 8, "area": 64, "iscrowd": False, "difficult": False, "source": "import", "row": ""})
        Image.fromarray(picture).save(tmp_path / f"{image}.png")
        rows.append({"image_id": image, "file": f"{image}.png", "width": SIDE, "height": SIDE, "digest": str(image),
                     "bytes": 1, "orientation": 1, "split": "val"})
    tables = pa.Table.from_pylist(rows, schema=IMAGES), pa.Table.from_pylist(boxes, schema=ANNOTATIONS)
    return Dataset(*tables, Meta(name="cells", classes=["red", "blue"]))


def _shifted(boxes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return boxes + np.float32(3), scores


def _swapped(boxes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return boxes, scores[..., ::-1]


def _fainter(boxes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return boxes, scores * np.float32(0.99)


def test_equal_artefacts_differ_in_nothing(val, tmp_path) -> None:
    said = compare(detector(), detector(), val, tmp_path, 4)
    assert (said["max_score_difference"], said["max_box_difference_px"], said["mean_score_difference"]) == (0, 0, 0)
    assert said["val_AP"] == said["val_AP_torch"] == pytest.approx(1)
    assert said["val_AP_change"] == {"value": 0, "low": 0, "high": 0}
    assert said["matched"] == {"iou": 0.9, "shown": 72, "unmatched": 0, "unmatched_share": 0,
                               "max_score_difference": 0}
    assert (said["pictures"], said["val_pictures"], said["provider"]) == (4, 6, "by hand")
    assert broken(said, Limits(), "fp32", SIDE) == []
    assert json.loads(json.dumps(said)) == dict(said)


@pytest.mark.parametrize(("change", "precision", "words"), [
    (_fainter, "fp32", ["scores differ by 0.0096"]),
    (_fainter, "fp16", []),
    (_fainter, "int8", []),
    (_shifted, "fp32", ["validation AP falls", "boxes differ by 3 px, 0.0064"]),
    (_shifted, "int8", ["validation AP falls", "boxes differ on average by 3 px, 1.9"]),
    (_swapped, "int8", ["validation AP falls", "scores differ on average", "72 of 72 detections have no partner"]),
])
def test_what_differs_is_said_and_drawn(change, precision, words, val, tmp_path) -> None:
    said = compare(detector(), detector(change), val, tmp_path, 6, precision=precision)
    found = broken(said, Limits(), precision, SIDE)
    for word in words:
        assert any(text.startswith(word) for text in found), (word, found)
    shots = sorted(Path(".visionmill/parity").glob("*.png"))
    assert len(shots) == bool(words)
    if words:
        assert found[-1] == f"the worst picture, both side by side: {shots[0]}"
        assert Image.open(shots[0]).size[0] > 1.9 * 720


def test_the_loss_is_told_with_its_interval(val, tmp_path) -> None:
    said = compare(detector(), detector(_swapped), val, tmp_path, 1)
    change = said["val_AP_change"]
    assert change["low"] <= change["value"] <= change["high"] < 0
    assert f"(95 % interval {-change['high']:.4f} to {-change['low']:.4f})" in broken(said, Limits(), "int8", SIDE)[0]


def test_the_worst_picture_is_the_one_that_differs(val, tmp_path) -> None:
    calls: list[int] = []

    def once(boxes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        calls.append(1)
        return (boxes, scores[..., ::-1]) if len(calls) == 1 + 4 else (boxes, scores)  # one raw, then the fourth

    said = compare(detector(), detector(once), val, tmp_path, 1)
    assert said.worst is not None and said.worst.place == tmp_path / "3.png"


def test_numbers_of_another_writer_are_judged_alike_without_a_picture() -> None:
    said = {"max_score_difference": 1.0, "max_box_difference_px": 0.0, "val_AP_torch": 0.5, "val_AP": 0.5}
    assert len(broken(said, Limits(), "fp32", 320)) == 1
    assert isinstance(Comparison(said) | {"a": 1}, dict)
    assert len(broken(Comparison(said), Limits(), "fp32", 320)) == 1


def test_an_empty_validation_split_proves_nothing(val, tmp_path) -> None:
    with pytest.raises(DataError, match="no validation picture"):
        compare(detector(), detector(), val.subset("test"), tmp_path, 4)


def test_a_file_of_other_classes_is_refused(val, tmp_path) -> None:
    with pytest.raises(DataError, match="the file knows blue, red; the model red, blue"):
        compare(detector(), detector(classes=("blue", "red")), val, tmp_path, 4)


def test_a_file_of_another_shape_is_refused(val, tmp_path) -> None:
    with pytest.raises(GateRefused, match="another shape"):
        compare(detector(), detector(lambda b, s: (b[:, :9], s[:, :9])), val, tmp_path, 4)


def test_numbers_that_are_not_finite_are_refused(val, tmp_path) -> None:
    with pytest.raises(GateRefused, match="not finite"):
        compare(detector(), detector(lambda b, s: (b, s * np.nan)), val, tmp_path, 4)


def test_a_limit_that_is_misspelt_is_refused() -> None:
    with pytest.raises(ParamsError, match="did you mean 'int8_unmatched'"):
        check(Limits, {"int8_unmached": 0.1}, "params.yaml: export.parity")


def test_partners_are_of_one_class_and_taken_once(val) -> None:
    found = {i: detector().predict([np.full((SIDE, SIDE, 3), 100, np.uint8)])[0] for i in range(6)}
    one = detections_table(found)
    twice = pa.concat_tables([one, one])
    same = agreement(val, one, twice, 0.9)
    assert (same.shown, same.unmatched) == (3 * one.num_rows, one.num_rows)
    assert agreement(val, one, one, 0.9).unmatched == 0
    assert agreement(val, one.slice(0, 0), one.slice(0, 0), 0.9).unmatched_share == 0
    assert agreement(val, one.slice(0, 0), one.slice(0, 0), 0.9).worst is None


@pytest.mark.slow
@pytest.mark.parametrize("name", presets.names("model"))
def test_every_preset_is_the_same_in_onnx(name: str, tmp_path: Path) -> None:
    """Scores to 1e-4, boxes to 1e-4 of the input, AP to 1e-3."""
    model = presets.load("model", name)["train"]["model"]
    preset = check(DetectorPreset, {**model, "image_size": 128}, name)
    torch.manual_seed(0)
    structure = Structure(preset, ["a", "b"], 96, 128, line="0123")
    network = structure.build().train()
    for _ in range(3):
        network(torch.from_numpy(np.concatenate(inputs(4))))
    save_model(tmp_path / "model", structure, network.state_dict())
    write_onnx(network.eval(), structure, tmp_path / "model.onnx")
    pictures = [image[0].transpose(1, 2, 0) for image in inputs(4)]
    torch_one, file_one = open_detector(tmp_path / "model"), open_detector(tmp_path / "model.onnx")
    for image in inputs(4):
        (boxes, scores), (own_boxes, own_scores) = torch_one.raw(image), file_one.raw(image)
        assert np.abs(scores - own_scores).max() <= 1e-4
        assert np.abs(boxes - own_boxes).max() <= 1e-4 * 128
    data = _seen_by(torch_one, pictures)
    aps = [quick_ap(data, detections_table(dict(enumerate(one.predict(pictures, score_threshold=0.0)))))[0]
           for one in (torch_one, file_one)]
    assert aps[0] is not None and aps[0] > 0.1
    assert aps[1] == pytest.approx(aps[0], abs=1e-3)


def _seen_by(torch_one: Detector, pictures: list[np.ndarray]) -> Dataset:
    """What an untrained network is most sure of, as ground truth: AP is then far from 0, and feels every box."""
    rows = []
    for image, found in enumerate(torch_one.predict(pictures, score_threshold=0.0)):
        for box, label in list(zip(found.boxes.tolist(), found.class_ids.tolist(), strict=True))[1:20:3]:
            w, h = box[2] - box[0], box[3] - box[1]
            rows.append({"annotation_id": len(rows), "image_id": image, "class_id": label, "x": box[0], "y": box[1],
                         "w": w, "h": h, "area": w * h, "iscrowd": False, "difficult": False, "source": "import",
                         "row": ""})
    images = [{"image_id": i, "file": "", "width": 128, "height": 96, "digest": "", "bytes": 1, "orientation": 1,
               "split": "val"} for i in range(len(pictures))]
    return Dataset(pa.Table.from_pylist(images, schema=IMAGES), pa.Table.from_pylist(rows, schema=ANNOTATIONS),
                   Meta(name="seen", classes=["a", "b"]))
