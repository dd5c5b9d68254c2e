"""A detector made by hand, whose answers are known, and pictures for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

HEIGHT, WIDTH = 64, 96


def write_quarters(file: Path) -> Path:
    """An ONNX detector made by hand: each quarter of the picture is `red` or `green` as far as it is."""
    half = [HEIGHT // 2, WIDTH // 2]
    nodes = [helper.make_node("Cast", ["images"], ["f"], to=TensorProto.FLOAT),
             helper.make_node("AveragePool", ["f"], ["mean"], kernel_shape=half, strides=half),
             helper.make_node("Mul", ["mean", "factor"], ["share"]),
             helper.make_node("Slice", ["share", "first", "last", "axis"], ["two"]),
             helper.make_node("Reshape", ["two", "shape"], ["flat"]),
             helper.make_node("Transpose", ["flat"], ["scores"], perm=[0, 2, 1]),
             helper.make_node("Identity", ["cells"], ["boxes"])]
    y, x = half
    cells = [[0, 0, x, y], [x, 0, 2 * x, y], [0, y, x, 2 * y], [x, y, 2 * x, 2 * y]]
    given = {"factor": np.array(1 / 255, np.float32), "first": np.array([0], np.int64), "last": np.array([2], np.int64),
             "axis": np.array([1], np.int64), "shape": np.array([1, 2, 4], np.int64),
             "cells": np.array([cells], np.float32)}
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, size])
               for name, size in (("boxes", 4), ("scores", 2))]
    graph = helper.make_graph(
        nodes, "quarters", [helper.make_tensor_value_info("images", TensorProto.UINT8, [1, 3, HEIGHT, WIDTH])], outputs,
        [numpy_helper.from_array(value, name) for name, value in given.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {
        "classes": json.dumps(["red", "green"]), "thresholds": json.dumps({"red": 0.5, "green": 0.6}),
        "height": str(HEIGHT), "width": str(WIDTH), "line": "0123", "input": "images", "output": "boxes, scores",
        "problem": "detect"})
    onnx.save(model, str(file))
    return file


def coloured(*channels: int | None) -> np.ndarray:
    """Top left, top right, bottom left, bottom right: full of that channel, or black."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for place, channel in enumerate(channels):
        if channel is not None:
            y, x = divmod(place, 2)
            picture[y * 32:y * 32 + 32, x * 48:x * 48 + 48, channel] = 230
    return picture


def write_picture(path: Path, picture: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path
