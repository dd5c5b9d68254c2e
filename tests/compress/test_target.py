"""Each file of conf/target/ is an exported file that says what it is made for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from tasks.base import presets
from tasks.base.errors import ParamsError
from tasks.base.params import check
from tasks.compress import onnx_file
from tasks.compress.onnx_file import decoding, metadata_of
from tasks.compress.target import Batch, Target, load_target, write_for
from tasks.models.store import save_model
from tasks.runtime.runtimes import runtime_of

from .labelled import ask, exported_once, inputs, network, one_thread

NAMES = ["cpu-fp16", "cpu-fp32", "cpu-int8", "cuda-fp32", "openvino-fp32", "openvino-int8", "rtx-fp16", "rtx-int8",
         "trt-fp16", "trt-fp32", "trt-int8"]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_file, "exported", exported_once)
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    network_, structure = network()
    save_model(folder, structure, network_.state_dict())
    return folder


@pytest.fixture(scope="module")
def reference(model: Path) -> Path:
    write_for(Target(), model, model / "reference.onnx")
    return model / "reference.onnx"


def test_the_targets_are_those_of_the_docs() -> None:
    assert presets.names("target") == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_target_begins_with_the_command_that_uses_it(name: str) -> None:
    first = presets.find("target", name).read_text().splitlines()[0]
    assert first.startswith("# visionmill configure export.targets=[cpu-fp32")
    assert name in first


@pytest.mark.parametrize("name", NAMES)
def test_each_target_is_written_says_what_it_is_and_answers(name: str, model: Path, reference: Path,
                                                            tmp_path: Path) -> None:
    target, file = load_target(name), tmp_path / "x.onnx"
    if name == "openvino-int8":
        pytest.importorskip("nncf", reason="nncf is not installed")
    write_for(target, model, file, inputs(3))
    told = metadata_of(onnx.load(file))
    assert (told["runtime"], told["precision"]) == (target.runtime, target.precision)
    assert told["device"] == ("cuda" if name.startswith(("cuda", "trt", "rtx")) else "cpu")
    assert ("engine" in told) == name.startswith(("trt", "rtx"))
    assert ("float_layers" in told) == name.endswith("int8")
    assert runtime_of(file) == (told["runtime"], told["device"])
    assert list(tmp_path.iterdir()) == [file]
    allowed = {"fp32": 1e-5, "fp16": 0.01, "int8": 0.2}[target.precision]
    for image in inputs(2):
        (boxes, scores), (own_boxes, own_scores) = ask(reference, image), ask(file, image)
        assert (own_boxes.dtype, own_boxes.shape) == (np.float32, boxes.shape)
        assert (own_scores.dtype, own_scores.shape) == (np.float32, scores.shape)
        assert np.abs(own_scores - scores).max() <= allowed


@pytest.mark.parametrize("name", ["trt-fp32", "trt-fp16", "trt-int8", "rtx-int8"])
def test_tensorrt_files_have_no_unsigned_numbers_but_the_picture(name: str, model: Path, tmp_path: Path) -> None:
    """Its parser knows uint8 only as an input that is cast at once."""
    write_for(load_target(name), model, tmp_path / "x.onnx", inputs(2))
    graph = onnx.load(tmp_path / "x.onnx").graph
    assert [node.op_type for node in graph.node if "images" in node.input] == ["Cast"]
    assert onnx.TensorProto.UINT8 not in {x.data_type for x in graph.initializer}


def test_an_engine_knows_how_it_is_to_be_built(model: Path, tmp_path: Path) -> None:
    batch = Batch(min=1, opt=4, max=8)
    target = Target(runtime="tensorrt-rtx", precision="fp16", batch=batch, workspace_mb=512, capabilities=["SM89"])
    write_for(target, model, tmp_path / "x.onnx")
    told = json.loads(metadata_of(onnx.load(tmp_path / "x.onnx"))["engine"])
    assert told == {"batch": {"min": 1, "opt": 4, "max": 8}, "workspace_mb": 512, "capabilities": ["SM89"]}


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_dynamic_batch_answers_one_and_three_alike(precision: str, model: Path, tmp_path: Path) -> None:
    target = check(Target, {"precision": precision, "batch": {"max": 4, "opt": 2}}, "x")
    write_for(target, model, tmp_path / "x.onnx", inputs(3))
    three = ask(tmp_path / "x.onnx", np.concatenate(inputs(3)))
    for place, image in enumerate(inputs(3)):
        for alone, together in zip(ask(tmp_path / "x.onnx", image), three, strict=True):
            assert alone.shape[0] == 1
            assert np.abs(alone[0] - together[place]).max() < (1e-3 if precision == "fp32" else 0.05)
    assert "[N, 3, height, width]" in metadata_of(onnx.load(tmp_path / "x.onnx"))["input"]


def test_a_fixed_shape_is_the_default(reference: Path) -> None:
    shapes = [[d.dim_value for d in x.type.tensor_type.shape.dim] for x in onnx.load(reference).graph.input]
    assert shapes == [[1, 3, 64, 96]]


@pytest.mark.parametrize("batch", [{"min": 2}, {"opt": 4, "max": 3}, {"min": 0}, {"most": 3}])
def test_a_batch_out_of_order_is_refused(batch: dict[str, int]) -> None:
    with pytest.raises(ParamsError):
        check(Target, {"batch": batch}, "conf/target/x.yaml")


def test_float_layers_stand_in_the_metadata_by_name_of_node(model: Path, tmp_path: Path) -> None:
    write_for(load_target("cpu-int8"), model, tmp_path / "x.onnx", inputs(2), "minmax",
              ["head.classification.cls_logits", "backbone.body.conv1"])
    proto = onnx.load(tmp_path / "x.onnx")
    names = json.loads(metadata_of(proto)["float_layers"])
    assert names == ["backbone.body.conv1", *(f"head.classification.cls_logits@{i}" for i in range(3))]
    assert set(names) <= {node.name for node in proto.graph.node} - set(decoding(proto))


def test_equal_weights_give_equal_bytes(model: Path, tmp_path: Path) -> None:
    for name in ("cpu-fp16", "trt-int8"):
        for file in ("a.onnx", "b.onnx"):
            write_for(load_target(name), model, tmp_path / file, inputs(2))
        assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
        assert str(tmp_path).encode() not in (tmp_path / "a.onnx").read_bytes()
