"""What a wrapped model reads, whatever its own input is, and what its file says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image
from sklearn.datasets import load_sample_images

from tasks.base.errors import UserError
from tasks.compress.onnx_file import normalised
from tasks.foreign.bring import bring
from tasks.runtime.detector import open_detector
from tasks.runtime.letterbox import letterbox, resize

from .graphs import described, run, speaking, write

CLASSIFY = {"family": "classify", "output": "seen", "activation": "none"}
MEAN, STD = [10.0, 20.0, 30.0], [300.0, 400.0, 500.0]


def seeing(path: Path, *, axes: list[int], kind: int = TensorProto.FLOAT, shape: tuple[Any, ...] = (1, 3, 32, 48),
           scale: float = 1.0) -> Path:
    """A model that says the mean of each channel that it sees, times `scale`."""
    nodes = [helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
             helper.make_node("ReduceMean", ["floats"], ["mean"], axes=axes, keepdims=0),
             helper.make_node("Mul", ["mean", "scale"], ["seen"])]
    return write(path, nodes, ["seen"], {"scale": np.array(scale, np.float32)}, shape=shape, kind=kind)


def photo(height: int = 32, width: int = 48) -> np.ndarray:
    picture = load_sample_images().images[1]
    return np.ascontiguousarray(resize(picture, (height, width)).transpose(2, 0, 1)[None])


@pytest.mark.parametrize("colours", ["rgb", "bgr"])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_model_sees_what_it_was_trained_on(tmp_path: Path, colours: str, layout: str, dtype: str) -> None:
    kind = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}[dtype]
    nchw = layout == "nchw"
    file = seeing(tmp_path / "x.onnx", axes=[2, 3] if nchw else [1, 2], kind=kind,
                  shape=(1, 3, 32, 48) if nchw else (1, 32, 48, 3))
    how = {"colours": colours, "layout": layout, "dtype": dtype, "mean": MEAN, "std": STD}
    picture = photo()
    said = run(file, described(CLASSIFY, input=how), picture)["scores"][0]
    channels = picture[0].astype(float).mean(axis=(1, 2))
    expected = ((channels if colours == "rgb" else channels[::-1]) - MEAN) / STD
    np.testing.assert_allclose(said, expected, atol=1e-5 if dtype == "float32" else 2e-3)


def test_a_model_that_reads_bytes(tmp_path: Path) -> None:
    file = seeing(tmp_path / "x.onnx", axes=[1, 2], kind=TensorProto.UINT8, shape=(1, 32, 48, 3), scale=1 / 255)
    picture = photo()
    said = run(file, described(CLASSIFY, input={"layout": "nhwc", "dtype": "uint8", "colours": "bgr"}), picture)
    np.testing.assert_allclose(said["scores"][0], picture[0, ::-1].mean(axis=(1, 2)) / 255, atol=1e-5)


@pytest.mark.parametrize("size", [(200, 600), (600, 200), (64, 96)])
def test_a_stretched_model_sees_the_whole_picture(tmp_path: Path, size: tuple[int, int]) -> None:
    """Means of a grid of 4 × 4 fields are those of the stretched picture, not of the padded one."""
    pool = helper.make_node("AveragePool", ["image"], ["fields"], kernel_shape=[16, 24], strides=[16, 24])
    nodes = [pool, helper.make_node("Reshape", ["fields", "flat"], ["seen"])]
    file = write(tmp_path / "x.onnx", nodes, ["seen"], {"flat": np.array([1, -1])}, shape=(1, 3, 64, 96))
    picture = resize(load_sample_images().images[0], size)
    canvas, _ = letterbox(picture, (64, 96))
    image = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None])
    fields = np.asarray(Image.fromarray(picture).resize((4, 4), Image.Resampling.BOX)).transpose(2, 0, 1).ravel() / 255
    said = run(file, described(CLASSIFY, input={"fit": "stretch", "std": [255] * 3}), image)["scores"][0]
    np.testing.assert_allclose(said, fields, atol=0.025)
    plain = run(file, described(CLASSIFY, input={"std": [255] * 3}), image)["scores"][0]
    assert size == (64, 96) or np.abs(plain - fields).max() > 0.1


def test_boxes_of_a_stretched_model_come_back(tmp_path: Path) -> None:
    file = speaking(tmp_path / "x.onnx", {"b": np.array([[[0, 0, 32, 32], [8, 16, 16, 32]]]), "s": np.ones((1, 2, 1))})
    how = described({"family": "plain-boxes", "boxes": "b", "scores": "s"}, input={"fit": "stretch"})
    image = np.full((1, 3, 32, 32), 114, np.uint8)
    image[:, :, :16, :24] = 7
    # the picture fills 24 × 16 of 32 × 32 pixels
    np.testing.assert_allclose(run(file, how, image)["boxes"][0], [[0, 0, 24, 16], [6, 8, 12, 16]], atol=1e-4)


def test_a_picture_that_is_all_padding_is_no_catastrophe(tmp_path: Path) -> None:
    file = speaking(tmp_path / "x.onnx", {"b": np.array([[[0, 0, 32, 32]]]), "s": np.ones((1, 1, 1))})
    how = described({"family": "plain-boxes", "boxes": "b", "scores": "s"}, input={"fit": "stretch"})
    said = run(file, how, np.full((1, 3, 32, 32), 114, np.uint8))
    assert np.isfinite(said["boxes"]).all()


def test_names_like_ours_are_no_matter(tmp_path: Path) -> None:
    file = speaking(tmp_path / "x.onnx", {"scores": np.array([[[4, 8, 20, 24]]]), "boxes": np.array([[[0.25]]])},
                    name="images")
    said = run(file, described({"family": "plain-boxes", "boxes": "scores", "scores": "boxes"}))
    assert said["boxes"].tolist() == [[[4, 8, 20, 24]]] and said["scores"].tolist() == [[[0.25]]]


def test_sizes_and_batches_that_the_file_leaves_open(tmp_path: Path) -> None:
    file = seeing(tmp_path / "x.onnx", axes=[2, 3], shape=("n", 3, "h", "w"), scale=1 / 255)
    said = run(file, described(CLASSIFY, input={"height": 16, "width": 64}), photo(16, 64))
    np.testing.assert_allclose(said["scores"][0], photo(16, 64)[0].mean(axis=(1, 2)) / 255, atol=1e-5)
    with pytest.raises(UserError, match="any size") as told:
        run(file, described(CLASSIFY))
    assert "--size 416x416" in str(told.value)


def test_further_inputs_are_constants(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceMean", ["image"], ["mean"], axes=[2, 3], keepdims=0),
             helper.make_node("Mul", ["mean", "factor"], ["seen"])]
    more = [helper.make_tensor_value_info("factor", TensorProto.FLOAT, [1, 1])]
    file = write(tmp_path / "x.onnx", nodes, ["seen"], more=more)
    image = np.full((1, 3, 32, 32), 200, np.uint8)
    said = run(file, described(CLASSIFY, input={"constants": {"factor": [[0.0025]]}}), image)
    np.testing.assert_allclose(said["scores"], [[0.5] * 3], atol=1e-6)
    with pytest.raises(UserError, match="more inputs than the picture: factor"):
        run(file, described(CLASSIFY))


YAML = """
title: made by hand
licence: MIT
decoding: {family: plain-boxes, boxes: b, scores: s}
suppression: 0.4
threshold: 0.3
"""


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    speaking(tmp_path / "x.onnx", {"b": np.array([[[4, 8, 20, 24], [5, 8, 20, 24], [0, 0, 3, 3]]]),
                                   "s": np.array([[[0.9, 0.0], [0.8, 0.0], [0.0, 0.7]]])})
    (tmp_path / "x.yaml").write_text(YAML)
    made = bring(str(tmp_path / "x.onnx"), tmp_path / "out", preset=str(tmp_path / "x.yaml"), classes=["dog", "cat"])
    assert made.classes == ["dog", "cat"] and not made.trainable
    return tmp_path / "out"


def test_the_file_says_what_it_is(imported: Path) -> None:
    told = {entry.key: entry.value for entry in onnx.load(imported / "model.onnx").metadata_props}
    assert json.loads(told["classes"]) == ["dog", "cat"] and json.loads(told["thresholds"]) == {"dog": 0.3, "cat": 0.3}
    assert (told["height"], told["width"], told["problem"], told["precision"]) == ("32", "32", "detect", "fp32")
    assert json.loads(told["suppression"]) == {"iou": 0.4, "top_k": 1000, "max_detections": 100}
    assert json.loads(told["imported"])["licence"] == "MIT" and len(told["line"]) == 32


def test_our_detector_opens_it(imported: Path) -> None:
    detector = open_detector(imported / "model.onnx", threads=1)
    found = detector.predict([np.zeros((64, 128, 3), np.uint8)], score_threshold=0.3)[0]
    assert detector.classes == ["dog", "cat"] and found.class_ids.tolist() == [0, 1]
    np.testing.assert_allclose(found.boxes, [[16, 32, 80, 64], [0, 0, 12, 12]], atol=1e-3)


def test_the_same_model_gives_the_same_bytes(imported: Path) -> None:
    before = (imported / "model.onnx").read_bytes()
    source = imported.parent
    bring(str(source / "x.onnx"), source / "out", preset=str(source / "x.yaml"), classes=["dog", "cat"])
    assert (imported / "model.onnx").read_bytes() == before and str(source).encode() not in before


def test_a_file_of_ours_is_taken_as_it_is(imported: Path, tmp_path: Path) -> None:
    made = bring(str(imported / "model.onnx"), tmp_path / "again")
    assert (tmp_path / "again/model.onnx").read_bytes() == (imported / "model.onnx").read_bytes()
    assert made.classes == ["dog", "cat"] and made.problem == "detect"
    with pytest.raises(UserError, match="its classes are dog, cat"):
        bring(str(imported / "model.onnx"), tmp_path / "again", classes=["a", "b"])


def test_quantisation_finds_the_picture(imported: Path) -> None:
    proto = onnx.load(imported / "model.onnx")
    first = next(node for node in proto.graph.node if node.op_type == "Conv")
    assert normalised(proto) == first.input[0]
    assert len({node.name for node in proto.graph.node}) == len(proto.graph.node)
