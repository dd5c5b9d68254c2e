"""Engines are built here, without a GPU, for named GPU generations; what is not built says why."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tasks.base.errors import DataError, UserError
from tasks.base.files import read_json
from tasks.runtime import engines, engines_cached
from tasks.runtime.backends.description import EngineOptions, describe
from tasks.runtime.backends.tensorrt import Runner, whole
from tasks.runtime.engines import Timing, build, build_rtx
from tests.runtime.hand_made import CLASSES, detector

pytest.importorskip("tensorrt_rtx", reason="pip install visionmill[rtx]")
SM89 = EngineOptions(capabilities=("SM89",))


def batches(low: int, usual: int, high: int) -> str:
    return json.dumps({"batch": {"min": low, "opt": usual, "max": high}})


def made(folder: Path, options: EngineOptions = SM89, **file: Any) -> bytes:
    """The engine of a hand-made file."""
    path = detector(folder / "x.onnx", **file)
    return build("tensorrt-rtx", path, describe(path), options)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_an_engine_for_four_generations_of_gpus(tmp_path: Path, precision: str) -> None:
    file = detector(tmp_path / "x.onnx", precision=precision, runtime="tensorrt-rtx")
    facts = build_rtx(file, tmp_path / "x.engine", ["SM120", "SM80", "SM86", "SM89"], workspace_mb=256)
    assert facts["capabilities"] == ["SM80", "SM86", "SM89", "SM120"]
    assert facts["bytes"] == (tmp_path / "x.engine").stat().st_size > 1000
    assert (facts["precision"], facts["batch"], facts["workspace_mb"]) == (precision, [1, 1, 1], 256)
    assert 0 < facts["seconds"] <= 30


def test_an_engine_describes_itself(tmp_path: Path) -> None:
    file = detector(tmp_path / "x.onnx", precision="fp16", dynamic=True, engine=batches(1, 4, 8))
    build_rtx(file, tmp_path / "x.engine", ["SM86"], workspace_mb=256)
    told = describe(tmp_path / "x.engine")
    assert (told.classes, told.height, told.width, told.line) == (CLASSES, 8, 8, "0123")
    assert (told.runtime, told.device, told.precision) == ("tensorrt-rtx", "cuda", "fp16")
    assert told.engine == EngineOptions((1, 4, 8), 256, ("SM86",))
    assert "seconds" not in read_json(tmp_path / "x.engine.json")["facts"]
    whole(tmp_path / "x.engine")


def test_what_the_target_names_is_built(tmp_path: Path) -> None:
    engine = json.dumps({"batch": {"min": 1, "opt": 1, "max": 1}, "workspace_mb": 300, "capabilities": ["SM120"]})
    facts = build_rtx(detector(tmp_path / "x.onnx", engine=engine), tmp_path / "x.engine")
    assert (facts["capabilities"], facts["workspace_mb"]) == (["SM120"], 300)
    with pytest.raises(UserError, match="no GPU generation is named"):
        build_rtx(detector(tmp_path / "y.onnx"), tmp_path / "y.engine")


def test_every_generation_that_is_named_is_in_the_engine(tmp_path: Path) -> None:
    two = replace(SM89, capabilities=("SM89", "SM120"))
    assert len(made(tmp_path, two)) > len(made(tmp_path))


@pytest.mark.parametrize(("names", "message"), [
    (["SM90"], "does not build for 'SM90'"), (["sm89"], "the nearest is SM89"), (["CURRENT"], "does not build for"),
    (["SM89", "Hopper"], "'Hopper'"), ([], "no GPU generation is named"),
])
def test_an_unknown_generation_is_told_with_the_known_ones(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as told:
        build_rtx(detector(tmp_path / "x.onnx"), tmp_path / "x.engine", names)
    assert "SM80, SM86, SM89, SM120" in str(told.value)
    assert not (tmp_path / "x.engine").exists()


def test_an_engine_has_a_name_that_opens(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="NAME.engine, not 'x.plan'"):
        build_rtx(detector(tmp_path / "x.onnx"), tmp_path / "x.plan", ["SM89"])


def test_none_from_the_builder_is_an_error_with_its_log(tmp_path: Path) -> None:
    path = detector(tmp_path / "x.onnx")
    with pytest.raises(DataError, match=r"did not build an engine:\n(  .*\n)*  error: .*workspace") as told:
        build("tensorrt-rtx", path, describe(path), replace(SM89, workspace_mb=1))
    assert "more than workspace_mb: 1" in str(told.value)


def test_a_node_that_the_parser_does_not_know_is_named(tmp_path: Path) -> None:
    path = detector(tmp_path / "x.onnx")
    proto = onnx.load(path)
    proto.graph.node[0].op_type = "Castle"
    onnx.save(proto, path)
    with pytest.raises(DataError, match="(?s)TensorRT-RTX cannot read it: .*Castle"):
        build("tensorrt-rtx", path, describe(path), SM89)


def test_a_file_of_another_runtime_is_to_be_exported_again(tmp_path: Path) -> None:
    path = detector(tmp_path / "x.onnx")
    proto = onnx.load(path)  # the picture's bytes read as quantised numbers, as files for CPUs do
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0, np.uint8), "none"))
    node = onnx.helper.make_node("DequantizeLinear", ["images", "byte", "none"], ["y"])
    proto.graph.node[0].CopyFrom(node)
    del proto.graph.node[1]
    onnx.save(proto, path)
    with pytest.raises(DataError, match="UINT8") as told:
        build("tensorrt-rtx", path, describe(path), SM89)
    assert "export it for tensorrt-rtx" in str(told.value)


def test_a_dynamic_batch_gets_a_profile_and_a_fixed_one_is_held_to(tmp_path: Path) -> None:
    assert made(tmp_path, replace(SM89, batch=(1, 4, 8)), dynamic=True)
    with pytest.raises(DataError, match="takes 1 picture at once, not 1 to 8"):
        made(tmp_path, replace(SM89, batch=(1, 4, 8)))


@pytest.mark.parametrize(("precision", "kept"), [("fp32", False), ("fp16", True), ("int8", True)])
def test_a_file_in_fp32_is_not_computed_in_tf32(tmp_path: Path, precision: str, kept: bool) -> None:
    trt = engines.module("tensorrt-rtx")
    builder = trt.Builder(engines.logger(trt))
    told = describe(detector(tmp_path / "x.onnx", precision=precision))
    config = engines._config(trt, builder, replace(SM89, workspace_mb=3), told)
    assert config.get_flag(trt.BuilderFlag.TF32) == kept
    assert config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE) == 3 << 20
    assert config.get_compute_capability(0) == trt.ComputeCapability.SM89


def test_an_engine_is_built_once_and_again_when_what_made_it_changes(tmp_path: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    calls: list[EngineOptions] = []
    real = engines_cached.build

    def counted(runtime: str, onnx: Path, told: Any, options: EngineOptions, timing: Any) -> bytes:
        calls.append(options)
        return real(runtime, onnx, told, options, timing)

    monkeypatch.setattr(engines_cached, "build", counted)
    file = detector(tmp_path / "x.onnx")
    first = engines_cached.built("tensorrt-rtx", file, describe(file), "a GPU", SM89)
    assert first.parent == tmp_path / "cache" / "visionmill" / "engines"
    assert engines_cached.built("tensorrt-rtx", file, describe(file), "a GPU", SM89) == first
    assert len(calls) == 1
    others = {engines_cached.built("tensorrt-rtx", file, describe(file), "another GPU", SM89),
              engines_cached.built("tensorrt-rtx", file, describe(file), "a GPU", replace(SM89, workspace_mb=700))}
    detector(file, line="4567")
    others.add(engines_cached.built("tensorrt-rtx", file, describe(file), "a GPU", SM89))
    assert len(others - {first}) == 3 and len(calls) == 4


def test_the_key_depends_on_the_weights_beside_the_file(tmp_path: Path) -> None:
    file = detector(tmp_path / "x.onnx", external=True)
    one = engines_cached.key("tensorrt", "11.0", "a GPU", file, describe(file), SM89)
    weights = tmp_path / "weights.bin"
    weights.write_bytes(weights.read_bytes()[::-1])
    assert engines_cached.key("tensorrt", "11.0", "a GPU", file, describe(file), SM89) != one
    assert engines_cached.key("tensorrt", "11.1", "a GPU", file, describe(file), SM89) != one


def test_measured_times_are_kept_beside_the_engines(tmp_path: Path) -> None:
    """TensorRT-RTX keeps the calls and measures nothing; TensorRT has the same ones."""
    path, timing = detector(tmp_path / "x.onnx"), Timing(tmp_path / "times")
    build("tensorrt-rtx", path, describe(path), SM89, timing)
    size = (tmp_path / "times").stat().st_size
    assert size > 0
    (tmp_path / "times").write_bytes(b"of another version")
    build("tensorrt-rtx", path, describe(path), SM89, timing)
    assert (tmp_path / "times").stat().st_size == size


def test_a_full_disk_leaves_no_half_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    file = detector(tmp_path / "x.onnx")
    monkeypatch.setattr("tasks.base.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        build_rtx(file, tmp_path / "x.engine", ["SM89"])
    assert [path.name for path in tmp_path.iterdir()] == ["x.onnx"]


def test_an_engine_that_was_changed_or_stands_alone_is_refused(tmp_path: Path) -> None:
    engine = tmp_path / "x.engine"
    build_rtx(detector(tmp_path / "x.onnx"), engine, ["SM89"])
    engine.write_bytes(engine.read_bytes()[:-1] + b"?")
    with pytest.raises(DataError, match="cut off or changed"):
        whole(engine)
    (tmp_path / "x.engine.json").unlink()
    with pytest.raises(DataError, match="without its description"):
        describe(engine)
    engine.unlink()
    with pytest.raises(DataError, match="no such engine"):
        describe(engine)


def test_bytes_that_are_no_engine_do_not_load(tmp_path: Path) -> None:
    file = detector(tmp_path / "x.onnx")
    (tmp_path / "x.engine").write_bytes(b"no engine")
    with pytest.raises(DataError, match="does not load the engine on this GPU:\n  "):
        Runner(engines.module("tensorrt-rtx"), "tensorrt-rtx", tmp_path / "x.engine", file, describe(file))


def test_what_is_not_installed_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "installed", lambda runtime: False)
    with pytest.raises(UserError, match=r"pip install visionmill\[tensorrt\]"):
        engines.module("tensorrt")
