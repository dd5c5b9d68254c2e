"""DeepStream's bundle: a float input that answers the same, keys that nvinfer knows, and a parser that is compiled."""

from __future__ import annotations

import configparser
import ctypes
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tasks.base.errors import DataError, UserError, VisionmillError
from tasks.bundle.float_input import float_input
from tasks.bundle.make import make_bundle
from tasks.data.pictures import read_picture
from tasks.runtime.detector import open_detector
from tests.registry.cases import tiny_onnx

from .conftest import HEIGHT, WIDTH, run_example, small_onnx

SDK = Path(__file__).with_name("deepstream")
# gstnvinfer_property_parser.h of DeepStream, those that a detector may have
PROPERTIES = {"gie-unique-id", "process-mode", "interval", "labelfile-path", "gpu-id", "output-tensor-meta",
              "batch-size", "network-mode", "model-engine-file", "workspace-size", "output-blob-names",
              "network-type", "infer-dims", "model-color-format", "net-scale-factor", "offsets",
              "maintain-aspect-ratio", "symmetric-padding", "scaling-filter", "scaling-compute-hw",
              "network-input-order", "custom-lib-path", "parse-bbox-func-name", "onnx-file", "num-detected-classes",
              "cluster-mode", "filter-out-class-ids"}
ATTRIBUTES = ["pre-cluster-threshold", "post-cluster-threshold", "nms-iou-threshold", "topk", "detected-min-w"]


class Layer(ctypes.Structure):
    """A layer as drive.cpp takes it."""

    _fields_ = [("name", ctypes.c_char_p), ("buffer", ctypes.c_void_p), ("type", ctypes.c_int),
                ("numDims", ctypes.c_uint), ("d", ctypes.c_uint * 8)]


class Object(ctypes.Structure):
    """NvDsInferObjectDetectionInfo."""

    _fields_ = [("label", ctypes.c_uint), ("left", ctypes.c_float), ("top", ctypes.c_float), ("width", ctypes.c_float),
                ("height", ctypes.c_float), ("score", ctypes.c_float)]


Parse = Callable[..., tuple[int, np.ndarray, np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parse]:
    """Calls a parser: (library, layers, thresholds) → count, boxes xyxy, scores, class ids."""
    if not shutil.which("g++") or not shutil.which("make"):
        pytest.skip("no C++ compiler here")
    library = tmp_path_factory.mktemp("drive") / "drive.so"
    subprocess.run(["g++", "-O1", "-std=c++14", "-fPIC", "-shared", f"-I{SDK}/sources/includes", str(SDK / "drive.cpp"),
                    "-o", str(library), "-ldl"], check=True)
    function = ctypes.CDLL(str(library)).drive

    def call(parser: Path, layers: list[tuple[bytes | None, np.ndarray | None, int]], thresholds: list[float],
             classes: int) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
        held = [None if array is None else np.ascontiguousarray(array) for _, array, _ in layers]
        rows = (Layer * len(layers))(*(
            Layer(name, None if a is None else a.ctypes.data, kind, 0 if a is None else a.ndim,
                  (ctypes.c_uint * 8)(*(() if a is None else a.shape)))
            for (name, _, kind), a in zip(layers, held, strict=True)))
        out = (Object * 4000)()
        limits = (ctypes.c_float * len(thresholds))(*thresholds)
        count = function(str(parser).encode(), rows, len(layers), WIDTH, HEIGHT, limits, len(thresholds), classes, out,
                         4000)
        found = out[: max(count, 0)]
        boxes = np.array([[o.left, o.top, o.left + o.width, o.top + o.height] for o in found], np.float32)
        return count, boxes.reshape(-1, 4), np.array([o.score for o in found], np.float32), np.array(
            [o.label for o in found], np.int64)

    yield call


def built(bundle: Path, *words: str) -> Path:
    """The parser's library, made with the bundle's own Makefile; a warning is an error."""
    subprocess.run(["make", "-B", f"DEEPSTREAM={SDK}", "CXXFLAGS=-O2 -Werror -Wno-infinite-recursion "
                    "-Wno-unused-function", *words], cwd=bundle, check=True, capture_output=True, timeout=120)
    return bundle / "libnvdsinfer_visionmill.so"


@pytest.fixture(scope="module")
def bundle(small: Path, bundle_of: Callable[..., Path]) -> Path:
    return bundle_of(small, kind="deepstream")


@pytest.fixture(scope="module")
def parser(bundle: Path, drive: Parse) -> Path:
    return built(bundle)


def raw(file: Path, image: np.ndarray, plain: bool = False) -> list[np.ndarray]:
    """Answers of a file; `plain` as its graph says, node by node: else what is quantised is fused and rounds anew."""
    options = onnxruntime.SessionOptions()
    if plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return session.run(["boxes", "scores"], {"images": image})


def inputs(photographs: list[Path], file: Path) -> list[np.ndarray]:
    detector = open_detector(file, threads=1)
    return [detector.fit(read_picture(path))[0] for path in photographs]


def test_the_float_input_gives_the_same_answers(bundle: Path, small: Path, exported: Path, photographs: list[Path],
                                                bundle_of: Callable[..., Path]) -> None:
    for file, changed in ((small, bundle), (exported, bundle_of(exported, kind="deepstream"))):
        graph = onnx.load(changed / "model.onnx").graph
        assert graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
        assert not [node for node in graph.node if node.op_type == "DequantizeLinear"]
        for image in inputs(photographs, file):
            for one, other in zip(raw(file, image), raw(changed / "model.onnx", image.astype(np.float32)), strict=True):
                assert np.array_equal(one, other)


def test_a_file_that_casts_takes_floats_too(tmp_path: Path, photographs: list[Path],
                                            bundle_of: Callable[..., Path]) -> None:
    tiny_onnx(tmp_path / "x.onnx")
    changed = bundle_of(tmp_path / "x.onnx", kind="deepstream")
    for image in inputs(photographs, tmp_path / "x.onnx"):
        for one, other in zip(raw(tmp_path / "x.onnx", image),
                              raw(changed / "model.onnx", image.astype(np.float32)), strict=True):
            assert np.array_equal(one, other)


@pytest.mark.parametrize(("zero", "kind"), [(40, np.float32), (None, np.float32), (127, np.float16)])
def test_the_arithmetic_of_any_scale(tmp_path: Path, zero: int | None, kind: Any) -> None:
    """Without a zero point nothing is subtracted; half-precision networks go on in half precision."""
    image, scale = np.arange(192, dtype=np.uint8).reshape(1, 3, 8, 8), kind(0.017 if kind is np.float32 else 1 / 128)
    constants = [numpy_helper.from_array(np.array(scale), "s")]
    constants += [] if zero is None else [numpy_helper.from_array(np.array(zero, np.uint8), "z")]
    graph = helper.make_graph(
        [helper.make_node("DequantizeLinear", ["images", "s", "z"][: 1 + len(constants)], ["boxes"])], "g",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("boxes", helper.np_dtype_to_tensor_dtype(np.dtype(kind)), [1, 3, 8, 8])],
        constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    float_input(proto, tmp_path)
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    answer = session.run(None, {"images": image.astype(np.float32)})[0]
    assert answer.dtype == kind
    assert np.array_equal(answer, ((image.astype(np.float32) - (zero or 0)) * np.float32(scale)).astype(kind))


def test_an_answer_that_differs_stops_it(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.bundle import deepstream

    def wrong(proto: onnx.ModelProto, file: Path) -> None:
        float_input(proto, file)
        next(node for node in proto.graph.node if node.op_type == "Sub").op_type = "Add"

    monkeypatch.setattr(deepstream, "float_input", wrong)
    with pytest.raises(VisionmillError, match="answers differently"):
        make_bundle(str(small), tmp_path / "out", kind="deepstream")
    assert not list(tmp_path.iterdir())


def test_an_input_read_in_another_way_is_refused(small: Path, tmp_path: Path) -> None:
    proto = onnx.load(small)
    proto.graph.node[0].op_type = "Identity"
    with pytest.raises(DataError, match="read by Identity"):
        float_input(proto, tmp_path)
    proto.graph.input[0].name = "pictures"
    with pytest.raises(DataError, match="no input `images`"):
        float_input(proto, tmp_path)


def test_int8_for_a_cpu_is_refused_and_symmetric_int8_is_not(tmp_path: Path, photographs: list[Path],
                                                             bundle_of: Callable[..., Path]) -> None:
    unsigned = small_onnx(tmp_path / "cpu.onnx", activation="uint8")
    with pytest.raises(UserError, match=r"symmetric(.|\n)*trt-int8"):
        make_bundle(str(unsigned), tmp_path / "out", kind="deepstream")
    assert not (tmp_path / "out").exists()
    signed = small_onnx(tmp_path / "trt.onnx", activation="int8", runtime="tensorrt", precision="int8")
    changed = bundle_of(signed, kind="deepstream")
    assert "network-mode=1\n" in (changed / "config_infer_primary.txt").read_text()
    for image in inputs(photographs[:2], unsigned):
        pixels = image.astype(np.float32)
        for one, other in zip(raw(signed, image, True), raw(changed / "model.onnx", pixels, True), strict=True):
            assert np.array_equal(one, other)


def test_the_configuration_is_what_nvinfer_reads(bundle: Path) -> None:
    read = configparser.ConfigParser(strict=True)
    read.read(bundle / "config_infer_primary.txt")
    told = dict(read["property"])
    assert set(told) <= PROPERTIES
    assert told["infer-dims"] == f"3;{HEIGHT};{WIDTH}" and told["num-detected-classes"] == "3"
    assert (told["net-scale-factor"], told["offsets"], told["model-color-format"]) == ("1.0", "0.0;0.0;0.0", "0")
    assert (told["maintain-aspect-ratio"], told["symmetric-padding"], told["cluster-mode"]) == ("1", "0", "4")
    assert (told["network-mode"], told["output-blob-names"]) == ("0", "boxes;scores")
    for key in ("onnx-file", "labelfile-path"):
        assert (bundle / told[key]).is_file()
    assert told["custom-lib-path"] in (bundle / "Makefile").read_text()
    assert told["parse-bbox-func-name"] in (bundle / "nvdsinfer_visionmill.cpp").read_text()
    groups = {name: read[name] for name in read.sections() if name != "property"}
    assert list(groups) == ["class-attrs-all", *(f"class-attrs-{i}" for i in range(3))]
    assert all(set(group) <= set(ATTRIBUTES) for group in groups.values())
    assert [group["pre-cluster-threshold"] for group in groups.values()] == ["0.3", "0.3", "0.45", "0.5"]
    assert groups["class-attrs-0"]["nms-iou-threshold"] == "0.55" and groups["class-attrs-0"]["topk"] == "100"


@pytest.mark.parametrize("thresholds", [[0.3, 0.45, 0.5], [0.05, 0.05, 0.05], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
def test_the_parser_finds_what_we_find(parser: Path, drive: Parse, small: Path, photographs: list[Path],
                                       thresholds: list[float]) -> None:
    """On pictures of the input's size: nvinfer alone knows how it scaled others."""
    detector, found = open_detector(small, threads=1), 0
    for image in inputs(photographs, small):
        boxes, scores = detector.raw(image)
        picture = np.ascontiguousarray(image[0].transpose(1, 2, 0))
        wanted = detector.predict([picture], score_threshold=np.array(thresholds, np.float32))[0]
        for own_batch in (False, True):  # nvinfer leaves the batch out of the dimensions
            layers = [(name, array if own_batch else array[0], 0) for name, array in ((b"scores", scores),
                                                                                      (b"boxes", boxes))]
            count, own, values, ids = drive(parser, layers, thresholds, 3)
            assert count == len(wanted)
            assert np.array_equal(ids, wanted.class_ids) and np.array_equal(values, wanted.scores)
            assert np.abs(own - wanted.boxes).max(initial=0) < 1e-4 * WIDTH
        found += count
    assert found > 30 or thresholds[0] == 1.0


def test_suppression_can_be_left_to_nvinfer(bundle: Path, drive: Parse, small: Path, photographs: list[Path],
                                            tmp_path: Path) -> None:
    copy = shutil.copytree(bundle, tmp_path / "copy")
    library, (image, *_) = built(copy, "SUPPRESSION=off"), inputs(photographs, small)
    boxes, scores = open_detector(small, threads=1).raw(image)
    count = drive(library, [(b"boxes", boxes[0], 0), (b"scores", scores[0], 0)], [0.05] * 3, 3)[0]
    assert count == min(1000, int((scores > 0.05).sum())) > 100


def test_a_network_without_suppression(small: Path, drive: Parse, photographs: list[Path], tmp_path: Path,
                                       bundle_of: Callable[..., Path]) -> None:
    free = small_onnx(tmp_path / "x.onnx", suppression=json.dumps({"iou": None, "top_k": 50, "max_detections": 20}))
    library, (image, *_) = built(bundle_of(free, kind="deepstream")), inputs(photographs, small)
    detector = open_detector(free, threads=1)
    boxes, scores = detector.raw(image)
    wanted = detector.predict([np.ascontiguousarray(image[0].transpose(1, 2, 0))])[0]
    count, _, values, _ = drive(library, [(b"boxes", boxes[0], 0), (b"scores", scores[0], 0)], [0.05] * 3, 3)
    assert count == 20 and np.array_equal(values, wanted.scores)


BOXES, SCORES = np.tile(np.array([1, 2, 30, 40], np.float32), (5, 1)), np.full((5, 3), 0.9, np.float32)
GOOD: list[Any] = [(b"boxes", BOXES, 0), (b"scores", SCORES, 0)]


@pytest.mark.parametrize(("layers", "thresholds", "classes"), [
    ([], [0.5] * 3, 3), (GOOD[:1], [0.5] * 3, 3), (GOOD[1:], [0.5] * 3, 3),
    ([(b"output", BOXES, 0), GOOD[1]], [0.5] * 3, 3), ([(None, BOXES, 0), GOOD[1]], [0.5] * 3, 3),
    ([(b"boxes", None, 0), GOOD[1]], [0.5] * 3, 3), ([(b"boxes", BOXES[:, :3], 0), GOOD[1]], [0.5] * 3, 3),
    ([(b"boxes", BOXES[:4], 0), GOOD[1]], [0.5] * 3, 3), ([(b"boxes", BOXES.reshape(-1), 0), GOOD[1]], [0.5] * 3, 3),
    ([(b"boxes", np.stack([BOXES, BOXES]), 0), GOOD[1]], [0.5] * 3, 3), (GOOD, [0.5] * 3, 2), (GOOD, [0.5] * 2, 3),
    ([(b"boxes", BOXES.astype(np.float16), 1), GOOD[1]], [0.5] * 3, 3),
    ([(b"boxes", BOXES[:0], 0), (b"scores", SCORES[:0], 0)], [0.5] * 3, 3)])
def test_layers_that_do_not_fit_are_refused(parser: Path, drive: Parse, layers: Any, thresholds: list[float],
                                            classes: int) -> None:
    assert drive(parser, layers, thresholds, classes)[0] == -1
    assert drive(parser, GOOD, [0.5] * 3, 3)[0] == 3  # one a class: five equal boxes are one


def test_what_is_no_number_is_left_out_and_boxes_are_clipped(parser: Path, drive: Parse) -> None:
    scores, boxes = SCORES.copy(), BOXES.copy()
    scores[0], boxes[1] = np.nan, [-50, -50, 5000, 5000]
    count, found, _, _ = drive(parser, [(b"boxes", boxes, 0), (b"scores", scores, 0)], [0.5] * 3, 3)
    assert count == 6 and found.min() == 0 and found[:, 2].max() == WIDTH and found[:, 3].max() == HEIGHT


def test_the_changed_file_can_be_tried_without_deepstream(bundle: Path, alone: Path, photographs: list[Path]) -> None:
    assert run_example(bundle, *photographs[:3]) == run_example(alone, *photographs[:3])
