"""Boxes on pictures: thresholds by class, folders, and what cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from tasks.base.errors import DataError, UserError
from tasks.predict import collect, default_model, draw, run_predict, thresholds
from tasks.runtime.detections import Detections
from tasks.runtime.detector import Detector

from .compress.conftest import model_folder  # noqa: F401  an untrained detector on disk


def detector(own: dict[str, float] | None = None) -> Detector:
    def nothing(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((1, 0, 4), np.float32), np.zeros((1, 0, 3), np.float32)

    return Detector(nothing, ["a", "b", "white cell"], (64, 64), "line", "none", own or {})


@pytest.mark.parametrize(("asked", "expected"), [
    ([], [0.2, 0.5, 0.5]), (["0.7"], [0.7] * 3), (["b=0.1"], [0.2, 0.1, 0.5]), (["b=0.1", "0.9"], [0.9, 0.1, 0.9]),
    (["white cell=0.3"], [0.2, 0.5, 0.3])])
def test_thresholds_in_any_order(asked: list[str], expected: list[float]) -> None:
    assert thresholds(detector({"a": 0.2}), asked).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(("asked", "words"), [
    ("1.5", "from 0 to 1"), ("x", "from 0 to 1"), ("a=", "from 0 to 1"), ("nan", "from 0 to 1"),
    ("whitecell=0.3", "did you mean 'white cell'")])
def test_wrong_thresholds_are_told(asked: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        thresholds(detector(), [asked])


def test_a_workspace_without_a_model_says_how_to_make_one(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("export: {targets: []}")
    with pytest.raises(UserError, match="visionmill run"):
        default_model(tmp_path)


def test_missing_pictures_and_empty_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such picture"):
        collect([tmp_path / "a.jpg"])
    with pytest.raises(UserError, match="no picture found"):
        collect([tmp_path])


def test_pictures_are_drawn_and_told(model_folder: Path, tmp_path: Path) -> None:  # noqa: F811
    for name, size in (("a/x.png", (50, 80)), ("b/x.png", (300, 200))):
        (tmp_path / name).parent.mkdir()
        Image.fromarray(load_sample_images().images[0][: size[0], : size[1]]).save(tmp_path / name)
    said = run_predict([tmp_path / "a", tmp_path / "b/x.png"], tmp_path / "out", str(model_folder), ["0.0"])
    assert len(said) == 2
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["00000-x.png", "00001-x.png", "predictions.json"]
    for (_, rows), (width, height) in zip(said.items(), [(80, 50), (200, 300)], strict=True):
        assert all(0 <= r["box"][0] <= r["box"][2] <= width and 0 <= r["box"][1] <= r["box"][3] <= height for r in rows)


def test_a_file_that_is_no_picture_is_told(model_folder: Path, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "x.jpg").write_text("hello")
    with pytest.raises(DataError, match="x.jpg"):
        run_predict([tmp_path / "x.jpg"], tmp_path / "out", str(model_folder))


def test_boxes_at_the_border_are_drawn() -> None:
    found = Detections(np.array([[0, 0, 64, 64], [63, 63, 64, 64]], np.float32), np.array([0.9, 0.8], np.float32),
                       np.array([0, 8], dtype=np.int64))
    picture = np.zeros((64, 64, 3), np.uint8)
    assert np.asarray(draw(picture, found, [f"class {i}" for i in range(9)])).any()


def test_an_original_is_never_replaced(model_folder: Path, tmp_path: Path) -> None:  # noqa: F811
    file = tmp_path / "x.png"
    Image.fromarray(load_sample_images().images[0][:50, :60]).save(file)
    before = file.read_bytes()
    with pytest.raises(UserError, match="replace the original"):
        run_predict([file], tmp_path, str(model_folder))
    assert file.read_bytes() == before


def test_the_default_model_is_the_pruned_int8_file_of_a_chosen_target(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("export: {targets: [cpu-fp32, cpu-int8]}")
    for name in ("models/trained", "exports/cpu-fp32", "exports/cpu-int8", "exports/old-int8"):
        (tmp_path / name).mkdir(parents=True)
    assert default_model(tmp_path) == tmp_path / "models/trained"
    for target in ("cpu-fp32", "old-int8"):
        (tmp_path / f"exports/{target}/pruned.onnx").touch()
    assert default_model(tmp_path) == tmp_path / "exports/cpu-fp32/pruned.onnx"
    (tmp_path / "exports/cpu-int8/pruned.onnx").touch()
    assert default_model(tmp_path) == tmp_path / "exports/cpu-int8/pruned.onnx"
