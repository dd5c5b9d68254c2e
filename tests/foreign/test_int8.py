"""The INT8 copy of an imported file: convolutions in 8 bits, the picture's bytes as they are, the decoding in float."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from PIL import Image
from sklearn.datasets import load_sample_images

from flows.commands.import_model import main
from tasks.base.errors import GateRefused, UserError
from tasks.compress.quantise import quantise
from tasks.foreign.bring import bring
from tasks.runtime.detector import open_detector
from tasks.runtime.letterbox import letterbox

from .graphs import write

YAML = """
title: two convolutions
input: {fit: FIT, colours: bgr, mean: [103.5, 116.3, 123.7], std: [57.4, 57.1, 58.4]}
decoding: {family: fcos-raw, strides: [8], scores: [out], boxes: [out]}
"""


@pytest.fixture(params=["letterbox", "stretch"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path, list[np.ndarray]]:
    """An imported network of two convolutions, its INT8 copy, and the pictures that it was calibrated with."""
    draw = np.random.default_rng(0)
    tensors = {"w1": draw.normal(0, 0.2, (16, 3, 8, 8)), "b1": np.zeros(16), "w2": draw.normal(0, 0.2, (6, 16, 1, 1)),
               "b2": np.array([-3, -3, 2, 2, 2, 2.0])}
    nodes = [helper.make_node("Conv", ["image", "w1", "b1"], ["c1"], strides=[8, 8]),
             helper.make_node("Relu", ["c1"], ["r1"]),
             helper.make_node("Conv", ["r1", "w2", "b2"], ["out"])]
    write(tmp_path / "x.onnx", nodes, ["out"], {key: value.astype(np.float32) for key, value in tensors.items()},
          shape=(1, 3, 64, 96))
    (tmp_path / "x.yaml").write_text(YAML.replace("FIT", request.param))
    made = bring(str(tmp_path / "x.onnx"), tmp_path / "out", preset=str(tmp_path / "x.yaml"), classes=["dog", "cat"])
    photos = load_sample_images().images
    images = [np.ascontiguousarray(letterbox(photos[i % 2][40 * i:], (64, 96))[0].transpose(2, 0, 1)[None])
              for i in range(6)]
    quantise(made.folder / "model.onnx", tmp_path / "int8.onnx", images, "minmax")
    return made.folder / "model.onnx", tmp_path / "int8.onnx", images


def test_it_says_nearly_the_same(files: tuple[Path, Path, list[np.ndarray]]) -> None:
    plain, int8 = (open_detector(file, threads=1) for file in files[:2])
    assert int8.classes == ["dog", "cat"]
    for image in files[2]:
        (boxes, scores), (boxes8, scores8) = plain.raw(image), int8.raw(image)
        assert scores.std() > 0.05
        np.testing.assert_allclose(scores8, scores, atol=0.06)
        np.testing.assert_allclose(boxes8, boxes, atol=6)


def test_what_is_in_eight_bits(files: tuple[Path, Path, list[np.ndarray]]) -> None:
    graph = onnx.load(files[1]).graph
    makers = {name: node for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 3
    assert all(makers[name].op_type == "DequantizeLinear" for node in convolutions for name in node.input[:2])
    assert makers[convolutions[0].input[0]].input[0] == "images"
    decoding = [node for node in graph.node if node.name.startswith("decoding/")]
    assert decoding and not {node.op_type for node in decoding} & {"QuantizeLinear", "DequantizeLinear"}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (tmp_path / "pictures/more").mkdir(parents=True)
    for place, photo in enumerate(load_sample_images().images * 3):
        Image.fromarray(photo[40 * place: 40 * place + 200]).save(tmp_path / f"pictures/more/{place}.png")
    return tmp_path / "pictures"


def test_the_copy_is_judged_by_the_float_file(files: tuple[Path, Path, list[np.ndarray]], pictures: Path,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    source = files[0].parents[1]
    words = [str(source / "x.onnx"), "--preset", str(source / "x.yaml"), "--classes", "dog,cat"]
    assert main([*words, "--out", str(source / "both"), "--int8", str(pictures)]) == 0
    said = capsys.readouterr().out
    assert "INT8, in float: decoding;" in said and "AP50 against" in said
    detector = open_detector(source / "both/int8/model.onnx", threads=1)
    assert detector.precision == "int8" and detector.classes == ["dog", "cat"]


def test_a_model_that_8_bits_spoil_is_refused(files: tuple[Path, Path, list[np.ndarray]], pictures: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    source = files[0].parents[1]
    words = [str(source / "x.onnx"), "--preset", str(source / "x.yaml"), "--classes", "dog,cat"]
    monkeypatch.setattr("tasks.foreign.eight_bit._same", lambda *_: 0.4)
    with pytest.raises(GateRefused, match="own boxes is 0.400, asked 0.85"):
        main([*words, "--out", str(source / "both"), "--int8", str(pictures)])
    assert (source / "both/model.onnx").is_file()
    with pytest.raises(UserError, match="no pictures to calibrate"):
        main([*words, "--out", str(source / "both"), "--int8", str(source / "both")])
