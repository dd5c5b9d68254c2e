"""What a bundle holds, where it comes from, and what cannot be bundled."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto

from flows.cli import main
from tasks.base.errors import DataError, ParamsError, UserError
from tasks.base.files import digest_file, read_json
from tasks.bundle.make import check_bundle, make_bundle
from tests.registry import cases

from .conftest import CLASSES, HEIGHT, WIDTH, small_onnx


def test_it_says_what_it_is(alone: Path, small: Path) -> None:
    told = read_json(alone / "bundle.json")
    assert (alone / told["model"]).read_bytes() == small.read_bytes()
    assert told["classes"] == CLASSES and told["thresholds"] == {CLASSES[0]: 0.3, CLASSES[1]: 0.45, CLASSES[2]: 0.5}
    assert told["input"]["shape"] == [1, 3, HEIGHT, WIDTH] and told["input"]["dtype"] == "uint8"
    assert told["outputs"]["scores"]["shape"] == [1, 192, 3]
    assert (told["preprocess"]["fill"], told["preprocess"]["resample"]) == (114, "bilinear")
    assert (told["postprocess"]["iou"], told["postprocess"]["top_k"]) == (0.55, 1000)
    assert (told["runtime"], told["precision"], told["device"]) == ("onnxruntime", "fp32", "cpu")
    assert (alone / "labels.txt").read_text().splitlines() == CLASSES
    assert {name: digest_file(alone / name) for name in told["files"]} == {
        name: entry["sha256"] for name, entry in told["files"].items()}
    assert "Nothing is known here" in (alone / "README.md").read_text()


def test_the_checksums_are_what_sha256sum_reads(alone: Path) -> None:
    done = subprocess.run(["sha256sum", "--strict", "-c", "checksums.txt"], cwd=alone, capture_output=True, text=True)
    names = {file.relative_to(alone).as_posix() for file in alone.rglob("*") if "__pycache__" not in file.parts}
    assert done.returncode == 0 and {line.split(":")[0] for line in done.stdout.splitlines()} == names - {
        "checksums.txt"}


def test_the_same_file_gives_the_same_bundle(alone: Path, small: Path, tmp_path: Path) -> None:
    again = make_bundle(str(small), tmp_path / "again")
    for file in again.iterdir():
        assert file.read_bytes() == (alone / file.name).read_bytes(), file.name
        assert b"/tmp" not in file.read_bytes() and str(tmp_path).encode() not in file.read_bytes()


def test_a_version_is_bundled_with_its_lineage(registered: Path, tmp_path: Path, monkeypatch: Any) -> None:  # noqa: F811
    monkeypatch.chdir(registered)
    tested = read_json(registered / "results/evaluate/metrics.json")["test_hash"]
    for name in ("cells@champion", "cells/1", "cells/latest", "models:/cells@champion"):
        bundle = make_bundle(name, tmp_path / name.replace("/", "-").replace(":", ""))
        told = read_json(bundle / "bundle.json")
        assert told["name"] == "cells" and told["provenance"]["version"] == "1"
        assert told["provenance"]["artefact"] == "pruned/cpu-int8" and told["provenance"]["line"] == cases.LINE
        assert told["measured"]["AP50"] == 0.8 and told["measured"]["test_hash"] == tested
    card = (bundle / "README.md").read_text()
    assert "AP 0.5000, AP50 0.8000" in card and tested in card and "Latency at batch 1: 4.0 ms, 7.5 times" in card


def test_a_target_that_a_version_does_not_carry(registered: Path, tmp_path: Path, monkeypatch: Any) -> None:  # noqa: F811
    monkeypatch.chdir(registered)
    with pytest.raises(UserError, match=r"carries no file for 'cpu-fp32'(.|\n)*it carries pruned/cpu-int8"):
        make_bundle("cells@champion", tmp_path / "x", target="cpu-fp32")
    with pytest.raises(ParamsError, match="did you mean 'cpu-int8'"):
        make_bundle("cells@champion", tmp_path / "x", target="cpu-int")
    for name, words in (("cells/9", "versions: 1"), ("cells@nobody", "no alias 'nobody'"), ("dogs/1", "registered mod"),
                        ("nothing", "no such model")):
        with pytest.raises(UserError, match=words):
            make_bundle(name, tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished workspace without a store; its file for cpu-int8 is the one that was measured."""
    folder = tmp_path / "cells"
    folder.mkdir()
    cases.write_line(folder)
    measured = read_json(folder / "results/evaluate/metrics.json")
    size = small_onnx(folder / "exports/cpu-int8/pruned.onnx", precision="int8").stat().st_size
    measured["artefacts"]["pruned/cpu-int8"]["bytes"] = size
    (folder / "results/evaluate/metrics.json").write_text(json.dumps(measured))
    described = folder / "data/split/dataset.json"
    described.write_text(json.dumps({**read_json(described), "licence": "CC BY 4.0"}))
    monkeypatch.chdir(folder)
    return folder


def test_an_artefact_of_the_workspace(workspace: Path, tmp_path: Path, capsys: Any) -> None:
    assert main(["bundle", "--artefact", "pruned/cpu-int8", "--target", "cpu-int8", "--out", str(tmp_path / "x")]) == 0
    told, card = read_json(tmp_path / "x/bundle.json"), (tmp_path / "x/README.md").read_text()
    assert told["name"] == "cells" and told["measured"]["AP"] == 0.5 and told["data_licence"] == "CC BY 4.0"
    assert told["precision"] == "int8" and told["provenance"]["artefact"] == "pruned/cpu-int8"
    assert "median_ms" not in told["measured"], "benchmark.json speaks of a file of another size"
    assert "INT8" in card and "CC BY 4.0" in card and "AP 0.5000" in card
    assert main(["bundle", "--target", "cpu-int8", "--out", str(tmp_path / "y")]) == 0
    assert (tmp_path / "y/bundle.json").read_bytes() == (tmp_path / "x/bundle.json").read_bytes()
    assert main(["bundle", "--check", str(tmp_path / "x")]) == 0
    assert "6 files" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "message"), [
    ([], "no model is named"), (["--artefact", "pruned/torch"], "no exported file 'pruned/torch'"),
    (["--artefact", "../x/pruned"], "no exported file"), (["--target", "trt-fp16"], "pruned/cpu-int8"),
    (["--artefact", "pruned/cpu-int8", "--target", "cpu-fp32"], "it is int8 for onnxruntime on cpu"),
    (["cells@champion", "--artefact", "pruned/cpu-int8"], "asked for at once")])
def test_what_the_workspace_has_is_said(workspace: Path, tmp_path: Path, capsys: Any, words: list[str],
                                        message: str) -> None:
    if "trt-fp16" in words:
        (workspace / "conf/target").mkdir(parents=True)
        (workspace / "conf/target/trt-fp16.yaml").write_text("runtime: tensorrt\nprecision: fp16\n")
    assert main(["bundle", *words, "--out", str(tmp_path / "x")]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "x").exists()


def cut(file: Path, at: Path, share: float = 0.5) -> Path:
    at.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    return at


def of_3_gb(file: Path, at: Path) -> Path:
    with at.open("wb") as sparse:
        sparse.truncate(3_000_000_000)
    return at


def newer(proto: onnx.ModelProto) -> None:
    proto.opset_import[0].version = 99


def changed(file: Path, at: Path, change: Callable[[onnx.ModelProto], object]) -> Path:
    proto = onnx.load(file)
    change(proto)
    onnx.save(proto, at)
    return at


def without_metadata(proto: onnx.ModelProto) -> None:
    del proto.metadata_props[:]


def outside(proto: onnx.ModelProto) -> None:
    from onnx.external_data_helper import set_external_data

    tensor = next(tensor for tensor in proto.graph.initializer if tensor.name == "w1")
    set_external_data(tensor, "weights.bin")
    tensor.data_location = TensorProto.EXTERNAL


@pytest.mark.parametrize(("make", "message"), [
    *((lambda file, at, share=share: cut(file, at, share), "cut off|not a valid ONNX file|without our metadata")
      for share in (0, 0.001, 0.1, 0.5, 0.9, 0.999)),
    (of_3_gb, "3.0 GB"), (lambda file, at: changed(file, at, newer), "not a valid ONNX file|does not run it"),
    (lambda file, at: changed(file, at, without_metadata), "without our metadata"),
    (lambda file, at: small_onnx(at, classes='["one"]'), "do not fit 1 classes"),
    (lambda file, at: small_onnx(at, classes="{"), "metadata is not understood"),
    (lambda file, at: small_onnx(at, classes='["a", "b\\nc", "d"]'), "does not fit on one line"),
    (lambda file, at: small_onnx(at, height="64"), "does not run it"),
    (lambda file, at: small_onnx(at, problem="classify"), "bundles hold detectors"),
    (lambda file, at: small_onnx(at, suppression='{"iou": 7}'), "suppression is not understood"),
])
def test_files_that_cannot_be_bundled(small: Path, tmp_path: Path, make: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make_bundle(str(make(small, tmp_path / "x.onnx")), tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir()] == ["x.onnx"]


def test_weights_beside_the_file_are_not_bundled(small: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(16 * 3 * 64 * 4))
    with pytest.raises(DataError, match="its weights lie in another file"):
        make_bundle(str(changed(small, tmp_path / "x.onnx", outside)), tmp_path / "out")


def test_a_place_in_use_is_left_alone(small: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    make_bundle(str(small), tmp_path / "out")
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()}
    for place in (tmp_path / "out", small):
        with pytest.raises(UserError, match="the place is in use"):
            make_bundle(str(small), place)
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize("after", [0, 3])
def test_a_full_disk_leaves_nothing(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any,
                                    after: int) -> None:
    from tasks.bundle import content

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "model.onnx")

    monkeypatch.setattr(*((shutil, "copyfile") if after == 0 else (content, "write_json")), full)
    assert main(["bundle", str(small), "--out", str(tmp_path / "out")]) == 2
    assert "the disk is full" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_check_names_what_is_wrong(alone: Path, tmp_path: Path, capsys: Any) -> None:
    copy = shutil.copytree(alone, tmp_path / "copy")
    assert set(check_bundle(copy)) >= {"model.onnx", "bundle.json", "predict.py"}
    (copy / "engine.plan").write_text("what a runtime leaves beside it is not our business")
    check_bundle(copy)
    content = bytearray((copy / "model.onnx").read_bytes())
    content[1000] ^= 1
    (copy / "model.onnx").write_bytes(content)
    (copy / "labels.txt").unlink()
    assert main(["bundle", "--check", str(copy)]) == 2
    told = capsys.readouterr().err
    assert "labels.txt is missing" in told and "model.onnx was changed" in told and "predict.py" not in told


@pytest.mark.parametrize(("text", "message"), [
    ("hello\n", "list of checksums was changed"), (f"{'0' * 64}  ../../etc/passwd\n", "outside the bundle"),
    (f"{'0' * 64}  /etc/passwd\n", "outside the bundle"), ("", "bundle.json is not listed")])
def test_a_list_that_was_tampered_with(alone: Path, tmp_path: Path, text: str, message: str) -> None:
    copy = shutil.copytree(alone, tmp_path / "copy")
    (copy / "checksums.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        check_bundle(copy)
    with pytest.raises(DataError, match="no bundle"):
        check_bundle(tmp_path)
