"""FP16 files: half the bytes, the same inputs and outputs, decoding in 32 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from tasks.base.errors import DataError
from tasks.compress.half import to_half
from tasks.compress.onnx_file import decoding, fold_normalisation, save

from .labelled import ask, float_file, inputs, score_noise

FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


@pytest.fixture(scope="module", params=[True, False], ids=["folded", "unfolded"])
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    source = float_file(tmp_path_factory.mktemp("half"))
    proto = onnx.load(source)
    if request.param:
        fold_normalisation(proto)
    to_half(proto)
    onnx.checker.check_model(proto, full_check=True)  # every tensor's type follows
    save(proto, source.with_name("half.onnx"))
    return source, source.with_name("half.onnx")


def test_it_answers_as_the_float_file_does(files: tuple[Path, Path]) -> None:
    source, half = files
    assert 0 < score_noise(half, source) < 0.01
    for image in inputs(3):
        assert np.abs(ask(half, image)[0] - ask(source, image)[0]).max() < 0.01 * 96
    assert half.stat().st_size < 0.55 * source.stat().st_size


def test_inputs_and_outputs_are_as_before(files: tuple[Path, Path]) -> None:
    graph = onnx.load(files[1]).graph
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [x.type.tensor_type.elem_type for x in graph.output] == [FLOAT, FLOAT]


def test_layers_are_in_half_and_decoding_is_not(files: tuple[Path, Path]) -> None:
    proto = onnx.load(files[1])
    types = {x.name: x.data_type for x in proto.graph.initializer}
    late = set(decoding(proto))
    for node in proto.graph.node:
        if node.op_type == "Conv":
            assert {types[name] for name in node.input[1:]} == {HALF}
        if node.op_type == "Resize":
            assert HALF not in {types.get(name) for name in node.input[1:]}
        if node.name in late:
            assert HALF not in {types.get(name) for name in node.input}
    assert any(node.op_type == "Exp" for node in proto.graph.node if node.name in late)


def test_a_weight_that_no_half_holds_is_an_error(tmp_path: Path) -> None:
    proto = onnx.load(float_file(tmp_path))
    weight = next(x for x in proto.graph.initializer if x.name == "backbone.body.conv1.weight")
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * 1e7, weight.name))
    with pytest.raises(DataError, match="a 16-bit float holds 65504"):
        to_half(proto)
