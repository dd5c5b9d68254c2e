"""A small detector with random weights that finds much in photographs, a really exported one, and bundles of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.datasets import load_sample_images

from tasks.bundle.make import make_bundle
from tasks.runtime.detector import Detector
from tests.registry.conftest import empty_store, registered  # noqa: F401  a registered version in a store of its own

CLASSES, HEIGHT, WIDTH = ["round", "square", "a \"long\" näme"], 96, 128
THRESHOLDS = {"round": 0.3, "square": 0.45}
Q_TYPES: dict[str, Any] = {"uint8": np.uint8(7), "int8": np.int8(0)}


def small_onnx(path: Path, activation: str | None = None, seed: int = 0, **metadata: str) -> Path:
    """A detector of 192 boxes and 3 classes whose normalisation reads bytes as exported files do.

    `activation` puts a quantisation of that type between its convolutions.
    """
    rng = np.random.default_rng(seed)
    rows, columns, outputs = HEIGHT // 8, WIDTH // 8, 4 + len(CLASSES)
    y, x = (axis.reshape(-1) for axis in np.mgrid[4:HEIGHT:8, 4:WIDTH:8])
    constants = {
        "scale": np.float32(1 / 128), "zero": np.uint8(127),
        "w1": rng.normal(0, 0.12, (16, 3, 8, 8)).astype(np.float32), "b1": rng.normal(0, 1, 16).astype(np.float32),
        "w2": rng.normal(0, 0.4, (outputs, 16, 1, 1)).astype(np.float32),
        "flat": np.array([1, outputs, rows * columns], np.int64), "parts": np.array([4, len(CLASSES)], np.int64),
        "cells": np.stack([x - 9, y - 9, x + 9, y + 9], 1)[None].astype(np.float32), "far": np.float32(9)}
    nodes = [helper.make_node("DequantizeLinear", ["images", "scale", "zero"], ["pixels"], name="normalise"),
             helper.make_node("Conv", ["pixels", "w1", "b1"], ["c1"], strides=[8, 8]),
             helper.make_node("Relu", ["c1"], ["r1"])]
    if activation:
        constants |= {"q_scale": np.float32(1 / 16), "q_zero": Q_TYPES[activation]}
        nodes += [helper.make_node("QuantizeLinear", ["r1", "q_scale", "q_zero"], ["q"]),
                  helper.make_node("DequantizeLinear", ["q", "q_scale", "q_zero"], ["r2"])]
    nodes += [helper.make_node("Conv", ["r2" if activation else "r1", "w2"], ["c2"]),
              helper.make_node("Reshape", ["c2", "flat"], ["rows"]),
              helper.make_node("Transpose", ["rows"], ["cols"], perm=[0, 2, 1]),
              helper.make_node("Split", ["cols", "parts"], ["deltas", "logits"], axis=2),
              helper.make_node("Sigmoid", ["logits"], ["scores"]),
              helper.make_node("Tanh", ["deltas"], ["bent"]), helper.make_node("Mul", ["bent", "far"], ["moved"]),
              helper.make_node("Add", ["moved", "cells"], ["boxes"])]
    graph = helper.make_graph(
        nodes, "small", [helper.make_tensor_value_info("images", TensorProto.UINT8, [1, 3, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, rows * columns, 4]),
         helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, rows * columns, len(CLASSES)])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    told = {"classes": json.dumps(CLASSES), "thresholds": json.dumps(THRESHOLDS), "height": str(HEIGHT),
            "width": str(WIDTH), "line": "0123", "problem": "detect", **metadata}
    helper.set_model_props(model, told)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small detector, in float."""
    return small_onnx(tmp_path_factory.mktemp("small") / "small.onnx")


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of the zoo, untrained, exported as the line exports it."""
    import torch

    from tasks.compress.onnx_file import write_onnx
    from tasks.models.preset import DetectorPreset
    from tasks.models.store import Structure

    torch.manual_seed(0)
    structure = Structure(DetectorPreset(backbone="resnet18", image_size=128, levels=3), ["a", "b"], HEIGHT, WIDTH,
                          line="0123", thresholds={"a": 0.001, "b": 0.002})
    file = tmp_path_factory.mktemp("exported") / "trained.onnx"
    write_onnx(structure.build().eval(), structure, file)
    return file


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Real photographs: wide, of the input's size, upright, a thin strip, turned by EXIF, grey with 16 bits."""
    folder, (one, two) = tmp_path_factory.mktemp("photographs"), load_sample_images().images
    exif = Image.Exif()
    exif[0x0112] = 6
    parts = {"wide.png": one, "same.png": two[100:100 + HEIGHT, 200:200 + WIDTH], "upright.png": two[:400, 100:250],
             "strip.png": one[200:203], "large.jpg": np.tile(two, (2, 2, 1))}
    for name, part in parts.items():
        Image.fromarray(part).save(folder / name)
    Image.fromarray(one).save(folder / "turned.jpg", exif=exif.tobytes())
    Image.fromarray(one[..., 0].astype(np.uint16) * 257).save(folder / "deep.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="session")
def bundle_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a bundle of a file in a folder of its own."""
    return lambda file, **options: make_bundle(str(file), tmp_path_factory.mktemp("bundle") / "out", **options)


@pytest.fixture(scope="session")
def alone(small: Path, bundle_of: Callable[..., Path]) -> Path:
    """A bundle of the small detector, for tests that only read it."""
    return bundle_of(small)


def limits_of(detector: Detector) -> np.ndarray:
    """The score of each class from which a detection counts, float32 [K]; 0.5 where the file says nothing."""
    return np.array([detector.thresholds.get(name, 0.5) for name in detector.classes], np.float32)


def run_example(folder: Path, *words: str | Path, flags: tuple[str, ...] = (), code: int = 0) -> str:
    """What `predict.py` of a bundle prints, run in a process of its own; its errors when `code` is not 0."""
    done = subprocess.run([sys.executable, *flags, str(folder / "predict.py"), *map(str, words)], cwd="/",
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stderr if code else done.stdout
