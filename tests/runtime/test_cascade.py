"""A classifier names what a detector has found: crops, margins, chosen classes, a real file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tasks.base.errors import DataError, UserError
from tasks.runtime.cascade import Cascade, Label, crop
from tasks.runtime.classifier import open_classifier
from tasks.runtime.detections import Detections

COLOURS = ["red", "green", "blue"]


def write_colour_classifier(path: Path, problem: str = "classify", side: int = 16) -> Path:
    """An ONNX file that says which of red, green and blue a picture has most of."""
    nodes = [helper.make_node("Cast", ["images"], ["f"], to=TensorProto.FLOAT),
             helper.make_node("ReduceMean", ["f", "axes"], ["mean"], keepdims=0),
             helper.make_node("Mul", ["mean", "factor"], ["logits"]),
             helper.make_node("Softmax", ["logits"], ["scores"], axis=1)]
    given = [numpy_helper.from_array(np.array([2, 3], np.int64), "axes"),
             numpy_helper.from_array(np.array(0.1, np.float32), "factor")]
    graph = helper.make_graph(
        nodes, "colours", [helper.make_tensor_value_info("images", TensorProto.UINT8, [1, 3, side, side])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])], given)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {
        "classes": json.dumps(COLOURS), "thresholds": "{}", "height": str(side), "width": str(side), "line": "0123",
        "input": "images", "output": "scores", "problem": problem})
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="module")
def colour_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_colour_classifier(tmp_path_factory.mktemp("colours") / "colours.onnx")


@pytest.fixture()
def striped() -> np.ndarray:
    """Red on the left, green in the middle, blue on the right."""
    picture = np.zeros((40, 90, 3), np.uint8)
    for channel in range(3):
        picture[:, 30 * channel:30 * channel + 30, channel] = 200
    return picture


def detections(*boxes: tuple[float, float, float, float], classes: list[int]) -> Detections:
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.full(len(boxes), 0.9, np.float32),
                      np.array(classes, np.int64))


def test_each_box_is_named_by_what_is_in_it(colour_file: Path, striped: np.ndarray) -> None:
    cascade = Cascade(open_classifier(colour_file), ["thing"], margin=0.1)
    found = detections((65, 5, 85, 30), (5, 5, 25, 30), (35, 5, 55, 30), classes=[0, 0, 0])
    labels = cascade.label(striped, found)
    assert [label and label.name for label in labels] == ["blue", "red", "green"]
    assert all(label is not None and 0.5 < label.score <= 1 for label in labels)


def test_only_chosen_classes_are_named(colour_file: Path, striped: np.ndarray) -> None:
    cascade = Cascade(open_classifier(colour_file), ["car", "tree"], only=["tree"])
    labels = cascade.label(striped, detections((5, 5, 25, 30), (35, 5, 55, 30), classes=[0, 1]))
    assert labels[0] is None
    assert isinstance(labels[1], Label)
    assert labels[1].name == "green"


def test_nothing_found_asks_nothing(colour_file: Path, striped: np.ndarray) -> None:
    assert Cascade(open_classifier(colour_file), ["car"]).label(striped, detections(classes=[])) == []


def test_an_unknown_class_is_told(colour_file: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'tree'"):
        Cascade(open_classifier(colour_file), ["car", "tree"], only=["tre"])


def test_a_detector_is_no_classifier(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        open_classifier(write_colour_classifier(tmp_path / "x.onnx", problem="detect"))


@pytest.mark.parametrize(("box", "margin", "expected"), [
    ((10, 20, 30, 40), 0.0, (10, 20, 30, 40)),
    ((10, 20, 30, 40), 0.5, (0, 10, 40, 50)),
    ((10.2, 20.9, 30.1, 40.5), 0.0, (10, 20, 31, 41)),
    ((-5, -5, 200, 200), 0.1, (0, 0, 80, 60)),  # reaches out
    ((30, 30, 30, 30), 0.5, (30, 30, 31, 31)),  # no area
    ((80, 60, 80, 60), 0.0, (79, 59, 80, 60)),  # in the last corner
    ((40, 40, 30, 30), 0.0, (40, 40, 41, 41)),  # turned round
])
def test_what_is_cut_out(box: tuple[float, ...], margin: float, expected: tuple[int, int, int, int]) -> None:
    rows, columns = np.mgrid[:60, :80]
    picture = np.stack([columns, rows, rows], axis=2).astype(np.uint8)
    part = crop(picture, np.array(box, np.float32), margin)
    left, top, right, bottom = expected
    assert part.shape == (bottom - top, right - left, 3)
    assert part[0, 0, :2].tolist() == [left, top]
    assert part[-1, -1, :2].tolist() == [right - 1, bottom - 1]
