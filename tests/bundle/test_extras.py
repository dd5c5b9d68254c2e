"""Tiles and a classifier travel in a bundle and do what they do here; code is gathered from the package, not copied."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from flows.cli import main
from tasks.base.errors import DataError, UserError
from tasks.base.files import read_json
from tasks.bundle.gather import gather
from tasks.bundle.make import make_bundle
from tasks.data.pictures import read_picture
from tasks.runtime.cascade import Cascade, Cascading
from tasks.runtime.classifier import open_classifier
from tasks.runtime.detector import open_detector
from tasks.runtime.slicing import Slicing, predict_sliced

from .conftest import CLASSES, limits_of, run_example

KINDS = ["dark", "light", "red"]


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Names what is cut out by its mean colour; another input than the detector's."""
    file = tmp_path_factory.mktemp("kinds") / "kinds.onnx"
    weights = np.array([[-1, 1, 2], [-1, 1, -1], [-1, 1, -1]], np.float32)
    constants = {"full": np.float32(255), "w": weights, "b": np.array([1.2, -1.2, 0], np.float32)}
    nodes = [helper.make_node("Cast", ["images"], ["f"], to=TensorProto.FLOAT),
             helper.make_node("Div", ["f", "full"], ["unit"]), helper.make_node("GlobalAveragePool", ["unit"], ["m"]),
             helper.make_node("Flatten", ["m"], ["flat"]), helper.make_node("Gemm", ["flat", "w", "b"], ["logits"]),
             helper.make_node("Softmax", ["logits"], ["scores"])]
    graph = helper.make_graph(
        nodes, "kinds", [helper.make_tensor_value_info("images", TensorProto.UINT8, [1, 3, 24, 40])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {"classes": json.dumps(KINDS), "height": "24", "width": "40", "line": "4567",
                                   "problem": "classify"})
    onnx.checker.check_model(model)
    file.write_bytes(model.SerializeToString())
    return file


def said(text: str) -> list[list[dict[str, Any]]]:
    return [json.loads(line)["detections"] for line in text.splitlines()]


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("slicing", [None, Slicing(tile=160, overlap=0.25), Slicing(tile=300, whole=False)])
def test_predict_py_does_what_predict_does(small: Path, classifier: Path, photographs: list[Path], tmp_path: Path,
                                           slicing: Slicing | None, named: bool) -> None:
    asked = Cascading(file=classifier, only=CLASSES[1:], margin=0.2) if named else None
    bundle = make_bundle(str(small), tmp_path / "out", slicing=slicing, cascade=asked)
    pictures = [path for path in photographs if path.name in ("wide.png", "upright.png", "strip.png")]
    found = said(run_example(bundle, *pictures, flags=("-I",)))
    detector, seen = open_detector(small, threads=1), set()
    cascade = Cascade(open_classifier(classifier, 1), CLASSES, CLASSES[1:], 0.2) if named else None
    for path, rows in zip(pictures, found, strict=True):
        picture, limits = read_picture(path), limits_of(detector)
        one = (predict_sliced(detector, picture, slicing, limits, detector.suppression.iou) if slicing
               else detector.predict([picture], score_threshold=limits)[0])
        assert [row["box"] for row in rows] == one.boxes.tolist()
        assert [row["score"] for row in rows] == one.scores.tolist()
        assert [row["class"] for row in rows] == [CLASSES[k] for k in one.class_ids]
        labels = cascade.label(picture, one) if cascade else [None] * len(one)
        assert [(row.get("label"), row.get("label_score")) for row in rows] == [
            (label.name, label.score) if label else (None, None) for label in labels]
        seen |= {label.name for label in labels if label}
    assert sum(map(len, found)) > 30 and len(seen) == (3 if named else 0)


def test_the_command_writes_them_as_data(small: Path, classifier: Path, tmp_path: Path) -> None:
    assert main(["bundle", str(small), "--out", str(tmp_path / "out"), "--tile", "160", "--overlap", "0.1",
                 "--classify", str(classifier), "--classify-only", "round"]) == 0
    told = read_json(tmp_path / "out/bundle.json")
    assert told["tiles"] == {"tile": 160, "overlap": 0.1, "whole": True}
    assert told["cascade"]["classes"] == KINDS and told["cascade"]["only"] == ["round"]
    assert told["cascade"]["preprocess"] == {"height": 24, "width": 40, "fill": 114}
    assert (tmp_path / "out/classifier.onnx").read_bytes() == classifier.read_bytes()
    assert {"classifier.onnx", "extras.py"} <= set(told["files"])
    card = (tmp_path / "out/README.md").read_text()
    assert "tiles of that side" in card and "one of dark, light, red" in card


@pytest.mark.parametrize(("words", "message"), [
    (["--overlap", "0.1"], "--overlap is about tiles"), (["--classify-only", "round"], "about a classifier"),
    (["--tile", "3"], "tile"), (["--tile", "160", "--for", "triton"], "no place for them"),
    (["--classify", "kinds.onnx", "--classify-only", "rond"], "did you mean 'round'"),
    (["--classify", "gone.onnx"], "not an .onnx file"), (["--classify", "small.onnx"], "its problem is 'detect'")])
def test_what_does_not_go_together(small: Path, classifier: Path, tmp_path: Path, capsys: Any, words: list[str],
                                   message: str) -> None:
    files = {"kinds.onnx": str(classifier), "small.onnx": str(small)}
    assert main(["bundle", str(small), "--out", str(tmp_path / "out"), *(files.get(word, word) for word in words)]) == 2
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_classifier_whose_classes_do_not_fit(small: Path, classifier: Path, tmp_path: Path) -> None:
    proto = onnx.load(classifier)
    next(entry for entry in proto.metadata_props if entry.key == "classes").value = '["one", "two"]'
    onnx.save(proto, tmp_path / "x.onnx")
    with pytest.raises(DataError, match="does not fit 2 classes"):
        make_bundle(str(small), tmp_path / "out", cascade=Cascading(file=tmp_path / "x.onnx"))
    with pytest.raises(UserError, match="no place"):
        make_bundle(str(small), tmp_path / "out", kind="deepstream", slicing=Slicing())


def test_gathered_code_needs_nothing_of_ours(tmp_path: Path) -> None:
    text = gather("tasks.bundle.extras_alone", "Extras")
    assert "tasks" not in text.replace("tasks.runtime.cascade`", "") and "pydantic" not in text
    assert text == gather("tasks.bundle.extras_alone", "Extras")
    (tmp_path / "extras.py").write_text(text)
    code = ("import sys; sys.path = [p for p in sys.path if 'site-packages' in p or 'python3' in p]\n"
            f"sys.path.insert(0, {str(tmp_path)!r})\nimport extras, numpy as np\n"
            "assert 'tasks' not in sys.modules\n"
            "one = extras.Detections(np.array([[2, 2, 9, 9]], np.float32), np.ones(1, np.float32), np.zeros(1, int))\n"
            "class Finds:\n"
            "    height = width = 16\n"
            "    def predict(self, pictures, score_threshold): return [one for _ in pictures]\n"
            "tiles = extras.SimpleNamespace(tile=16, overlap=0.0, whole=False)\n"
            "found = extras.predict_sliced(Finds(), np.zeros((16, 32, 3), np.uint8), tiles, 0.1, 0.5)\n"
            "assert sorted(found.boxes[:, 0]) == [2, 18], found")
    subprocess.run([sys.executable, "-I", "-c", code], check=True, timeout=60)


def test_what_is_gathered_comes_in_order_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.bundle import gather as module

    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/one.py").write_text(
        '"""One."""\nimport os\nimport json as j\nfrom math import pi\nfrom tasks.two import helper, Unused\n'
        "# a remark\nLIMIT = 3\n\n\ndef again(n: Unused) -> int:\n    from tasks.two import late\n"
        "    return again(n - 1) + helper(LIMIT) + late() if n else j.loads('0')\n")
    (tmp_path / "tasks/two.py").write_text(
        '"""Two."""\nfrom math import pi\nSIZE = int(pi)\n\n\ndef helper(n):\n    return n * SIZE\n\n\n'
        "class Unused:\n    pass\n\n\ndef late():\n    return SIZE\n")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    module._parsed.cache_clear()
    text = gather("tasks.one", "again")
    module._parsed.cache_clear()
    assert text.startswith('"""One."""\n\nfrom __future__ import annotations')
    assert text.count("SIZE = ") == 1 and "# a remark\nLIMIT" in text and "class Unused" not in text
    assert "import os" not in text and "import json as j" in text
    assert text.index("SIZE = ") < text.index("def helper") < text.index("def again")
    space: dict[str, Any] = {}
    exec(text, space)
    assert space["again"](2) == 2 * (3 * 3 + 3)
