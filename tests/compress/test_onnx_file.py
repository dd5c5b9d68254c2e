"""Exported files are the model, say what they are, and are the same bytes for the same weights."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import nn

from tasks.base.errors import DataError, GateRefused, ParamsError
from tasks.compress.onnx_file import LARGEST, layers_of, load_onnx, write_onnx
from tasks.compress.parity import compare
from tasks.compress.quantise import quantise
from tasks.compress.target import Target, load_target, write_for
from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, Meta
from tasks.models.store import load_model
from tasks.runtime.detector import open_detector
from tasks.runtime.postprocess import Suppression

from .conftest import inputs


@pytest.fixture(scope="module")
def float_file(model_folder: Path) -> Path:
    file = model_folder / "float.onnx"
    write_for(Target(), model_folder, file, [], "minmax")
    return file


@pytest.fixture(scope="module")
def int8_file(model_folder: Path) -> Path:
    file = model_folder / "int8.onnx"
    write_for(Target(precision="int8"), model_folder, file, inputs(8), "minmax")
    return file


def test_the_file_answers_as_torch_does(model_folder: Path, float_file: Path) -> None:
    torch_one, file_one = open_detector(model_folder, 1), open_detector(float_file, 1)
    for image in inputs(4):
        (boxes, scores), (own_boxes, own_scores) = torch_one.raw(image), file_one.raw(image)
        assert np.abs(scores - own_scores).max() < 1e-4
        assert np.abs(boxes - own_boxes).max() < 1e-4 * 128


def test_the_int8_file_is_close_and_a_quarter_of_the_size(model_folder: Path, float_file: Path,
                                                          int8_file: Path) -> None:
    torch_one, file_one = open_detector(model_folder, 1), open_detector(int8_file, 1)
    worst = max(np.abs(torch_one.raw(image)[1] - file_one.raw(image)[1]).max() for image in inputs(4))
    assert 0 < worst < 0.1
    assert int8_file.stat().st_size < 0.35 * float_file.stat().st_size


def test_the_int8_file_reads_the_pictures_bytes_as_they_are(int8_file: Path) -> None:
    """The first convolution takes the input itself: no cast, no subtraction, no second quantisation in between."""
    graph = onnx.load(int8_file).graph
    readers = [node for node in graph.node if "images" in node.input]
    assert [node.op_type for node in readers] == ["DequantizeLinear"]
    assert [n.op_type for n in graph.node if readers[0].output[0] in n.input] == ["Conv"]
    assert not [n for n in graph.node if n.op_type in ("Cast", "Div", "BatchNormalization")]


def test_a_file_says_what_it_is(float_file: Path, int8_file: Path) -> None:
    for file in (float_file, int8_file):
        told = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
        assert json.loads(told["classes"]) == ["a", "b"]
        assert json.loads(told["thresholds"]) == {"a": 0.3, "b": 0.4}
        assert (told["height"], told["width"], told["line"]) == ("96", "128", "0123")
        assert (told["runtime"], told["device"], "engine" in told) == ("onnxruntime", "cpu", False)
        assert Suppression.from_json(told["suppression"]) == Suppression()


def test_layers_are_called_as_in_torch(model_folder: Path, float_file: Path) -> None:
    """So a user can name them, and what is found in torch can be kept in float in the file."""
    modules = {name for name, module in load_model(model_folder)[0].named_modules() if isinstance(module, nn.Conv2d)}
    layers = layers_of(onnx.load(float_file))
    assert set(layers) == modules
    assert layers["head.classification.cls_logits"] == [f"head.classification.cls_logits@{i}" for i in range(3)]
    assert set().union(*layers.values()) <= {node.name for node in onnx.load(float_file).graph.node}


def test_equal_weights_give_equal_bytes(model_folder: Path, float_file: Path, tmp_path: Path) -> None:
    write_for(Target(), model_folder, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == float_file.read_bytes()
    write_onnx(*load_model(model_folder), tmp_path / "unfolded.onnx", fold=False)
    for name in ("one.onnx", "two.onnx"):
        quantise(tmp_path / "unfolded.onnx", tmp_path / name, inputs(4), "minmax")
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


def test_a_file_knows_no_path(float_file: Path, int8_file: Path) -> None:
    for file in (float_file, int8_file):
        content = file.read_bytes()
        assert str(Path(__file__).parents[2]).encode() not in content
        assert str(file.parent).encode() not in content


@pytest.mark.parametrize(("content", "message"), [(b"", "does not open"), (b"hello", "does not open")])
def test_a_broken_file_says_so(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_detector(tmp_path / "x.onnx")


def test_a_file_from_elsewhere_says_so(float_file: Path, tmp_path: Path) -> None:
    proto = onnx.load(float_file)
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "x.onnx")
    with pytest.raises(DataError, match="without our metadata"):
        open_detector(tmp_path / "x.onnx")


@pytest.mark.parametrize(("make", "message"), [
    (lambda proto, path: None, "no ONNX file"),
    (lambda proto, path: path.write_bytes(b"hello"), "truncated"),
    (lambda proto, path: path.write_bytes(b""), "without a graph"),
    (lambda proto, path: path.write_bytes(proto.SerializeToString()[:-1000]), "truncated"),
    (lambda proto, path: (path.touch(), os.truncate(path, LARGEST + 1)), "more than 2 GB"),
    (lambda proto, path: (setattr(proto.opset_import[0], "version", 99), onnx.save(proto, path)), "opset 99"),
    (lambda proto, path: (setattr(proto.opset_import[0], "version", 9), onnx.save(proto, path)), "opset 9"),
    (lambda proto, path: (proto.ClearField("metadata_props"), onnx.save(proto, path)), "without our metadata"),
    (lambda proto, path: (setattr(proto.graph.input[0], "name", "x"), onnx.save(proto, path)), "its inputs are"),
])
def test_what_cannot_be_quantised_says_why(float_file: Path, tmp_path: Path, make: Callable[[Any, Path], Any],
                                           message: str) -> None:
    make(onnx.load(float_file), tmp_path / "x.onnx")
    with pytest.raises(DataError, match=message):
        load_onnx(tmp_path / "x.onnx")
    with pytest.raises(DataError, match=message):
        quantise(tmp_path / "x.onnx", tmp_path / "y.onnx", inputs(1), "minmax")
    assert not (tmp_path / "y.onnx").exists()


def test_an_unknown_target_offers_the_nearest() -> None:
    with pytest.raises(ParamsError, match="did you mean 'cpu-int8'"):
        load_target("cpu-int")


def test_numbers_that_are_not_finite_fail_parity(model_folder: Path, tmp_path: Path) -> None:
    class Broken:
        def raw(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            boxes, scores = reference.raw(image)
            scores = scores.copy()
            scores[0, 3, 1] = np.nan
            return boxes, scores

    Image.fromarray(load_sample_images().images[0]).save(tmp_path / "a.png")
    rows = [{"image_id": 0, "file": "a.png", "width": 640, "height": 427, "digest": "0", "bytes": 1, "orientation": 1,
             "split": "val"}]
    images = pa.Table.from_pylist(rows, schema=IMAGES)
    val = Dataset(images, ANNOTATIONS.empty_table(), Meta(name="x", classes=["a", "b"]))
    reference = open_detector(model_folder, 1)
    with pytest.raises(GateRefused, match="not finite"):
        compare(reference, Broken(), val, tmp_path, 1)  # type: ignore[arg-type]
