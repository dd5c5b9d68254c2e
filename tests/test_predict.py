"""Boxes on pictures and videos: thresholds by class, tiles, labels, bundles, and what cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from flows import cli
from tasks.base.errors import DataError, UserError
from tasks.bundle.make import make_bundle
from tasks.models.preset import DetectorPreset
from tasks.models.store import Structure, save_model
from tasks.predict import run_predict
from tasks.runtime.cascade import Cascading, Label
from tasks.runtime.detections import Detections
from tasks.runtime.detector import Detector
from tasks.runtime.slicing import Slicing
from tasks.seeing.drawing import caption, draw, rows
from tasks.seeing.inputs import collect
from tasks.seeing.opening import default_model, thresholds
from tasks.seeing.options import Options

from .quarters import coloured, write_picture
from .runtime.test_cascade import write_colour_classifier


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained detector on disk, for torch."""
    preset = DetectorPreset(backbone="resnet18", image_size=128, levels=3)
    structure = Structure(preset, ["a", "b"], 96, 128, line="0123")
    torch.manual_seed(0)
    save_model(folder := tmp_path_factory.mktemp("model"), structure, structure.build().state_dict())
    return folder


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
    with pytest.raises(UserError, match="no such picture or video"):
        collect([tmp_path / "a.jpg"])
    with pytest.raises(UserError, match="no picture found"):
        collect([tmp_path])


def test_pictures_are_drawn_and_told(model_folder: Path, tmp_path: Path) -> None:
    for name, size in (("a/x.png", (50, 80)), ("b/x.png", (300, 200))):
        (tmp_path / name).parent.mkdir()
        Image.fromarray(load_sample_images().images[0][: size[0], : size[1]]).save(tmp_path / name)
    everything = Options(threshold=["0.0"])
    both = [tmp_path / "a", tmp_path / "b/x.png"]
    said = run_predict(both, tmp_path / "out", str(model_folder), everything)["pictures"]
    assert len(said) == 2
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["00000-x.png", "00001-x.png", "predictions.json"]
    for found, (width, height) in zip(said.values(), [(80, 50), (200, 300)], strict=True):
        left, top, right, bottom = np.array([row["box"] for row in found]).T
        assert (left >= 0).all() and (top >= 0).all() and (right <= width).all() and (bottom <= height).all()
        assert (left <= right).all() and (top <= bottom).all()


def test_a_file_that_is_no_picture_is_told(quarters: Path, tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_text("hello")
    with pytest.raises(DataError, match="x.jpg"):
        run_predict([tmp_path / "x.jpg"], tmp_path / "out", str(quarters))


def test_boxes_at_the_border_are_drawn() -> None:
    found = Detections(np.array([[0, 0, 64, 64], [63, 63, 64, 64]], np.float32), np.array([0.9, 0.8], np.float32),
                       np.array([0, 8], dtype=np.int64))
    picture = np.zeros((64, 64, 3), np.uint8)
    names = [f"class {i}" for i in range(9)]
    assert np.asarray(draw(picture, rows(found, names), names)).any()


def test_an_original_is_never_replaced(quarters: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    Image.fromarray(load_sample_images().images[0][:50, :60]).save(file)
    before = file.read_bytes()
    with pytest.raises(UserError, match="replace the original"):
        run_predict([file], tmp_path, str(quarters))
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


def test_a_file_of_a_runtime_that_is_not_here_is_no_default(tmp_path: Path, quarters: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    (tmp_path / "params.yaml").write_text("export: {targets: [cpu-fp32, trt-int8]}")
    for target, more in (("cpu-fp32", {}), ("trt-int8", {"runtime": "tensorrt", "device": "cuda"})):
        model = onnx.load(str(quarters))
        for key, value in more.items():
            model.metadata_props.add(key=key, value=value)
        (tmp_path / "exports" / target).mkdir(parents=True)
        onnx.save(model, str(tmp_path / "exports" / target / "pruned.onnx"))
    assert default_model(tmp_path) == tmp_path / "exports/cpu-fp32/pruned.onnx"


def test_what_is_said_of_a_picture(quarters: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_picture(tmp_path / "a.png", coloured(0, None, 1, None))
    said = run_predict([file], tmp_path / "out", str(quarters))
    assert said["pictures"][str(file)] == [{"class": "red", "score": 0.902, "box": [0, 0, 48, 32]},
                                           {"class": "green", "score": 0.902, "box": [0, 32, 48, 64]}]
    assert json.loads((tmp_path / "out/predictions.json").read_text()) == said
    told = capsys.readouterr().out
    assert "a.png: 1 red, 1 green" in told
    assert "1 pictures through CPUExecutionProvider (onnxruntime, fp32): " in told
    assert "pictures/s" in told


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_gpu_that_is_not_there_is_told(quarters: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_picture(tmp_path / "a.png", coloured(0))
    asked = ["predict", str(file), "--out", str(tmp_path / "out"), "--model", str(quarters), "--device", "cuda"]
    assert cli.main(asked) == 2
    told = capsys.readouterr().err
    assert "GPU" in told
    assert "ONNX Runtime (cpu)" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("more", "words"), [
    (["--runtime", "onnxruntme"], "did you mean 'onnxruntime'"), (["--every", "0"], "every"),
    (["--tile", "3"], "tile"), (["--tile", "640", "--overlap", "2"], "overlap"), (["--overlap", "0.3"], "--tile"),
    (["--classify-only", "red"], "--classify FILE"), (["--classify", "no.onnx"], "no.onnx"),
    (["--threshold", "gren=0.2"], "did you mean 'green'"), (["--threshold", "2"], "from 0 to 1"),
    (["--model", "no.onnx"], "no such model")])
def test_wrong_words_are_told(quarters: Path, tmp_path: Path, more: list[str], words: str,
                              capsys: pytest.CaptureFixture[str]) -> None:
    file = write_picture(tmp_path / "a.png", coloured(0))
    assert cli.main(["predict", str(file), "--out", str(tmp_path / "out"), "--model", str(quarters), *more]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_another_runtime_says_so(quarters: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    file = write_picture(tmp_path / "a.png", coloured(0, None, 1, None))
    first = run_predict([file], tmp_path / "out", str(quarters))
    other = run_predict([file], tmp_path / "out", str(quarters), Options(runtime="openvino"))
    assert other["runtime"] == "openvino"
    assert "openvino" in other["provider"].lower()
    assert other["pictures"] == first["pictures"]


def test_a_large_picture_in_tiles(quarters: Path, tmp_path: Path) -> None:
    """Four tiles of the network's shape; the quarters of the whole would be mixtures."""
    above = np.concatenate([coloured(0), coloured(None, 1)], axis=1)
    picture = np.concatenate([above, np.zeros_like(above)])
    file = write_picture(tmp_path / "a.png", picture)
    options = Options(slicing=Slicing(tile=96, overlap=0, whole=False))
    found = run_predict([file], tmp_path / "out", str(quarters), options)["pictures"][str(file)]
    assert [(row["class"], row["box"]) for row in found] == [("red", [0, 0, 48, 32]), ("green", [144, 0, 192, 32])]
    assert run_predict([file], tmp_path / "out", str(quarters))["pictures"][str(file)] == []


def test_a_classifier_names_the_boxes(quarters: Path, tmp_path: Path) -> None:
    classifier = write_colour_classifier(tmp_path / "colours.onnx")
    picture = coloured(0, 1)
    picture[:32, :48, 2] = 255
    file = write_picture(tmp_path / "a.png", picture)
    cascade = Cascading(file=classifier, only=["red"], margin=0)
    said = run_predict([file], tmp_path / "out", str(quarters), Options(cascade=cascade))
    red, green = sorted(said["pictures"][str(file)], key=lambda row: row["class"] != "red")
    assert red["label"] == "blue"  # there is even more blue in it
    assert 0.5 < red["label_score"] <= 1
    assert "label" not in green
    assert said["provider"] == "CPUExecutionProvider, labels by CPUExecutionProvider"


def test_captions() -> None:
    found = Detections(np.zeros((2, 4), np.float32), np.array([0.9, 0.8], np.float32), np.array([0, 1]))
    assert [caption(row) for row in rows(found, ["a", "b"], [Label("x", 0.5), None])] == ["a 0.90: x 0.50", "b 0.80"]


def test_what_was_drawn_is_not_looked_at_again(quarters: Path, tmp_path: Path) -> None:
    file = write_picture(tmp_path / "in/a.png", coloured(0))
    for _ in range(2):
        said = run_predict([tmp_path / "in"], tmp_path / "in/drawn", str(quarters))
        assert list(said["pictures"]) == [str(file)]


def test_a_bundle_is_a_model(quarters: Path, tmp_path: Path) -> None:
    file = write_picture(tmp_path / "a.png", coloured(0))
    for kind in ("alone", "triton"):
        bundle = make_bundle(str(quarters), tmp_path / kind, kind=kind)
        said = run_predict([file], tmp_path / "out", str(bundle))
        assert said["pictures"] == run_predict([file], tmp_path / "out", str(quarters))["pictures"]


def test_a_bundle_that_was_changed_is_told(quarters: Path, tmp_path: Path) -> None:
    file = write_picture(tmp_path / "a.png", coloured(0))
    bundle = make_bundle(str(quarters), tmp_path / "bundle")
    content = bytearray((bundle / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / "model.onnx").write_bytes(content)
    with pytest.raises(DataError, match="model.onnx was changed"):
        run_predict([file], tmp_path / "out", str(bundle))


def test_a_bundle_for_deepstream_is_told(quarters: Path, tmp_path: Path) -> None:
    file = write_picture(tmp_path / "a.png", coloured(0))
    bundle = make_bundle(str(quarters), tmp_path / "bundle", kind="deepstream")
    with pytest.raises(UserError, match="deepstream"):
        run_predict([file], tmp_path / "out", str(bundle))
