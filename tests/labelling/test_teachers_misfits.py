"""Answers that do not fit the description: refused when a teacher is opened, or on the first picture that shows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from tasks.base.errors import UserError
from tasks.labelling.teachers import Teacher, open_teacher
from tests.foreign.graphs import speaking, write
from tests.labelling.quarter_pool import QUICK, Made

PLAIN = "title: T\nclasses: [cat, dog]\ndecoding: {family: plain-boxes, boxes: boxes, scores: scores%s}\n"
BOXES = [[4, 4, 20, 20], [18, 20, 30, 31]]
SCORES = [[0.9, 0.02], [0.01, 0.7]]
BLACK = np.zeros((32, 32, 3), np.uint8)


def opened(folder: Path, boxes: object = BOXES, scores: object = SCORES, more: str = "") -> Teacher:
    """A model of 32 × 32 pixels that says the same of every picture."""
    (folder / "d.yaml").write_text(PLAIN % more)
    said = {"boxes": np.array(boxes, float)[None], "scores": np.array(scores, float)[None]}
    file = speaking(folder / "m.onnx", said)
    return open_teacher(str(file), ["cat", "dog"], workspace=folder, description=folder / "d.yaml")


@pytest.mark.parametrize(("boxes", "scores", "message"), [
    ([*BOXES, [0, 0, 9, 9]], SCORES, "3 boxes and 2 scores"),
    ([box[:3] for box in BOXES], SCORES, "'boxes' has 3 columns, a box has 4"),
    (4.0, SCORES, r"'boxes' is \[1\], expected \[1, candidates, columns\]"),
    (BOXES, [[0.9], [0.7]], "tells 1 classes apart, the list has 2 names"),
    (BOXES, [[np.nan, 0.1], [0.1, 0.7]], "numbers that are not finite"),
    ([[np.inf, 4, 20, 20], BOXES[1]], SCORES, "numbers that are not finite"),
    (BOXES, [[3.2, -4.0], [-4.0, 1.0]], "scores reach from -4 to 3.2, not 0 to 1")])
def test_what_is_seen_when_it_is_opened(tmp_path: Path, boxes: object, scores: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        opened(tmp_path, boxes, scores)
    assert not list((tmp_path / ".visionmill/teachers").glob("*/model.onnx"))


def test_an_output_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "d.yaml").write_text(PLAIN % "")
    file = speaking(tmp_path / "m.onnx", {"boxes": np.array([BOXES])})
    with pytest.raises(UserError, match="no output is called 'scores'"):
        open_teacher(str(file), ["cat"], workspace=tmp_path, description=tmp_path / "d.yaml")


@pytest.mark.parametrize(("boxes", "more", "message"), [
    # parts of the picture that are described as pixels, and pixels that are described as parts
    ([[0.1, 0.1, 0.6, 0.6], [0.5, 0.6, 0.9, 1.0]], "", "lie within 1.5 pixels of the corner"),
    (BOXES, ", scale: normalised", "lie outside of its input of 32 × 32"),
    # x, y, width, height that are described as corners
    ([[20, 20, 8, 8], [18, 20, 12, 11]], "", "end where they begin, or before")])
def test_boxes_in_the_wrong_scale(tmp_path: Path, boxes: object, more: str, message: str) -> None:
    teacher = opened(tmp_path, boxes, more=more)
    with pytest.raises(UserError, match=f"all 2 boxes of m on a picture {message}") as told:
        teacher.ask([BLACK])
    assert "decoding.scale and decoding.form" in str(told.value)


def test_one_odd_box_among_others_is_no_misfit(tmp_path: Path) -> None:
    [found] = opened(tmp_path, [BOXES[0], [20, 20, 8, 8]]).ask([BLACK])
    # and it is no box: nothing of it is in the picture
    assert found.boxes.tolist() == [BOXES[0]] and found.labels.tolist() == [0]
    assert len(found.scores) == len(found.margin) == len(found.support) == 1


def test_boxes_in_the_padding_are_none(tmp_path: Path) -> None:
    [found] = opened(tmp_path).ask([BLACK[:16]])
    assert found.boxes.tolist() == [[4, 4, 20, 16]]


def test_features_of_a_box_over_the_edge(tmp_path: Path) -> None:
    """The network's own candidate speaks for a box though most of it lies outside of the picture."""
    [found] = opened(tmp_path, [[-40, 4, 8, 20], [-30, 4, 8, 20]], [[0.9, 0.3], [0.5, 0.1]]).ask([BLACK])
    assert found.boxes[0].tolist() == [0, 4, 8, 20]
    assert found.support[0] == pytest.approx(0.9 + 0.5) and found.margin[0] == pytest.approx(0.9 - 0.3)
    assert found.spread[0] == 0


@pytest.mark.parametrize(("op", "message"), [
    ("Log", "scores that are no numbers"), ("Sub", "reach from -1.79 to -0.9, not 0 to 1")])
def test_what_only_a_real_picture_shows(tmp_path: Path, op: str, message: str) -> None:
    """Sound on noise, by which a model is tried out; not on a black picture. Nothing is taken for `no boxes`."""
    nodes = [helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
             helper.make_node("Clip", ["mean", "low", "high"], ["light"]),
             *([helper.make_node("Sub", ["light", "low"], ["zero"]), helper.make_node("Log", ["zero"], ["said"])]
               if op == "Log" else [helper.make_node("Sub", ["light", "high"], ["said"])]),
             helper.make_node("Mul", ["said", "nothing" if op == "Log" else "much"], ["more"]),
             helper.make_node("Add", ["scores_value", "more"], ["scores"]),
             helper.make_node("Identity", ["boxes_value"], ["boxes"])]
    tensors = {"low": np.array(0.1), "high": np.array(0.3), "nothing": np.array(0), "much": np.array(9),
               "scores_value": np.array([SCORES]), "boxes_value": np.array([BOXES])}
    file = write(tmp_path / "m.onnx", nodes, ["boxes", "scores"],
                 {name: value.astype(np.float32) for name, value in tensors.items()})
    (tmp_path / "d.yaml").write_text("input: {mean: [0, 0, 0], std: [255, 255, 255]}\n" + PLAIN % "")
    teacher = open_teacher(str(file), ["cat", "dog"], workspace=tmp_path, description=tmp_path / "d.yaml")
    assert len(teacher.ask([np.full((32, 32, 3), 200, np.uint8)])[0]) == 2
    with pytest.raises(UserError, match=message):
        teacher.ask([BLACK])


@pytest.mark.parametrize("processes", [1, 2])
def test_a_misfit_stops_the_pre_labelling(tmp_path: Path, quarters: Path, processes: int) -> None:
    own = Made(tmp_path, quarters)
    teacher = opened(tmp_path, [[0.1, 0.1, 0.6, 0.6], [0.5, 0.6, 0.9, 1.0]])
    with pytest.raises(UserError, match="parts of the picture"):
        own.look(QUICK, processes, teacher=teacher)
    assert not list(own.path.glob(".visionmill/prelabels/*/done.json"))
