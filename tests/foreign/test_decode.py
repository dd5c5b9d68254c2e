"""Every family against cases that were computed by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.base.errors import UserError
from tasks.foreign.decode import cells

from .graphs import described, run, speaking

LOG = math.log


def one_hot(place: int, bins: int) -> list[float]:
    # so sure that the mean is that place to 1e-6
    return [40.0 if i == place else 0.0 for i in range(bins)]


def test_cells_go_row_by_row_and_level_by_level() -> None:
    places, steps = cells([16, 32], (32, 48))
    assert places[0].tolist() == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1], [0, 0], [1, 0]]
    assert steps[0, :, 0].tolist() == [16] * 6 + [32] * 2


def test_anchor_free_grid(tmp_path: Path) -> None:
    # 2 × 2 cells of 16 px; the last: centre (1 + .25, 1 + .5) · 16 = (20, 24), size 16 · (1, 2), .8 · (.5, .25)
    rows = np.zeros((1, 4, 7), np.float32)
    rows[0, 3] = [0.25, 0.5, 0, LOG(2), 0.8, 0.5, 0.25]
    said = run(speaking(tmp_path / "x.onnx", {"output": rows}),
               described({"family": "anchor-free-grid", "strides": [16], "outputs": ["output"]}))
    np.testing.assert_allclose(said["boxes"][0, 3], [12, 8, 28, 40], atol=1e-4)
    np.testing.assert_allclose(said["scores"][0, 3], [0.4, 0.2], atol=1e-6)
    np.testing.assert_allclose(said["boxes"][0, 1], [8, -8, 24, 8], atol=1e-4)


def test_anchor_free_grid_with_logits_level_by_level(tmp_path: Path) -> None:
    fine, coarse = np.zeros((1, 6, 2, 2), np.float32), np.zeros((1, 6, 1, 1), np.float32)
    coarse[0, :, 0, 0] = [0.5, 0.5, 0, 0, LOG(3), -LOG(3)]
    said = run(speaking(tmp_path / "x.onnx", {"fine": fine, "coarse": coarse}),
               described({"family": "anchor-free-grid", "strides": [16, 32], "outputs": ["fine", "coarse"],
                          "activation": "sigmoid"}))
    np.testing.assert_allclose(said["boxes"][0, 4], [0, 0, 32, 32], atol=1e-4)
    np.testing.assert_allclose(said["scores"][0, :, 0], [0.25] * 4 + [0.75 * 0.25], atol=1e-6)


@pytest.mark.parametrize("first", ["scores", "boxes"])
def test_distribution_focal_in_one_output(tmp_path: Path, first: str) -> None:
    distances = sum((one_hot(place, 8) for place in (1, 0, 2, 3)), [])
    columns = [[0.1, 0.9], distances] if first == "scores" else [distances, [0.1, 0.9]]
    rows = np.zeros((1, 4, 34), np.float32)
    rows[0, 2] = np.concatenate(columns)
    said = run(speaking(tmp_path / "x.onnx", {"out": rows}),
               described({"family": "distribution-focal", "strides": [16], "scores": ["out"], "boxes": ["out"],
                          "activation": "none", "first": first}))
    # cell (0, 1): centre (8, 24); 1, 0, 2, 3 strides to left, top, right, bottom
    np.testing.assert_allclose(said["boxes"][0, 2], [-8, 24, 40, 72], atol=1e-3)
    np.testing.assert_allclose(said["scores"][0, 2], [0.1, 0.9], atol=1e-6)


def test_distribution_focal_takes_the_mean(tmp_path: Path) -> None:
    boxes, scores = np.zeros((1, 1, 16), np.float32), np.zeros((1, 1, 3), np.float32)
    said = run(speaking(tmp_path / "x.onnx", {"b": boxes, "s": scores}),
               described({"family": "distribution-focal", "strides": [32], "bins": 4, "offset": 0, "scores": ["s"],
                          "boxes": ["b"]}))
    # all bins alike: 1.5 strides to each side of the cell's corner
    np.testing.assert_allclose(said["boxes"][0, 0], [-48, -48, 48, 48], atol=1e-4)
    np.testing.assert_allclose(said["scores"][0, 0], [0.5] * 3, atol=1e-6)


def test_fcos_with_its_quality(tmp_path: Path) -> None:
    logits, boxes, quality = np.zeros((1, 4, 2)), np.zeros((1, 4, 4)), np.zeros((1, 4, 1))
    logits[0, 1], boxes[0, 1], quality[0, 1] = [LOG(3), -40], [0.5, 0.25, 1, 0.5], LOG(1 / 3)
    said = run(speaking(tmp_path / "x.onnx", {"l": logits, "b": boxes, "q": quality}),
               described({"family": "fcos-raw", "strides": [16], "scores": ["l"], "boxes": ["b"], "quality": ["q"]}))
    np.testing.assert_allclose(said["boxes"][0, 1], [16, 4, 40, 16], atol=1e-4)
    np.testing.assert_allclose(said["scores"][0, 1], [math.sqrt(0.75 * 0.25), 0], atol=1e-6)


@pytest.mark.parametrize("best_only", [False, True])
def test_fastestdet(tmp_path: Path, best_only: bool) -> None:
    value = np.zeros((1, 7, 2, 2), np.float32)
    value[0, :, 1, 0] = [0.5, math.atanh(0.5), 0, LOG(1 / 3), 0, 0.25, 0.75]
    value[0, 5:, 0, 0] = 0.5
    said = run(speaking(tmp_path / "x.onnx", {"758": value}),
               described({"family": "fastestdet", "output": "758", "best_only": best_only}))
    # cell (0, 1) of 16 px: centre (.5, 1) · 16, size (.25, .5) · 32
    np.testing.assert_allclose(said["boxes"][0, 2], [4, 8, 12, 24], atol=1e-4)
    weaker = 0.0 if best_only else 0.5**0.6 * 0.25**0.4
    np.testing.assert_allclose(said["scores"][0, 2], [weaker, 0.5**0.6 * 0.75**0.4], atol=1e-6)


@pytest.mark.parametrize(("activation", "background", "scores"), [
    ("softmax", "last", [0.5, 0.25]), ("softmax", "first", [0.25, 0.25]), ("sigmoid", "none", [2 / 3, 0.5, 0.5])])
def test_detr(tmp_path: Path, activation: str, background: str, scores: list[float]) -> None:
    said = run(speaking(tmp_path / "x.onnx", {"logits": np.array([[[LOG(2), 0, 0]]]),
                                              "pred_boxes": np.array([[[0.5, 0.25, 0.5, 0.25]]])}),
               described({"family": "detr", "activation": activation, "background": background}))
    np.testing.assert_allclose(said["boxes"][0, 0], [8, 4, 24, 12], atol=1e-4)
    np.testing.assert_allclose(said["scores"][0, 0], scores, atol=1e-6)


def test_a_detr_is_not_suppressed() -> None:
    assert described({"family": "detr"}).iou is None
    assert described({"family": "plain-boxes", "boxes": "b", "scores": "s"}).iou == 0.55
    with pytest.raises(ValueError, match="answers once a thing"):
        described({"family": "detr"}, suppression=0.5)


@pytest.mark.parametrize(("form", "scale", "numbers"), [
    ("xyxy", "pixels", [4, 8, 20, 24]),
    ("xyxy", "normalised", [0.125, 0.25, 0.625, 0.75]),
    ("yxyx", "normalised", [0.25, 0.125, 0.75, 0.625]),
    ("xywh", "pixels", [4, 8, 16, 16]),
    ("cxcywh", "pixels", [12, 16, 16, 16]),
    ("cxcywh", "normalised", [0.375, 0.5, 0.5, 0.5]),
])
def test_forms_of_plain_boxes(tmp_path: Path, form: str, scale: str, numbers: list[float]) -> None:
    said = run(speaking(tmp_path / "x.onnx", {"b": np.array([[numbers]]), "s": np.array([[[0.25, 0.75]]])}),
               described({"family": "plain-boxes", "boxes": "b", "scores": "s", "form": form, "scale": scale}))
    np.testing.assert_allclose(said["boxes"][0, 0], [4, 8, 20, 24], atol=1e-4)
    np.testing.assert_allclose(said["scores"][0, 0], [0.25, 0.75], atol=1e-6)


def test_a_box_inside_out_is_empty(tmp_path: Path) -> None:
    said = run(speaking(tmp_path / "x.onnx", {"b": np.array([[[20, 8, 4, 24]]]), "s": np.array([[[0.25]]])}),
               described({"family": "plain-boxes", "boxes": "b", "scores": "s"}))
    assert said["boxes"].tolist() == [[[20, 8, 20, 24]]]
    said = run(speaking(tmp_path / "x.onnx", {"b": np.array([[[1, 1, -3, 1]]]), "s": np.array([[[0.25]]])}),
               described({"family": "fcos-raw", "strides": [32], "scores": ["s"], "boxes": ["b"]}))
    assert said["boxes"].tolist() == [[[-16, -16, 16, 48]]]


@pytest.mark.parametrize(("layout", "objectness"), [("rows", True), ("columns", False), ("columns", True)])
def test_boxes_and_scores_in_one_output(tmp_path: Path, layout: str, objectness: bool) -> None:
    row = [12, 16, 16, 16, *([0.5] if objectness else []), 0.5, 1.0]
    value = np.array([[row, [0] * len(row)]])
    said = run(speaking(tmp_path / "x.onnx", {"out": value if layout == "rows" else value.transpose(0, 2, 1)}),
               described({"family": "plain-boxes", "boxes": "out", "scores": "out", "form": "cxcywh",
                          "layout": layout, "objectness": objectness}))
    np.testing.assert_allclose(said["boxes"][0, 0], [4, 8, 20, 24], atol=1e-4)
    np.testing.assert_allclose(said["scores"][0, 0], [0.25, 0.5] if objectness else [0.5, 1.0], atol=1e-6)


def test_a_classifier(tmp_path: Path) -> None:
    said = run(speaking(tmp_path / "x.onnx", {"out": np.array([[0, LOG(3), LOG(4)]])}),
               described({"family": "classify", "output": "out", "background": "first"}))
    assert list(said) == ["scores"]
    np.testing.assert_allclose(said["scores"], [[0.375, 0.5]], atol=1e-6)


GRID: dict[str, Any] = {"family": "anchor-free-grid", "strides": [16], "outputs": ["out"]}
POINTS: dict[str, Any] = {"family": "distribution-focal", "strides": [16], "scores": ["out"], "boxes": ["more"]}
PLAIN: dict[str, Any] = {"family": "plain-boxes", "boxes": "more", "scores": "out"}


@pytest.mark.parametrize(("decoding", "shapes", "words"), [
    (GRID, {"out": (1, 5, 7)}, "5 candidates, while strides 16 at 32 × 32 pixels make 4"),
    (GRID, {"out": (1, 4, 5)}, "leaves no column for a class"),
    (GRID, {"other": (1, 4, 7)}, "no output is called 'out'"),
    (GRID, {"out": (7,)}, r"is \[7\], expected \[1, candidates, columns\]"),
    (POINTS, {"out": (1, 4, 2), "more": (1, 4, 30)}, "boxes have 30 columns, expected 32"),
    (POINTS, {"out": (1, 4, 2), "more": (1, 3, 32)}, "4 candidates with scores and 3 with boxes"),
    (POINTS | {"quality": ["extra"]}, {"out": (1, 4, 2), "more": (1, 4, 32), "extra": (1, 4, 2)}, "quality is"),
    (POINTS | {"scores": ["out", "extra"]}, {"out": (1, 4, 2), "more": (1, 4, 32), "extra": (1, 1, 3)}, "2 and 3"),
    (PLAIN, {"out": (1, 4, 2), "more": (1, 5, 4)}, "5 boxes and 4 scores"),
    (PLAIN, {"out": (1, 4, 2), "more": (1, 4, 5)}, "5 columns, a box has 4"),
    ({"family": "fastestdet", "output": "out"}, {"out": (1, 4, 7)}, r"expected \[1, 5 \+ classes, h, w\]"),
    ({"family": "classify", "output": "out"}, {"out": (1, 4, 7)}, r"expected \[1, classes\]"),
])
def test_what_does_not_fit_is_said(tmp_path: Path, decoding: dict[str, Any], shapes: dict[str, tuple[int, ...]],
                                   words: str) -> None:
    file = speaking(tmp_path / "x.onnx", {name: np.zeros(shape) for name, shape in shapes.items()})
    with pytest.raises(UserError, match=words) as told:
        run(file, described(decoding))
    assert all(name in str(told.value) for name in shapes)
