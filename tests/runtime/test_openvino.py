"""OpenVINO as one more CPU runtime: the same answers, the threads it is given, and nothing sent to anyone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tasks.base.errors import DataError
from tasks.runtime.backends.openvino import silence
from tasks.runtime.detector import open_detector
from tests.runtime.hand_made import detector, expected, inputs

SILENT = """
import json, socket, sys
from pathlib import Path
asked = []
socket.socket.connect = lambda self, address: asked.append(str(address))
socket.getaddrinfo = lambda *a, **k: asked.append(str(a)) or []
from tasks.runtime.detector import open_detector
open_detector(Path(sys.argv[1]), 1, "openvino")
from openvino.tools.ovc import telemetry
print(json.dumps([type(telemetry).__module__, asked, [t.name for t in __import__("threading").enumerate()]]))
"""


def test_answers_are_those_of_torch(tmp_path: Path) -> None:
    found = open_detector(detector(tmp_path / "x.onnx"), 1, "openvino")
    assert found.runtime == "openvino" and found.provider.startswith("OpenVINO 20")
    for one, other in zip(found.raw(inputs()), expected(inputs()), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_file_made_for_openvino_opens_in_it(tmp_path: Path) -> None:
    assert open_detector(detector(tmp_path / "x.onnx", runtime="openvino"), 1).runtime == "openvino"


def test_an_answer_is_not_written_over_by_the_next(tmp_path: Path) -> None:
    found = open_detector(detector(tmp_path / "x.onnx"), 1, "openvino")
    first, _ = found.raw(inputs(seed=1))
    before = first.copy()
    found.raw(inputs(seed=2))
    np.testing.assert_array_equal(first, before)


def test_a_dynamic_batch(tmp_path: Path) -> None:
    found = open_detector(detector(tmp_path / "x.onnx", dynamic=True), 1, "openvino")
    for count in (1, 3, 2):
        np.testing.assert_allclose(found.raw(inputs(count))[1], expected(inputs(count))[1], atol=1e-5)


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hand-made detector, quantised by nncf; the file is ONNX with Q/DQ nodes."""
    folder = tmp_path_factory.mktemp("int8")
    proto = onnx.load(detector(folder / "float.onnx", runtime="openvino"))
    silence()
    import nncf

    made = nncf.quantize(proto, nncf.Dataset([{"images": inputs(seed=i)} for i in range(8)]), subset_size=8)
    onnx.helper.set_model_props(made, {x.key: x.value for x in proto.metadata_props} | {"precision": "int8"})
    onnx.save(made, folder / "int8.onnx")
    return folder / "int8.onnx"


def test_an_int8_file_of_nncf(int8: Path) -> None:
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(int8).graph.node}
    found = open_detector(int8, 1)
    assert (found.runtime, found.precision) == ("openvino", "int8")
    boxes, scores = found.raw(inputs())
    np.testing.assert_allclose(scores, expected(inputs())[1], atol=0.03)
    assert not np.allclose(scores, expected(inputs())[1], atol=1e-6)  # 8 bits leave a trace


def test_threads_and_arithmetic_are_those_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silence()
    import openvino

    compiled: list[Any] = []
    whole = openvino.Core.compile_model

    def spy(core: Any, *given: Any) -> Any:
        compiled.append(whole(core, *given))
        return compiled[-1]

    monkeypatch.setattr(openvino.Core, "compile_model", spy)
    for threads in (1, 2):
        open_detector(detector(tmp_path / f"{threads}.onnx"), threads, "openvino")
        assert compiled[-1].get_property("INFERENCE_NUM_THREADS") == threads
        assert compiled[-1].get_property("INFERENCE_PRECISION_HINT").get_type_name() == "f32"
        assert "LATENCY" in str(compiled[-1].get_property("PERFORMANCE_HINT"))


def test_one_thread_takes_one_core(int8: Path) -> None:
    found = open_detector(int8, 1)
    images = inputs()
    wall, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < 0.5:
        found.raw(images)
    assert (time.process_time() - cpu) / (time.perf_counter() - wall) < 1.2


def test_nothing_is_sent_when_it_is_opened(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run([sys.executable, "-c", SILENT, str(detector(tmp_path / "x.onnx"))], capture_output=True,
                          text=True, env={**environment, "HOME": str(tmp_path)}, timeout=120, check=True)
    module, asked, _ = json.loads(done.stdout.splitlines()[-1])
    assert (module, asked) == ("openvino.tools.ovc.telemetry_stub", [])
    assert not (tmp_path / "intel").exists()


def test_an_operator_that_it_does_not_know_is_named(tmp_path: Path) -> None:
    proto = onnx.load(detector(tmp_path / "x.onnx"))
    proto.graph.node[0].op_type = "Castle"
    onnx.save(proto, tmp_path / "x.onnx")
    with pytest.raises(DataError, match="OpenVINO does not open it: .*Castle"):
        open_detector(tmp_path / "x.onnx", 1, "openvino")
