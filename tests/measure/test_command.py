"""`visionmill benchmark`: what it finds, on which runtimes it runs it, the table, the picture, and its bad inputs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from flows import cli
from tasks.base.errors import DataError, UserError
from tasks.base.files import read_json
from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, Meta, write_dataset
from tasks.measure import everywhere as places
from tasks.measure.command import run_benchmark
from tasks.measure.shown import picture, table
from tasks.measure.sources import find, pictures
from tests.registry.cases import CLASSES, SIDE, tiny_onnx
from tests.registry.conftest import build, empty_store  # noqa: F401


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No store, no memory probe in a process of its own, one runtime."""
    monkeypatch.setenv("VISIONMILL_TRACKING", "off")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("tasks.measure.timing.peak_mb", lambda *_: 120.0)
    monkeypatch.setattr(places, "here", lambda: [("torch", "cpu"), ("onnxruntime", "cpu")])
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three pictures with one red cell each, which the tiny detector finds."""
    (tmp_path / "set/raw").mkdir(parents=True)
    rows, boxes = [], []
    for image in range(3):
        content = np.zeros((SIDE, SIDE, 3), np.uint8)
        x = 8 * image
        content[8:16, x : x + 8, 0] = 255
        Image.fromarray(content).save(tmp_path / f"set/raw/{image}.png")
        rows.append({"image_id": image, "file": f"{image}.png", "width": SIDE, "height": SIDE, "digest": str(image),
                     "bytes": 1, "orientation": 1, "split": "test" if image else "train"})
        left = max(x - 3, 0)
        boxes.append({"annotation_id": image, "image_id": image, "class_id": 0, "x": left, "y": 5, "w": x + 11 - left,
                      "h": 14, "area": 14.0 * (x + 11 - left), "iscrowd": False, "difficult": False,
                      "source": "import", "row": ""})
    tables = pa.Table.from_pylist(rows, schema=IMAGES), pa.Table.from_pylist(boxes, schema=ANNOTATIONS)
    write_dataset(tmp_path / "set/split", Dataset(*tables, Meta(name="cells", classes=CLASSES)))
    return tmp_path / "set/split"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    tiny_onnx(tmp_path / "tiny.onnx")
    return tmp_path / "tiny.onnx"


def test_a_file_with_pictures(file, data, tmp_path, capsys) -> None:
    found = run_benchmark([str(file)], tmp_path / "out", data=data, rounds=1, threads=1)
    row = found["rows"]["tiny/onnx on onnxruntime"]
    assert row["AP"] == row["AP50_low"] == pytest.approx(1) and found["images"] == 2
    assert (row["runtime"], row["device"], row["provider"]) == ("onnxruntime", "cpu", "CPUExecutionProvider")
    assert 0 < row["median_ms"] <= row["p95_ms"]
    assert read_json(tmp_path / "out/benchmark.json")["rows"] == found["rows"]
    said = capsys.readouterr().out
    assert "tiny/onnx  onnxruntime  1.000  1.000  1.000 – 1.000" in said
    assert "not logged: no workspace" in said and "left out: TensorRT: " in said
    drawing = ElementTree.parse(tmp_path / "out/benchmark.svg").getroot()
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg" and len(list(drawing.iter())) > 10


def test_without_pictures_only_speed_and_size_are_said(file, tmp_path, capsys) -> None:
    found = run_benchmark([str(file)], tmp_path / "out", rounds=1, threads=1)
    assert "AP" not in found["rows"]["tiny/onnx on onnxruntime"] and found["images"] == 0
    said = capsys.readouterr().out
    assert "no accuracy: there are no labelled pictures" in said and "AP50" not in said
    ElementTree.parse(tmp_path / "out/benchmark.svg")


def test_other_files_in_the_folder_stay(file, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    run_benchmark([str(file)], tmp_path / "out", rounds=1, threads=1)
    assert (tmp_path / "out/mine.txt").read_text() == "mine"


def test_a_runtime_that_does_not_open_a_file_is_left_out_with_its_reason(file, tmp_path, monkeypatch, capsys) -> None:
    from tasks.runtime import detector

    monkeypatch.setattr(places, "here", lambda: [("onnxruntime", "cpu"), ("openvino", "cpu")])
    opened = detector.open_detector

    def refuse(path: Path, threads: Any = None, runtime: Any = None, device: Any = None) -> Any:
        if runtime == "openvino":
            raise DataError("OpenVINO knows no such operator")
        return opened(path, threads, runtime, device)

    monkeypatch.setattr(detector, "open_detector", refuse)
    found = run_benchmark([str(file)], tmp_path / "out", rounds=1, threads=1)
    assert list(found["rows"]) == ["tiny/onnx on onnxruntime"]
    assert found["left_out"]["tiny/onnx on openvino"] == "OpenVINO knows no such operator"
    assert "left out: tiny/onnx on openvino: OpenVINO knows" in capsys.readouterr().out


def test_nothing_that_opens_is_an_error_with_the_reasons(file, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(places, "_opens", lambda name, one, threads, left: bool(left.update({name: "no operator"})))
    with pytest.raises(UserError, match="no runtime on this machine opens any of these") as refused:
        run_benchmark([str(file)], tmp_path / "out", rounds=1)
    assert "tiny/onnx on onnxruntime: no operator" in str(refused.value) and not (tmp_path / "out").exists()


def _absent(file: Path, data: Path) -> dict[str, Any]:
    return {"models": [str(file)], "runtimes": ["tensorrt"]}


def _misspelt(file: Path, data: Path) -> dict[str, Any]:
    return {"models": [str(file)], "runtimes": ["openvin"]}


def _no_such(file: Path, data: Path) -> dict[str, Any]:
    return {"models": ["gone.onnx"]}


def _broken(file: Path, data: Path) -> dict[str, Any]:
    file.write_bytes(file.read_bytes()[:100])
    return {"models": [str(file)]}


def _other_classes(file: Path, data: Path) -> dict[str, Any]:
    write_dataset(data, Dataset(IMAGES.empty_table(), ANNOTATIONS.empty_table(), Meta(name="x", classes=["a"])))
    return {"models": [str(file)], "data": data}


def _class_mismatch(file: Path, data: Path) -> dict[str, Any]:
    from dataclasses import replace

    from tasks.data.table import read_dataset

    write_dataset(data, replace(read_dataset(data), meta=Meta(name="x", classes=["round", "oval"])))
    return {"models": [str(file)], "data": data}


def _pictures_gone(file: Path, data: Path) -> dict[str, Any]:
    shutil.rmtree(data.parent / "raw")
    return {"models": [str(file)], "data": data}


def _no_rounds(file: Path, data: Path) -> dict[str, Any]:
    return {"models": [str(file)], "rounds": 0}


def _empty_workspace(file: Path, data: Path) -> dict[str, Any]:
    Path("params.yaml").write_text("export:\n  targets: [cpu]\n")
    return {"models": []}


@pytest.mark.parametrize(("spoil", "message"), [
    (_absent, "TensorRT"), (_misspelt, "did you mean 'openvino'"), (_no_such, "there is no model here"),
    (_broken, "tiny.onnx"), (_other_classes, "no picture to measure"), (_class_mismatch, "the data round, oval"),
    (_pictures_gone, "pictures of this dataset are missing"), (_no_rounds, "at least 1"),
    (_empty_workspace, "nothing has been made in this workspace yet")])
def test_bad_inputs_are_the_users_and_leave_nothing(spoil, message, file, data, tmp_path) -> None:
    asked = spoil(file, data)
    with pytest.raises(UserError, match=message) as refused:
        run_benchmark(asked.pop("models"), tmp_path / "out", **asked)
    assert refused.value.exit_code == 2 and not (tmp_path / "out").exists()


def test_what_a_workspace_has_made_is_found_and_what_it_has_not_is_not(tmp_path) -> None:
    folder = tmp_path / "cells"
    tiny_onnx(folder / "exports/cpu/pruned.onnx")
    tiny_onnx(folder / "exports/dropped/pruned.onnx")
    (folder / "params.yaml").write_text("export:\n  targets: [cpu, gpu]\n")
    found = find([str(folder)])
    assert found.paths == {"pruned/cpu": folder / "exports/cpu/pruned.onnx"} and found.workspace == folder


def test_files_of_one_name_are_kept_apart(file, tmp_path) -> None:
    (tmp_path / "b").mkdir()
    shutil.copy(file, tmp_path / "b/tiny.onnx")
    assert list(find([str(file), str(tmp_path / "b/tiny.onnx")]).paths) == ["tiny/onnx", "tiny/onnx (2)"]
    inside = tmp_path / "exports/cpu-int8/tiny.onnx"
    inside.parent.mkdir(parents=True)
    inside.write_bytes(file.read_bytes())
    assert list(find([str(inside)]).paths) == ["tiny/cpu-int8"]


def test_no_data_and_no_workspace_is_no_accuracy(data) -> None:
    assert pictures(None, None) is None
    dataset, raw = pictures(data, None) or (None, None)
    assert dataset is not None and dataset.images.num_rows == 2 and raw == data.parent / "raw"


def test_a_registered_version_is_found_by_its_name(tmp_path, empty_store, monkeypatch) -> None:  # noqa: F811
    from tasks.registry.register import register
    from tests.registry.conftest import isolate

    isolate(monkeypatch)
    folder = build(tmp_path / "cells", empty_store)
    register(folder)
    found = find(["cells@champion"], folder).paths
    assert set(found) == {"trained/torch", "pruned/torch", *(f"{kind}/{target}" for kind in ("trained", "pruned")
                                                             for target in ("cpu-fp32", "cpu-int8"))}
    shutil.rmtree(folder / "exports")
    assert set(find(["cells@champion"], folder).paths) == {"trained/torch", "pruned/torch", "pruned/deployed"}
    with pytest.raises(UserError, match="has no alias 'best'"):
        find(["cells@best"], folder)


def _row(artefact: str, ms: float, runtime: str = "onnxruntime", **more: Any) -> dict[str, Any]:
    return {"artefact": artefact, "runtime": runtime, "device": "cpu", "precision": "fp32", "median_ms": ms,
            "p95_ms": 2 * ms, "throughput_per_s": 1000 / ms, "peak_memory_mb": None, "bytes": 3_000_000, "AP": 0.5,
            "AP50": 0.8, "AP50_low": 0.7, "AP50_high": 0.9, **more}


def test_the_table_is_by_speed_and_says_what_to_know() -> None:
    rows = {"a on torch": _row("a", 9.0, "torch"), "b on onnxruntime": _row("b", 3.0),
            "c on onnxruntime": _row("c", 4.0, AP=None, AP50=None, AP50_low=None, AP50_high=None,
                                     slower_than_float=True, faster_float="b on onnxruntime")}
    said = table({"rows": rows, "left_out": {"OpenVINO": "is not installed"}, "images": 3, "machine": {"cores": 2}})
    lines = said.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["artefact", "b", "c", "a"]
    assert "n/a" in lines[2] and "warning: c on onnxruntime is slower than b on onnxruntime" in said
    assert "left out: OpenVINO: is not installed" in said and lines[-1].endswith("cores 2")


def test_the_picture_has_a_dot_a_row_and_a_legend_of_runtimes() -> None:
    rows = {f"{n} on {place}": _row(f"<{n}>", 3.0 + n, place) for n in range(3) for place in ("torch", "openvino")}
    drawing = picture({"rows": rows, "left_out": {}, "images": 3, "machine": {}}, "a & b")
    marks = [mark.get("class", "") for mark in ElementTree.fromstring(drawing.split("\n", 1)[1]).iter()]
    assert sum(mark.startswith("bubble") for mark in marks) == 6 + 6 + 2  # dots, the list beside them, the legend
    assert "a &amp; b" in drawing and "<0>" not in drawing


def test_the_verb_is_a_door_to_it(file, tmp_path, capsys) -> None:
    assert cli.main(["benchmark", str(file), "--rounds", "1", "--threads", "1", "--runtimes", "onnxruntime",
                     "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out/benchmark.svg").is_file()
    assert cli.main(["benchmark", str(file), "--runtimes", "tensorrt", "--out", str(tmp_path / "no")]) == 2
    assert "TensorRT" in capsys.readouterr().err


def test_it_is_logged_as_a_run_of_the_workspace(tmp_path, empty_store, monkeypatch, capsys) -> None:  # noqa: F811
    from tasks.registry import store
    from tests.registry.conftest import isolate

    isolate(monkeypatch)
    folder = build(tmp_path / "cells", empty_store)
    run_benchmark([str(folder / "exports/cpu-int8/pruned.onnx")], tmp_path / "out", rounds=1, threads=1,
                  workspace=folder)
    client = store.client(folder)
    run = client.get_run(capsys.readouterr().out.split("MLflow run ")[1].split()[0])
    assert run.data.tags["visionmill.stage"] == "benchmark-all"
    assert run.data.metrics["pruned/cpu-int8 on onnxruntime/median_ms"] > 0
    assert {entry.path for entry in client.list_artifacts(run.info.run_id, "benchmark")} == {
        "benchmark/benchmark.json", "benchmark/benchmark.svg"}
