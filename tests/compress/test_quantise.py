"""INT8 files: the structure that each runtime wants, layers in float, calibration on whatever pictures there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.numpy_helper import to_array

from tasks.base.errors import DataError
from tasks.compress.onnx_file import layers_of
from tasks.compress.openvino_int8 import RANGES, quantise_openvino
from tasks.compress.quantise import METHODS, quantise

from .labelled import ask, float_file, inputs, one_thread, score_noise

HURT = "backbone.body.layer2.1.conv2"


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return float_file(tmp_path_factory.mktemp("float"))


@pytest.fixture(scope="module")
def tensorrt(source: Path) -> onnx.ModelProto:
    quantise(source, source.with_name("trt.onnx"), inputs(4), "minmax", kind="tensorrt")
    return onnx.load(source.with_name("trt.onnx"))


@pytest.fixture(scope="module")
def hurting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return float_file(tmp_path_factory.mktemp("hurting"), hurts=True)


def readers(proto: onnx.ModelProto, name: str) -> list[onnx.NodeProto]:
    return [node for node in proto.graph.node if name in node.input]


def makers(proto: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {name: node for node in proto.graph.node for name in node.output}


def test_tensorrt_reads_weights_and_inputs_through_a_pair(tensorrt: onnx.ModelProto) -> None:
    made, constants = makers(tensorrt), {x.name: x for x in tensorrt.graph.initializer}
    convs = [node for node in tensorrt.graph.node if node.op_type == "Conv"]
    assert len(convs) > 30
    for conv in convs:
        for name in conv.input[:2]:
            back = made[name]
            assert (back.op_type, made[back.input[0]].op_type) == ("DequantizeLinear", "QuantizeLinear")
        weight = made[made[conv.input[1]].input[0]].input[0]
        assert constants[weight].data_type == onnx.TensorProto.FLOAT


def test_tensorrt_has_no_rounded_bias_and_zero_points_of_zero(tensorrt: onnx.ModelProto) -> None:
    made, constants = makers(tensorrt), {x.name: to_array(x) for x in tensorrt.graph.initializer}
    for node in tensorrt.graph.node:
        if node.op_type == "Conv" and len(node.input) == 3:
            assert node.input[2] not in made
            assert constants[node.input[2]].dtype == np.float32
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert constants[node.input[2]].dtype == np.int8
            assert not constants[node.input[2]].any()
            assert np.isfinite(constants[node.input[1]]).all()


def test_tensorrt_rounds_what_layers_read_and_not_what_they_write(tensorrt: onnx.ModelProto) -> None:
    """Between a convolution and its activation stands nothing: TensorRT then makes one kernel of both."""
    for conv in [node for node in tensorrt.graph.node if node.op_type == "Conv"]:
        kinds = {node.op_type for node in readers(tensorrt, conv.output[0])}
        if kinds & {"Relu", "Add"}:
            assert "QuantizeLinear" not in kinds
    last = [node for node in tensorrt.graph.node if node.name.startswith("head.classification.cls_logits")]
    assert all("QuantizeLinear" not in {x.op_type for x in readers(tensorrt, node.output[0])} for node in last)


def test_tensorrt_takes_each_byte_as_its_own_integer(tensorrt: onnx.ModelProto) -> None:
    constants = {x.name: to_array(x) for x in tensorrt.graph.initializer}
    pairs = [node for node in tensorrt.graph.node if node.op_type == "QuantizeLinear"]
    first = next(node for node in pairs if node.input[0] not in constants)
    assert constants[first.input[1]] == np.float32(1 / 128)
    assert [n.op_type for n in tensorrt.graph.node if n.op_type in ("Cast", "Sub", "Div")][:3] == ["Cast", "Sub", "Div"]


def test_layers_in_float_are_there_and_bring_the_answers_back(hurting: Path) -> None:
    for kind in ("cpu", "tensorrt"):
        whole, mixed = hurting.with_name(f"{kind}.onnx"), hurting.with_name(f"{kind}-mixed.onnx")
        quantise(hurting, whole, inputs(4), "minmax", kind=kind)  # type: ignore[arg-type]
        quantise(hurting, mixed, inputs(4), "minmax", kind=kind, floats=[HURT])  # type: ignore[arg-type]
        assert score_noise(mixed, hurting) < 0.3 * score_noise(whole, hurting), kind
        proto = onnx.load(mixed)
        node = next(node for node in proto.graph.node if node.name == HURT)
        assert not {"QuantizeLinear", "DequantizeLinear"} & {makers(proto)[n].op_type for n in node.input
                                                             if n in makers(proto)}
        others = [n for n in proto.graph.node if n.op_type == "Conv" and n.name != HURT]
        assert all(makers(proto)[n.input[0]].op_type == "DequantizeLinear" for n in others)


def test_all_layers_in_float_is_the_float_file(source: Path, tmp_path: Path) -> None:
    """Then nothing but additions and resizing is rounded, whatever clips between two layers."""
    every = [name for names in layers_of(onnx.load(source)).values() for name in names]
    quantise(source, tmp_path / "x.onnx", inputs(2), "minmax", kind="tensorrt", floats=every)
    assert score_noise(tmp_path / "x.onnx", source) < 1e-5


@pytest.mark.parametrize("method", METHODS)
def test_each_method_calibrates_and_its_ranges_are_found_again(source: Path, tmp_path: Path, method: str) -> None:
    ranges = tmp_path / "ranges.json"
    quantise(source, tmp_path / "a.onnx", iter(inputs(3)), method, ranges=ranges)
    quantise(source, tmp_path / "b.onnx", [], method, ranges=ranges)
    quantise(source, tmp_path / "c.onnx", inputs(3), method)
    first = (tmp_path / "a.onnx").read_bytes()
    assert first == (tmp_path / "b.onnx").read_bytes() == (tmp_path / "c.onnx").read_bytes()
    assert score_noise(tmp_path / "a.onnx", source) < 0.25


@pytest.mark.parametrize("write", [quantise, quantise_openvino])
def test_no_picture_is_an_error(source: Path, tmp_path: Path, write: Callable[..., None]) -> None:
    with pytest.raises(DataError, match="no picture to calibrate with"):
        write(source, tmp_path / "x.onnx", [], "minmax")
    assert not list(tmp_path.iterdir())


def test_one_flat_grey_picture_calibrates(source: Path, tmp_path: Path) -> None:
    """Ranges of a single value: scales stay finite and above zero."""
    flat = [np.full((1, 3, 64, 96), 127, np.uint8)]
    for kind in ("cpu", "tensorrt"):
        quantise(source, tmp_path / "x.onnx", flat, "minmax", kind=kind)  # type: ignore[arg-type]
        assert all(np.isfinite(x).all() for x in ask(tmp_path / "x.onnx", flat[0]))


def test_openvino_files_are_the_same_bytes_and_run_anywhere(source: Path, hurting: Path, tmp_path: Path) -> None:
    pytest.importorskip("nncf", reason="nncf is not installed")
    assert set(RANGES) == set(METHODS)
    for name in ("a", "b"):
        quantise_openvino(source, tmp_path / f"{name}.onnx", inputs(3), "minmax")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert 0 < score_noise(tmp_path / "a.onnx", source) < 0.2
    assert (tmp_path / "a.onnx").stat().st_size < 0.35 * source.stat().st_size
    quantise_openvino(hurting, tmp_path / "whole.onnx", inputs(3), "minmax")
    quantise_openvino(hurting, tmp_path / "mixed.onnx", inputs(3), "minmax", [HURT])
    noise = [np.abs(ask(tmp_path / f"{name}.onnx", inputs(1)[0])[1] - ask(hurting, inputs(1)[0])[1]).mean()
             for name in ("mixed", "whole")]
    assert noise[0] < 0.5 * noise[1]
