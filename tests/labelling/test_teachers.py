"""Teachers of every origin, and what they answer."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from tasks.base.errors import UserError, VisionmillError
from tasks.data.pictures import read_picture
from tasks.labelling.teachers import FLOOR, Found, nothing, open_teacher
from tasks.labelling.teachers.detecting import DetectingTeacher, grids
from tasks.labelling.teachers.masking import MaskingTeacher
from tests.foreign.graphs import speaking
from tests.quarters import coloured
from tests.registry.conftest import empty_store, quiet, registered  # noqa: F401  (fixtures)

PLAIN = """\
title: Theirs
decoding: {family: plain-boxes, boxes: boxes, scores: scores}
classes: [cat, dog, cow]
"""


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A model from elsewhere that sees a cat at 4, 4, 20, 20 (a cow too), and a dog beside it; 32 × 32 pixels."""
    boxes = [[[4, 4, 20, 20], [4, 4, 20, 18], [22, 22, 30, 30]]]
    scores = [[[0.9, 0.02, 0.3], [0.6, 0.04, 0.1], [0.0, 0.7, 0.0]]]
    (tmp_path / "theirs.yaml").write_text(PLAIN)
    return speaking(tmp_path / "theirs.onnx", {"boxes": np.array(boxes), "scores": np.array(scores)})


def test_a_file_of_ours(quarters: Path, tmp_path: Path) -> None:
    teacher = open_teacher(str(quarters), ["green", "red"], workspace=tmp_path)
    found, black = teacher.ask([coloured(0, 1, None, 0), coloured(None, None, None, None)])
    assert teacher.name == "quarters" and teacher.classes == ["green", "red"] and teacher.notes == []
    # the pool's ids: green is 0 there and 1 in the file
    seen = {tuple(box): label for box, label in zip(found.boxes.tolist(), found.labels.tolist(), strict=True)}
    assert seen == {(0, 0, 48, 32): 1, (48, 0, 96, 32): 0, (48, 32, 96, 64): 1}
    assert found.scores == pytest.approx(np.full(3, 230 / 255), abs=1e-3)
    assert found.margin == pytest.approx(found.scores) and found.spread.tolist() == [0, 0, 0]
    assert found.support == pytest.approx(found.scores) and found.polygons is None
    assert len(black) == 0 == len(nothing()) and black.boxes.shape == (0, 4)


def test_boxes_are_in_pixels_of_the_picture(quarters: Path, tmp_path: Path) -> None:
    large = np.repeat(np.repeat(coloured(0, None, None, None), 4, axis=0), 4, axis=1)
    [found] = open_teacher(str(quarters), ["red"], workspace=tmp_path).ask([large])
    assert found.boxes.tolist() == [[0, 0, 192, 128]]


def test_the_digest_is_of_the_model_and_of_the_mapping(quarters: Path, tmp_path: Path) -> None:
    same, again = (open_teacher(str(quarters), ["red", "green"], workspace=tmp_path).digest for _ in range(2))
    fewer = open_teacher(str(quarters), ["red"], workspace=tmp_path).digest
    other = tmp_path / "other.onnx"
    proto = onnx.load(quarters)
    proto.doc_string = "retrained"
    onnx.save(proto, str(other))
    assert same == again and len({same, fewer, open_teacher(str(other), ["red", "green"],
                                                            workspace=tmp_path).digest}) == 3


def test_a_teacher_goes_to_another_process_with_one_thread(quarters: Path, tmp_path: Path) -> None:
    teacher = open_teacher(str(quarters), ["red"], {"red": "red"}, workspace=tmp_path, drop_rest=True)
    again = pickle.loads(pickle.dumps(teacher))
    one, two = (some.ask([coloured(0, 1, 1, 0)])[0] for some in (teacher, again))
    assert (again.name, again.digest, again.classes) == (teacher.name, teacher.digest, teacher.classes)
    assert np.array_equal(one.boxes, two.boxes) and np.array_equal(one.margin, two.margin)


def test_any_onnx_file_with_its_description(theirs: Path, tmp_path: Path) -> None:
    teacher = open_teacher(str(theirs), ["dog", "cat"], workspace=tmp_path, description=tmp_path / "theirs.yaml")
    [found] = teacher.ask([np.zeros((32, 32, 3), np.uint8)])
    assert teacher.name == "theirs" and found.labels.tolist() == [1, 0]
    assert found.boxes.tolist() == [[4, 4, 20, 20], [22, 22, 30, 30]]
    assert found.scores == pytest.approx([0.9, 0.7])
    # cow is no class of the pool, and yet it speaks against the cat; the second candidate was folded into the first
    assert found.margin == pytest.approx([0.9 - 0.3, 0.7])
    assert found.support == pytest.approx([0.9 + 0.6, 0.7])
    assert found.spread == pytest.approx([0.6 * (1 - 14 / 16) / 1.5, 0], abs=1e-6)


def test_joined_classes_suppress_each_other(theirs: Path, tmp_path: Path) -> None:
    told = {"description": tmp_path / "theirs.yaml", "workspace": tmp_path, "join": True}
    teacher = open_teacher(str(theirs), ["pet"], {"cat": "pet", "dog": "pet", "cow": "pet"}, **told)  # type: ignore[arg-type]
    [found] = teacher.ask([np.zeros((32, 32, 3), np.uint8)])
    assert found.labels.tolist() == [0, 0] and found.scores == pytest.approx([0.9, 0.7])
    # a cat that is also a bit of a cow is one pet, and nothing speaks against it
    assert found.margin == pytest.approx([0.9, 0.7])


def test_a_look_by_which_another_is_checked_has_no_features(theirs: Path, tmp_path: Path) -> None:
    teacher = open_teacher(str(theirs), ["cat"], workspace=tmp_path, description=tmp_path / "theirs.yaml")
    assert isinstance(teacher, DetectingTeacher)
    [found] = teacher.glance([np.zeros((32, 32, 3), np.uint8)])
    assert found.scores == pytest.approx([0.9]) and found.margin.tolist() == [0]


def test_scores_below_the_floor_are_no_boxes(tmp_path: Path) -> None:
    said = {"boxes": np.array([[[0, 0, 8, 8], [16, 16, 30, 30]]]),
            "scores": np.array([[[FLOOR - 0.01], [FLOOR + 0.01]]])}
    file = speaking(tmp_path / "shy.onnx", said)
    (tmp_path / "shy.yaml").write_text(PLAIN.replace("[cat, dog, cow]", "[cat]"))
    teacher = open_teacher(str(file), [], workspace=tmp_path, description=tmp_path / "shy.yaml")
    assert teacher.ask([np.zeros((32, 32, 3), np.uint8)])[0].boxes.tolist() == [[16, 16, 30, 30]]


def test_what_was_made_of_a_foreign_file_is_kept(theirs: Path, tmp_path: Path) -> None:
    def opened() -> Any:
        return open_teacher(str(theirs), ["cat"], workspace=tmp_path, description=tmp_path / "theirs.yaml")

    first = opened()
    stamp = first.file.stat().st_mtime_ns
    assert opened().file == first.file and first.file.stat().st_mtime_ns == stamp
    assert first.file.is_relative_to(tmp_path / ".visionmill/teachers")
    # another description is another model
    (tmp_path / "theirs.yaml").write_text(PLAIN + "suppression: 0.9\n")
    assert opened().file != first.file and opened().digest != first.digest


@pytest.mark.parametrize(("text", "message"), [
    (PLAIN.replace("boxes: boxes", "boxes: squares"), "no output is called 'squares'"),
    (PLAIN.replace("[cat, dog, cow]", "[cat, dog]"), "tells 3 classes apart, the list has 2 names"),
    (PLAIN.replace("plain-boxes, boxes: boxes, scores: scores", "detr, logits: scores, boxes: boxes"), "2 names|3"),
    (PLAIN.replace("plain-boxes", "plane-boxes"), "decoding"),
    ("title: [", "is not YAML")])
def test_an_answer_that_does_not_fit_the_description(theirs: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "wrong.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        open_teacher(str(theirs), ["cat"], workspace=tmp_path, description=tmp_path / "wrong.yaml")
    assert not list((tmp_path / ".visionmill/teachers").glob("*/model.onnx"))


def test_scores_that_are_no_probabilities(tmp_path: Path) -> None:
    file = speaking(tmp_path / "logits.onnx", {"boxes": np.zeros((1, 2, 4)), "scores": np.full((1, 2, 3), 4.0)})
    (tmp_path / "theirs.yaml").write_text(PLAIN)
    with pytest.raises(UserError, match="scores reach from 4 to 4, not 0 to 1"):
        open_teacher(str(file), [], workspace=tmp_path, description=tmp_path / "theirs.yaml")


def test_a_file_that_nobody_has_described(theirs: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="reads") as told:
        open_teacher(str(theirs), ["cat"], workspace=tmp_path)
    assert "--description" in str(told.value) and "--preset" not in str(told.value)


def test_a_classifier_is_no_teacher(tmp_path: Path) -> None:
    file = speaking(tmp_path / "kinds.onnx", {"seen": np.array([[0.2, 0.8]])})
    (tmp_path / "kinds.yaml").write_text(
        "title: Kinds\nclasses: [a, b]\ndecoding: {family: classify, output: seen, activation: none}\n")
    with pytest.raises(UserError, match="names whole pictures, it finds no boxes"):
        open_teacher(str(file), [], workspace=tmp_path, description=tmp_path / "kinds.yaml")


@pytest.mark.parametrize(("text", "message"), [
    ("nowhere.onnx", "no such model"), ("picodet", "no such model"), ("models:/x", "is no address"),
    ("sam:folder", "finds none"), ("plugin:nothing", "nothing")])
def test_no_such_teacher(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(VisionmillError, match=message):
        open_teacher(text, ["cat"], workspace=tmp_path)


def test_a_registered_version_is_named_by_its_number(registered: Path) -> None:  # noqa: F811
    teacher = open_teacher("models:/cells@champion", [], workspace=registered)
    again = open_teacher("models:/cells/1", [], workspace=registered)
    assert teacher.name == again.name == "cells@1" and teacher.digest == again.digest
    assert teacher.ask([np.zeros((40, 60, 3), np.uint8)])[0].labels.dtype == np.int64


def test_catalogue_without_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISIONMILL_MIRROR", str(tmp_path))
    with pytest.raises(UserError, match="the weights of yolox-nano are not on this machine") as told:
        open_teacher("yolox-nano", [], workspace=tmp_path)
    assert "--weights FILE --model yolox-nano" in str(told.value)
    with pytest.raises(UserError, match="no such file of weights"):
        open_teacher("yolox-nano", [], workspace=tmp_path, weights=tmp_path / "x.onnx")
    with pytest.raises(UserError, match="--weights are those of an entry of the catalogue"):
        open_teacher("nobody", [], workspace=tmp_path, weights=tmp_path / "x.onnx")


@pytest.mark.parametrize("name", ["picodet-s-320", "yolox-nano", "fastestdet"])
def test_catalogue_models_find_people(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                      name: str) -> None:
    monkeypatch.delenv("VISIONMILL_MIRROR")
    folder, file = {"picodet-s-320": ("picodet", "picodet_s_320_coco.onnx"), "yolox-nano": ("yolox_nano",
                    "yolox_nano.onnx"), "fastestdet": ("fastestdet", "FastestDet.onnx")}[name]
    teacher = open_teacher(name, ["human"], {"person": "human"}, workspace=tmp_path, drop_rest=True,
                           weights=mirror / "weights" / folder / file)
    assert teacher.name == name and isinstance(teacher, DetectingTeacher)
    truth = json.loads((mirror / "datasets/coco_tiny/annotations/instances_val2017.json").read_text())
    large = max((one for one in truth["annotations"] if one["category_id"] == 1 and not one["iscrowd"]),
                key=lambda one: one["area"])
    picture = read_picture(mirror / "datasets/coco_tiny/val2017" / next(
        one["file_name"] for one in truth["images"] if one["id"] == large["image_id"]))
    [found] = teacher.ask([picture])
    x, y, w, h = large["bbox"]
    low, high = np.maximum(found.boxes[:, :2], [x, y]), np.minimum(found.boxes[:, 2:], [x + w, y + h])
    shared = (high - low).clip(0).prod(axis=1)
    union = (found.boxes[:, 2:] - found.boxes[:, :2]).prod(axis=1) + w * h - shared
    assert found.scores[np.argmax(shared / union)] > 0.3 and (shared / union).max() > 0.5
    assert (found.margin <= found.scores + 1e-6).all() and ((found.spread >= 0) & (found.spread <= 1)).all()
    assert (found.support >= found.scores - 1e-3).all()
    [heat] = teacher.heat([picture])
    [empty] = teacher.heat([np.full_like(picture, 114)])
    assert heat.shape == (1,) and heat[0] > empty[0] >= 0


def test_other_weights_of_an_entry_are_told(theirs: Path, mirror: Path, tmp_path: Path) -> None:
    changed = tmp_path / "mine.onnx"
    shutil.copy(mirror / "weights/fastestdet/FastestDet.onnx", changed)
    proto = onnx.load(changed)
    proto.doc_string = "trained on"
    onnx.save(proto, str(changed))
    teacher = open_teacher("fastestdet", [], workspace=tmp_path, weights=changed)
    assert teacher.notes == ["mine.onnx is not the file that the catalogue knows as fastestdet"]
    with pytest.raises(UserError, match="758"):
        open_teacher("fastestdet", [], workspace=tmp_path, weights=theirs)


@pytest.mark.parametrize(("candidates", "size", "levels"), [
    (2704 + 676 + 169 + 49, (416, 416), [(52, 52), (26, 26), (13, 13), (7, 7)]),
    (2704 + 676 + 169, (416, 416), [(52, 52), (26, 26), (13, 13)]),
    (22 * 22, (352, 352), [(22, 22)]), (40 * 30 + 20 * 15, (320, 240), [(40, 30), (20, 15)]),
    (300, (640, 640), None), (0, (64, 64), None)])
def test_grids(candidates: int, size: tuple[int, int], levels: list[tuple[int, int]] | None) -> None:
    assert grids(candidates, size) == levels


def test_no_heat_maps_without_a_grid(quarters: Path, tmp_path: Path) -> None:
    teacher = open_teacher(str(quarters), ["red"], workspace=tmp_path)
    assert isinstance(teacher, DetectingTeacher)
    with pytest.raises(UserError, match="4 candidates of quarters stand on no grid"):
        teacher.heat([coloured(0, 0, 0, 0)])


def test_heat_is_aldd_of_the_maps(tmp_path: Path) -> None:
    from tasks.labels.mining.aldd import scores as aldd

    grid = np.zeros((4, 4), np.float32)
    grid[1, 2] = 0.8
    said = {"boxes": np.zeros((1, 16, 4)), "scores": grid.reshape(1, 16, 1)}
    file = speaking(tmp_path / "grid.onnx", said)
    (tmp_path / "grid.yaml").write_text(PLAIN.replace("[cat, dog, cow]", "[cat]"))
    teacher = open_teacher(str(file), [], workspace=tmp_path, description=tmp_path / "grid.yaml")
    assert isinstance(teacher, DetectingTeacher)
    maps = teacher._maps(grid.ravel())
    assert maps.shape == (1, 32, 32) and np.unravel_index(maps[0].argmax(), (32, 32)) in {
        (row, column) for row in (11, 12) for column in (19, 20)}
    [heat] = teacher.heat([np.zeros((32, 32, 3), np.uint8)])
    assert heat == pytest.approx(aldd(maps[:, None])) and heat[0] > 0


def test_outlines_by_another_model(quarters: Path, tmp_path: Path) -> None:
    asked: list[np.ndarray] = []

    def mask(picture: np.ndarray, boxes: np.ndarray) -> list[list[list[float]]]:
        asked.append(boxes)
        return [[[float(value) for value in box]] for box in boxes]

    masker: Any = SimpleNamespace(name="sam", digest="1", mask=mask)
    teacher = open_teacher(str(quarters), ["red"], workspace=tmp_path)
    masking = MaskingTeacher(teacher, masker, least=0.5)
    dim = coloured(0, None, None, 0)
    dim[:32, :48, 0] = 100
    found, none = masking.ask([dim, coloured(None, None, None, None)])
    assert isinstance(found, Found) and found.polygons == [[[48.0, 32.0, 96.0, 64.0]], []] and none.polygons == []
    assert [boxes.tolist() for boxes in asked] == [[[48, 32, 96, 64]]]
    assert masking.digest != teacher.digest and masking.name == "quarters" and masking.notes[-1] == "outlines by sam"
    assert masking.glance([dim])[0].polygons is None
