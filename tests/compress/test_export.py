"""The stage: every file within its budget or said not to be, nothing half-written, the same bytes each time."""

from __future__ import annotations

import errno
import io
import json
import shutil
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import onnx
import pytest

from tasks.base.errors import DataError, GateRefused, ParamsError
from tasks.base.files import read_json
from tasks.base.params import check
from tasks.compress import onnx_file, parity, qat
from tasks.compress.exported import verdict
from tasks.compress.onnx_file import metadata_of
from tasks.data.table import read_dataset, write_dataset
from tasks.export import Params, numbers, run
from tasks.models.store import save_model

from .labelled import exported_once, labelled, network, one_thread, with_a_layer_that_hurts

HURT = "backbone.body.layer2.1.conv2"
LOOSE = {"score": 1.0, "box": 1.0, "unmatched": 1.0, "ap_loss": 1.0, "int8_score": 1.0, "int8_box": 1.0,
         "int8_ap_loss": 1.0, "int8_unmatched": 1.0, "pictures": 2}
Files = tuple[Path, Path, Path, Path]  # trained, pruned, raw, data


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    with one_thread(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_file, "exported", exported_once)
        patch.setattr(parity, "DRAWS", 10)
        patch.setenv("VISIONMILL_TRACKING", "off")
        patch.setenv("VISIONMILL_THREADS", "1")
        yield


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A network that 8 bits suit, and the same network with a layer that they do not."""
    folder = tmp_path_factory.mktemp("line")
    model, structure = network()
    trained, raw, data, _ = labelled(folder, model, structure)
    with_a_layer_that_hurts(model)
    (folder / "hurting").mkdir()
    save_model(folder / "hurting", structure, model.state_dict())
    return trained, folder / "hurting", raw, data


def export(files: Files, target: str, out: Path, trained: Path | None = None, data: Path | None = None,
           **more: Any) -> dict[str, Any]:
    params = check(Params, {"parity": LOOSE, "calibration": {"pictures": 4}, **more}, "x")
    run(params, target=target, raw=files[2], data=data or files[3], trained=trained or files[0], pruned=files[1],
        out=out, run=out.parent / "run.json")
    return read_json(out / "export.json")


Told = tuple[Path, dict[str, Any], str]  # outputs, export.json, console


def told_by(folder: Path, files: Files, target: str, **more: Any) -> Told:
    with redirect_stdout(io.StringIO()) as said:
        found = export(files, target, folder / "out", **more)
    return folder / "out", found, said.getvalue()


@pytest.fixture(scope="module")
def mixed(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Told:
    return told_by(tmp_path_factory.mktemp("mixed"), files, "trt-int8", int8={"max_ap_loss": 0.05})


@pytest.fixture(scope="module")
def whole(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Told:
    asked = {"max_ap_loss": 0.05, "float_layers": "none"}
    return told_by(tmp_path_factory.mktemp("whole"), files, "cpu-int8", int8=asked)


def test_the_layer_that_hurts_stays_in_float_and_is_named(mixed: Told) -> None:
    out, said, console = mixed
    assert said["trained"]["float_layers"] == []
    assert said["pruned"]["float_layers"][0] == HURT
    assert HURT in json.loads(metadata_of(onnx.load(out / "pruned.onnx"))["float_layers"])
    assert said["pruned"]["tried"][0][1] > 0.05
    assert all(said[name]["admissible"] and not said[name]["reasons"] for name in ("trained", "pruned"))
    assert said["pruned"]["sensitivity"][0][0] == HURT
    assert "emulating" in said["trained"]["provider"] or "TensorRT" in said["trained"]["provider"]
    assert f"layers stay in float: {HURT}" in console
    assert sorted(x.name for x in out.iterdir()) == ["export.json", "pruned.onnx", "trained.onnx"]


def test_a_file_outside_its_budget_is_said_not_to_be_admissible(whole: Told) -> None:
    _, said, console = whole
    assert said["trained"]["admissible"]
    assert not said["pruned"]["admissible"]
    assert "of validation AP, 0.05 are allowed" in said["pruned"]["reasons"][0]
    assert said["pruned"]["float_layers"] == []
    assert "not admissible" in console
    assert "visionmill configure export.int8.qat_epochs=4" in console


def test_beyond_parity_the_stage_fails_and_leaves_nothing(files: Files, tmp_path: Path) -> None:
    with pytest.raises(GateRefused, match="pruned.onnx is not the model that was trained"):
        export(files, "cpu-int8", tmp_path / "out", int8={"float_layers": "none"},
               parity={**LOOSE, "int8_ap_loss": 0.05})
    assert not (tmp_path / "out").exists()
    assert [x.name for x in tmp_path.iterdir() if x.name.startswith(".out")] == []


def test_patterns_choose_the_layers_by_hand(files: Files, tmp_path: Path) -> None:
    said = export(files, "cpu-int8", tmp_path / "out", int8={"float_layers": ["head.*", HURT], "max_ap_loss": 1.0})
    assert said["trained"]["float_layers"] == said["pruned"]["float_layers"]
    assert said["trained"]["float_layers"][0] == HURT
    assert "head.regression.bbox_reg" in said["trained"]["float_layers"]


def test_a_pattern_that_names_no_layer_is_refused(files: Files, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="no layer is called 'neck"):
        export(files, "cpu-int8", tmp_path / "out", int8={"float_layers": ["neck.*"]})


def test_fine_tuning_is_taken_when_it_loses_less(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it ends with is for this file alone: the model folders stay as they are."""
    asked: list[dict[str, Any]] = []

    def tuned(model: Path, out: Path, *rest: Any, **more: Any) -> None:
        asked.append({"model": model, **more})
        shutil.copytree(files[0], out)  # as if it had learnt to live with 8 bits

    monkeypatch.setattr(qat, "tune", tuned)
    before = [(folder / "model.safetensors").read_bytes() for folder in files[:2]]
    said = export(files, "cpu-int8", tmp_path / "out",
                  int8={"float_layers": "none", "qat_epochs": 2, "max_ap_loss": 0.05})
    assert (said["trained"]["qat_epochs"], said["pruned"]["qat_epochs"]) == (0, 2)
    assert said["pruned"]["admissible"]
    assert [entry["model"] for entry in asked] == [files[1]]
    assert not asked[0]["symmetric"]
    assert [(folder / "model.safetensors").read_bytes() for folder in files[:2]] == before


def test_fine_tuning_that_does_not_help_changes_nothing(files: Files, whole: Told, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qat, "tune", lambda model, out, *rest, **more: shutil.copytree(files[1], out))
    said = export(files, "cpu-int8", tmp_path / "out",
                  int8={"float_layers": "none", "max_ap_loss": 0.05, "qat_epochs": 2})
    assert said["pruned"]["qat_epochs"] == 0
    assert not said["pruned"]["admissible"]
    assert (tmp_path / "out/pruned.onnx").read_bytes() == (whole[0] / "pruned.onnx").read_bytes()


def test_the_same_inputs_give_the_same_bytes(files: Files, mixed: Told, tmp_path: Path) -> None:
    export(files, "trt-int8", tmp_path / "out", int8={"max_ap_loss": 0.05})
    for file in ("trained.onnx", "pruned.onnx", "export.json"):
        assert (tmp_path / "out" / file).read_bytes() == (mixed[0] / file).read_bytes()


def test_a_full_disk_leaves_no_half_file(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, written = onnx_file.write_atomic, []

    def full(path: Path, content: bytes) -> None:
        written.append(path)
        if path.name == "pruned.onnx":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, content)

    monkeypatch.setattr(onnx_file, "write_atomic", full)
    with pytest.raises(OSError, match="No space left"):
        export(files, "cpu-fp32", tmp_path / "out")
    assert [path.name for path in written] == ["trained.onnx", "pruned.onnx"]
    assert [x.name for x in tmp_path.iterdir() if "out" in x.name] == []


def test_a_full_disk_keeps_what_was_there(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/export.json").write_text("before")

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(onnx_file, "write_atomic", full)
    with pytest.raises(OSError, match="No space left"):
        export(files, "cpu-int8", tmp_path / "out")
    assert (tmp_path / "out/export.json").read_text() == "before"


def test_fewer_pictures_than_asked_is_said(files: Files, whole: Told, tmp_path: Path,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    said = export(files, "cpu-int8", tmp_path / "out", calibration={"pictures": 500, "method": "percentile"},
                  int8={"max_ap_loss": 1.0})
    assert "calibrated with all 6 training pictures: 500 were asked for" in capsys.readouterr().out
    assert (said["calibration"]["pictures"], said["calibration"]["asked"]) == (6, 500)
    assert said["calibration"]["method"] == "percentile"
    assert whole[1]["calibration"]["hash"] != said["calibration"]["hash"]


def test_no_training_picture_is_an_error(files: Files, tmp_path: Path) -> None:
    dataset = read_dataset(files[3])
    write_dataset(tmp_path / "data", dataset.subset("val"))
    with pytest.raises(DataError, match="no training picture to calibrate with"):
        export(files, "cpu-int8", tmp_path / "out", data=tmp_path / "data")
    assert not (tmp_path / "out").exists()
    assert export(files, "cpu-fp32", tmp_path / "out", data=tmp_path / "data")["trained"]["admissible"]


def test_grey_pictures_calibrate(tmp_path: Path) -> None:
    model, structure = network()
    trained, raw, data, _ = labelled(tmp_path / "grey", model, structure, train=3, val=2, grey=True)
    said = export((trained, trained, raw, data), "cpu-int8", tmp_path / "out", int8={"max_ap_loss": 1.0})
    assert said["trained"]["val_AP"] is not None
    assert (tmp_path / "out/trained.onnx").read_bytes() == (tmp_path / "out/pruned.onnx").read_bytes()


@pytest.mark.parametrize(("torch_ap", "own", "precision", "reasons"), [
    (0.5, 0.495, "int8", 0), (0.5, 0.48, "int8", 1), (0.5, 0.6, "int8", 0), (None, None, "int8", 1),
    (None, None, "fp32", 0), (0.5, 0.4, "fp32", 0)])
def test_the_verdict_is_about_accuracy(torch_ap: float | None, own: float | None, precision: str, reasons: int) -> None:
    found = verdict({"val_AP_torch": torch_ap, "val_AP": own}, precision, 0.01)
    assert len(found["reasons"]) == reasons
    assert found["admissible"] == (not reasons)


def test_metrics_are_numbers() -> None:
    said = {"val_AP": 0.5, "float_layers": ["a", "b"], "tried": [[0, 0.1]], "sensitivity": [["a", 1.0]], "reasons": []}
    assert numbers(said) == {"val_AP": 0.5, "float_layers": 2}
