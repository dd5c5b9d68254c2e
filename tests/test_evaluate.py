"""Stage `evaluate` on real pictures: every artefact by one implementation, and its bad inputs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest

from tasks import evaluate
from tasks.base.errors import DataError, ParamsError, UserError
from tasks.base.files import digest_tree
from tasks.base.params import check
from tasks.data.pictures import read_picture
from tasks.data.table import ANNOTATIONS, IMAGES, Dataset, Meta, boxes_of, write_dataset
from tasks.measure import detecting, opening
from tasks.metrics.detections import read_detections
from tasks.metrics.robustness import Robustness
from tasks.models.preset import DetectorPreset
from tasks.models.store import Structure, save_model
from tasks.runtime.detections import Detections

CLASSES = ["RBC", "WBC", "Platelets"]
NOISE = Robustness(pictures=2, kinds=["noise"])
NOTHING = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


@pytest.fixture
def workspace(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Four pictures of BCCD, one of them without boxes, and two untrained models of 64 px; the paths of the stage."""
    monkeypatch.setenv("VISIONMILL_TRACKING", "off")
    monkeypatch.chdir(tmp_path)
    paths = {name: tmp_path / name for name in ("raw", "data", "trained", "pruned", "exports", "out")}
    write_dataset(paths["data"], _bccd(mirror / "datasets/bccd", paths["raw"]))
    preset = DetectorPreset(backbone="resnet18", levels=3, fpn_channels=32, head_convs=1, image_size=64)
    structure = Structure(preset, CLASSES, 64, 64, "0123abcd")
    for name in ("trained", "pruned"):
        save_model(paths[name], structure, structure.build().state_dict())
    Path("params.yaml").write_text("export:\n  targets: []\n")
    return {**paths, "run": tmp_path / "runs" / "evaluate.json"}


def _bccd(source: Path, raw: Path) -> Dataset:
    raw.mkdir()
    pictures, boxes = [], []
    for place, path in enumerate(sorted((source / "JPEGImages").glob("*.jpg"))[:4]):
        (raw / path.name).symlink_to(path)
        height, width = read_picture(path).shape[:2]
        pictures.append({"image_id": place, "file": path.name, "width": width, "height": height, "digest": path.stem,
                         "bytes": path.stat().st_size, "orientation": 1, "split": "test"})
        for row in ElementTree.parse(source / "Annotations" / f"{path.stem}.xml").iter("object") if place else []:
            left, top, right, bottom = (float(row.findtext(f"bndbox/{key}") or 0)
                                        for key in ("xmin", "ymin", "xmax", "ymax"))
            boxes.append({"annotation_id": len(boxes), "image_id": place,
                          "class_id": CLASSES.index(row.findtext("name") or ""), "x": left, "y": top,
                          "w": right - left, "h": bottom - top, "area": (right - left) * (bottom - top),
                          "iscrowd": False, "difficult": False, "source": "import", "row": ""})
    tables = pa.Table.from_pylist(pictures, schema=IMAGES), pa.Table.from_pylist(boxes, schema=ANNOTATIONS)
    return Dataset(*tables, Meta(name="cells", classes=CLASSES))


class Oracle:
    """A detector that finds each box of the known pictures, but for the last `blind` of them."""

    def __init__(self, workspace: dict[str, Path], blind: int = 0) -> None:
        dataset = evaluate.read_dataset(workspace["data"])
        found = boxes_of(dataset)
        files = dict(zip(*dataset.images.select(["image_id", "file"]).to_pydict().values(), strict=True))
        self.classes, self.asked, self.provider, self.height, self.width = CLASSES, [], "oracle", 480, 640
        self.answers = {
            read_picture(workspace["raw"] / files[i]).tobytes():
                Detections(boxes, np.linspace(0.9, 0.8, len(boxes), dtype=np.float32), labels)
            for i, (boxes, labels) in sorted(found.items())[: len(found) - blind]}

    def predict(self, pictures: list[np.ndarray], **how: Any) -> list[Detections]:
        self.asked.append((len(pictures), how))
        return [self.answers.get(picture.tobytes(), NOTHING) for picture in pictures]


def test_real_models_by_the_real_runtime(workspace, capsys) -> None:
    evaluate.run(evaluate.Params(score_threshold=0.0, max_detections=20, robustness=NOISE), **workspace)
    metrics = json.loads((workspace["out"] / "metrics.json").read_text())
    assert list(metrics["artefacts"]) == ["pruned/torch", "trained/torch"]  # JSON is written with sorted keys
    assert (metrics["split"], metrics["images"], len(metrics["test_hash"])) == ("test", 4, 64)
    one = metrics["artefacts"]["trained/torch"]
    assert 0 <= one["AP"] <= 1 and one["bytes"] > 1e6
    assert one["AP_low"] <= one["AP"] <= one["AP_high"] and one["AP50_low"] <= one["AP50"] <= one["AP50_high"]
    assert "AP_change" not in one and set(metrics["artefacts"]["pruned/torch"]["AP_change"]) == {"value", "low", "high"}
    assert (one["provider"], one["emulated"]) == ("torch cpu", False)
    assert set(one["per_class"]) == set(one["voc"]["sample"]["per_class"]) == set(CLASSES)
    table = read_detections(workspace["out"] / "detections" / "trained__torch.parquet")
    assert table.num_rows == 4 * 20
    assert set(one["robustness"]) == {"noise", "clean", "mean"} and len(one["robustness"]["noise"]) == 3
    assert one["robustness"]["mean"] == pytest.approx(np.mean(one["robustness"]["noise"]))
    record = json.loads(workspace["run"].read_text())
    assert (record["stage"], record["line"], record["status"]) == ("evaluate", "0123abcd", "FINISHED")
    assert record["metrics"]["trained/torch/AP"][0]["value"] == one["AP"]
    assert capsys.readouterr().out.splitlines()[1].startswith("trained/torch")
    before = digest_tree(workspace["out"])
    evaluate.run(evaluate.Params(score_threshold=0.0, max_detections=20, robustness=NOISE), **workspace)
    assert digest_tree(workspace["out"]) == before


def _two_files(workspace: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> dict[str, Oracle]:
    """Exported files of a target `cpu` that miss the last picture's boxes; the oracles that were opened, by path."""
    (workspace["exports"] / "cpu").mkdir(parents=True)
    for name in ("trained", "pruned"):
        (workspace["exports"] / "cpu" / f"{name}.onnx").write_bytes(b"12345")
    Path("params.yaml").write_text("export:\n  targets: [cpu]\n")
    opened: dict[str, Oracle] = {}

    def open_detector(path: Path, **how: Any) -> Oracle:
        opened[str(path)] = Oracle(workspace, blind=path.suffix == ".onnx")
        opened[str(path)].provider = f"oracle {how}"
        return opened[str(path)]

    monkeypatch.setattr(opening, "open_detector", open_detector)
    monkeypatch.setattr(opening, "runtime_of", lambda path: ("onnxruntime", "cpu"))
    return opened


def test_every_artefact_is_asked_alike_and_measured_alike(workspace, monkeypatch) -> None:
    opened = _two_files(workspace, monkeypatch)
    monkeypatch.setattr(detecting, "BATCH", 3)
    evaluate.run(evaluate.Params(robustness={"pictures": 0}), **workspace)
    found = json.loads((workspace["out"] / "metrics.json").read_text())["artefacts"]
    assert set(found) == {"trained/torch", "pruned/torch", "trained/cpu", "pruned/cpu"}
    assert found["trained/torch"]["AP"] == found["trained/torch"]["voc"]["integrate"]["mAP"] == 1
    assert found["trained/cpu"]["AP"] == found["pruned/cpu"]["AP"] < 1
    assert found["trained/cpu"]["bytes"] == 5
    assert not any("robustness" in one or one["emulated"] for one in found.values())
    asked = {str(oracle.asked) for oracle in opened.values()}
    assert asked == {str([(n, {"score_threshold": 0.05, "max_detections": 100}) for n in (3, 1)])}


def test_a_target_whose_runtime_is_not_here_is_emulated_and_marked(workspace, monkeypatch, capsys) -> None:
    opened = _two_files(workspace, monkeypatch)
    runtimes = {".onnx": ("tensorrt", "cuda")}
    monkeypatch.setattr(opening, "runtime_of", lambda path: runtimes.get(path.suffix, ("torch", "cpu")))
    monkeypatch.setattr(opening, "missing", lambda runtime, device: "TensorRT needs an NVIDIA GPU"
                        if runtime == "tensorrt" else None)
    evaluate.run(evaluate.Params(robustness={"pictures": 0}), **workspace)
    found = json.loads((workspace["out"] / "metrics.json").read_text())
    assert [name for name, one in found["artefacts"].items() if one["emulated"]] == ["pruned/cpu", "trained/cpu"]
    one = found["artefacts"]["trained/cpu"]
    assert one["emulated_because"] == "TensorRT needs an NVIDIA GPU"
    assert one["provider"] == "oracle {'runtime': 'onnxruntime', 'device': 'cpu'}"
    assert one["AP_change"]["value"] < 0 and found["left_out"] == {}
    assert "trained/cpu, pruned/cpu: emulated by ONNX Runtime on the CPU" in capsys.readouterr().out
    assert len(opened) == 4


def test_what_cannot_be_emulated_either_is_left_out_and_said(workspace, monkeypatch, capsys) -> None:
    _two_files(workspace, monkeypatch)
    working = opening.open_detector

    def refuse(path: Path, **how: Any) -> Oracle:
        if how:
            raise UserError("ONNX Runtime has no float16 convolution on a CPU")
        return working(path)

    monkeypatch.setattr(opening, "open_detector", refuse)
    monkeypatch.setattr(opening, "missing", lambda runtime, device: "no GPU" if device == "cuda" else None)
    monkeypatch.setattr(opening, "runtime_of",
                        lambda path: ("onnxruntime", "cuda" if path.name == "pruned.onnx" else "cpu"))
    evaluate.run(evaluate.Params(robustness={"pictures": 0}), **workspace)
    found = json.loads((workspace["out"] / "metrics.json").read_text())
    assert set(found["artefacts"]) == {"trained/torch", "pruned/torch", "trained/cpu"}
    assert "no GPU; and ONNX Runtime does not stand in" in found["left_out"]["pruned/cpu"]
    assert "pruned/cpu: not measured, no GPU" in capsys.readouterr().out


def test_class_without_ground_truth_is_null_in_the_file_and_na_in_the_table(workspace, monkeypatch, capsys) -> None:
    dataset = evaluate.read_dataset(workspace["data"])
    write_dataset(workspace["data"], replace(dataset, annotations=dataset.annotations.slice(0, 0)))
    monkeypatch.setattr(opening, "open_detector", lambda path: Oracle(workspace))
    evaluate.run(evaluate.Params(), **workspace)
    found = json.loads((workspace["out"] / "metrics.json").read_text())["artefacts"]["trained/torch"]
    assert found["AP_low"] is found["AP50_high"] is found["robustness"]["mean"] is None
    assert found["AP"] is found["per_class"]["WBC"]["AP"] is found["voc"]["sample"]["mAP"] is None
    assert "n/a" in capsys.readouterr().out


def _other_classes(workspace: dict[str, Path]) -> dict[str, Any]:
    dataset = evaluate.read_dataset(workspace["data"])
    write_dataset(workspace["data"], replace(dataset, meta=Meta(name="cells", classes=[*CLASSES, "Ring"])))
    return {}


def _truncated(workspace: dict[str, Path]) -> dict[str, Any]:
    file = sorted(workspace["raw"].iterdir())[2]
    whole = file.read_bytes()
    file.unlink()
    file.write_bytes(whole[:2000])
    return {}


def _broken_export(workspace: dict[str, Path]) -> dict[str, Any]:
    (workspace["exports"] / "cpu").mkdir(parents=True)
    for name in ("trained", "pruned"):
        (workspace["exports"] / "cpu" / f"{name}.onnx").write_bytes(b"12345")
    return _missing_export(workspace)


def _missing_export(workspace: dict[str, Path]) -> dict[str, Any]:
    Path("params.yaml").write_text("export:\n  targets: [cpu]\n")
    return {}


def _no_model(workspace: dict[str, Path]) -> dict[str, Any]:
    (workspace["trained"] / "model.json").unlink()
    return {}


@pytest.mark.parametrize(("spoil", "kind", "message"), [
    (lambda workspace: {"split": "val"}, DataError, "no pictures in the split 'val'"),
    (lambda workspace: {"voc": {"iou": {"Platelet": 0.5}}}, ParamsError, "did you mean 'Platelets'"),
    (_other_classes, DataError, "the data RBC, WBC, Platelets, Ring"),
    (_truncated, DataError, "truncated"),
    (_missing_export, DataError, "trained.onnx"),
    (_broken_export, DataError, "trained.onnx"),
    (lambda workspace: {"robustness": {"artefacts": ["trained/tensor"]}}, ParamsError, "did you mean 'trained/torch'"),
    (_no_model, DataError, "no model here"),
])
def test_bad_inputs_leave_the_old_results(workspace, spoil, kind, message) -> None:
    workspace["out"].mkdir()
    (workspace["out"] / "metrics.json").write_text("old")
    with pytest.raises(kind, match=message) as refused:
        evaluate.run(evaluate.Params(**spoil(workspace)), **workspace)
    assert isinstance(refused.value, UserError) and refused.value.exit_code == 2
    assert {p.name for p in workspace["out"].iterdir()} == {"metrics.json"}
    assert (workspace["out"] / "metrics.json").read_text() == "old"
    assert not workspace["run"].exists()
    assert not [p for p in workspace["out"].parent.iterdir() if p.name.startswith(".out")]


def test_full_disk(workspace, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(opening, "open_detector", lambda path: Oracle(workspace))
    monkeypatch.setattr(evaluate, "write_detections", full)
    with pytest.raises(DataError, match="no space left"):
        evaluate.run(evaluate.Params(), **workspace)
    assert not workspace["out"].exists() and not workspace["run"].exists()


@pytest.mark.parametrize(("values", "message"), [
    ({"score_treshold": 0.1}, "did you mean 'score_threshold'"),
    ({"score_threshold": 2}, "less than or equal to 1"),
    ({"voc": {"limit": {}}}, "did you mean 'limits'"),
    ({"split": "tests"}, "'train', 'val' or 'test'"),
    ({"robustness": {"kinds": ["fog"]}}, "'noise', 'blur', 'jpeg', 'brightness' or 'contrast'"),
    ({"robustness": {"picture": 3}}, "did you mean 'pictures'"),
    ({"draws": 10}, "greater than or equal to 100"),
])
def test_wrong_parameters_are_refused(values, message) -> None:
    with pytest.raises(ParamsError, match=message):
        check(evaluate.Params, values, "params.yaml: evaluate")
