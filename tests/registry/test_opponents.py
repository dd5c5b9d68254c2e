"""The champion measured again: on a changed test set, with other classes, when its file is gone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.base.errors import UserError
from tasks.base.files import read_json, write_json
from tasks.data.table import Dataset, read_dataset, write_dataset
from tasks.metrics.testset import digest_testset
from tasks.registry import store, versions
from tasks.registry.gates.gate import GateReport, Rule
from tasks.registry.register import register
from tasks.registry.versions import resolve_model

from .cases import CLASSES, PICTURES, found_by, tiny_onnx, write_line

Make = Callable[..., Path]


def rule(report: GateReport, name: str) -> Rule:
    return next(one for one in report.rules if one.name == name)


def change_test_set(workspace: Path, kept: int) -> None:
    """Today's test set has the darkest pictures alone, and the line was evaluated on it."""
    dataset = read_dataset(workspace / "data/split")
    fewer = Dataset(dataset.images.slice(0, kept), dataset.annotations.slice(0, kept), dataset.meta)
    write_dataset(workspace / "data/split", fewer)
    metrics = workspace / "results/evaluate/metrics.json"
    write_json(metrics, {**read_json(metrics), "test_hash": digest_testset(fewer), "images": kept})


def test_the_champion_is_run_over_the_changed_test_set(make_workspace: Make) -> None:
    """Its tags say 0.5, and on the darkest 32 pictures of today it finds the 13 brightest."""
    workspace = make_workspace()
    register(workspace)
    write_line(workspace, ap=0.3)
    change_test_set(workspace, 32)
    seen = found_by(0.3).filter(found_by(0.3)["image_id"].to_numpy() < 32)
    from tasks.metrics.detections import write_detections

    for file in (workspace / "results/evaluate/detections").glob("*.parquet"):
        write_detections(file, seen)
    second = register(workspace)
    told = rule(second.gate, "AP50 against the champion")
    assert told.verdict == "fail" and told.numbers["champion"] == pytest.approx(13 / 32, abs=0.05), told.reason
    assert told.numbers["value"] == pytest.approx(5 / 32, abs=0.05)
    assert second.aliases == ["candidate"]


def test_the_same_answers_are_not_computed_twice(make_workspace: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_workspace()
    register(workspace)
    write_line(workspace, ap=0.3)
    register(workspace)
    monkeypatch.setattr("tasks.registry.gates.answers._ask", lambda *_: pytest.fail("asked again"))
    write_line(workspace, ap=0.35)
    told = rule(register(workspace).gate, "AP against the champion")
    assert told.numbers["champion"] == pytest.approx(0.5, abs=0.05)


def test_a_champion_that_lacks_a_class_and_knows_another(make_workspace: Make) -> None:
    workspace = make_workspace()
    first = register(workspace)
    tiny_onnx(resolve_model(first.uri, workspace=workspace), finds=1.0, classes=["triangle", CLASSES[1]])
    write_line(workspace, ap=0.6)
    told = rule(register(workspace).gate, "AP50 against the champion")
    # all of `square` and none of `round`
    assert told.numbers["champion"] == pytest.approx(0.5, abs=0.05), told.reason


@pytest.mark.parametrize("harm", ["cut off", "gone"])
def test_a_champion_that_cannot_be_asked_leaves_it_to_the_floors(make_workspace: Make, harm: str) -> None:
    workspace = make_workspace()
    file = resolve_model(register(workspace).uri, workspace=workspace)
    file.write_bytes(file.read_bytes()[:200]) if harm == "cut off" else file.unlink()
    write_line(workspace, ap=0.3)
    second = register(workspace)
    told = rule(second.gate, "AP against the champion")
    assert told.verdict == "not applicable" and "version 1 could not be measured" in told.reason
    assert rule(second.gate, "AP floor").verdict == "pass" and second.gate.passed
    write_line(workspace, ap=0.2)
    store.client(workspace).set_registered_model_alias("cells", "champion", "1")
    third = register(workspace)
    assert rule(third.gate, "AP floor").verdict == "fail" and third.aliases == ["candidate"]


def test_a_store_that_is_away_is_no_unreadable_champion(make_workspace: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_workspace()
    register(workspace)
    write_line(workspace, ap=0.3)

    def away(*_: Any, **__: Any) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        raise UserError("the version's files cannot be fetched")

    monkeypatch.setattr("tasks.registry.gates.answers.resolve_model", away)
    with pytest.raises(UserError, match="cannot be reached"):
        register(workspace)


@pytest.mark.parametrize(("harm", "words"), [
    ("split", r"data/split is not in this workspace \(dvc pull\)"),
    ("detections", "results/evaluate/detections is missing"),
    ("other", "data/split is not the one that was evaluated")])
def test_without_the_test_set_the_floors_decide(make_workspace: Make, harm: str, words: str,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    workspace = make_workspace()
    register(workspace)
    write_line(workspace, ap=0.3)
    if harm == "split":
        (workspace / "data/split/dataset.json").unlink()
    elif harm == "detections":
        (workspace / "results/evaluate/detections").rename(workspace / "gone")
    else:
        dataset = read_dataset(workspace / "data/split")
        write_dataset(workspace / "data/split", Dataset(dataset.images.slice(1), dataset.annotations, dataset.meta))
    second = register(workspace)
    assert re.search(words, rule(second.gate, "AP against the champion").reason)
    assert "no smoke test" in capsys.readouterr().err


def test_what_a_person_accepted_is_the_new_level(make_workspace: Make) -> None:
    """Version 2 is refused and promoted by hand; what version 3 has lost is counted from there."""
    workspace = make_workspace()
    register(workspace)
    write_line(workspace, ap=0.4)
    second = register(workspace)
    assert not second.gate.passed
    assert rule(second.gate, "AP since the best champion").numbers["slide"] == pytest.approx(0.1, abs=0.02)
    store.client(workspace).set_registered_model_alias("cells", "champion", "2")
    write_line(workspace, ap=0.41)
    third = register(workspace)
    assert third.gate.passed and rule(third.gate, "AP since the best champion").numbers["before"] == 0.0
    tags = store.client(workspace).get_model_version("cells", "3").tags
    assert tags["visionmill.AP_slide"] == "0" and tags["visionmill.gate_champion"] == "2"


def test_smoke_pictures_and_results_travel_with_the_version(make_workspace: Make) -> None:
    from tasks.runtime.detector import open_detector

    workspace = make_workspace()
    first = register(workspace)
    folder = resolve_model(first.uri, "all", workspace)
    kept = {file.name for file in (folder / "evaluation").iterdir()}
    assert kept == {"metrics.json", "benchmark.json", "export.json", "gate.json", "detections.parquet", "truth"}
    assert read_json(folder / "evaluation/gate.json") == json.loads(json.dumps(first.gate.to_dict()))
    assert read_dataset(folder / "evaluation/truth").images.num_rows == PICTURES
    told = read_json(folder / "smoke/answers.json")
    assert len(told["pictures"]) == 4 and told["classes"] == CLASSES and told["artefact"] == first.gate.artefact
    from tasks.data.pictures import read_picture

    detector = open_detector(resolve_model(first.uri, workspace=workspace), threads=1)
    for one in told["pictures"]:
        pixels = read_picture(folder / "smoke" / one["file"])
        assert pixels.shape == (one["height"], one["width"], 3)
        found = detector.predict([pixels], score_threshold=told["score_threshold"])[0]
        assert (one["boxes"], one["scores"]) == (found.boxes.tolist(), found.scores.tolist())


def test_no_picture_and_no_box_leaves_when_none_is_allowed(make_workspace: Make,
                                                           capsys: pytest.CaptureFixture[str]) -> None:
    workspace = make_workspace()
    params = workspace / "params.yaml"
    params.write_text(params.read_text() + "  smoke_pictures: 0\n")
    folder = resolve_model(register(workspace).uri, "all", workspace)
    assert not (folder / "smoke").exists() and not (folder / "evaluation/truth").exists()
    assert (folder / "evaluation/detections.parquet").is_file() and "smoke" not in capsys.readouterr().err


def test_large_pictures_become_small_ones_without_exif(tmp_path: Path) -> None:
    import io

    import numpy as np
    from PIL import Image

    from tasks.registry.smoke import MOST_BYTES, small_pictures
    from tests.metrics.conftest import dataset_of

    dataset = dataset_of(["a"], 8, [(i, 0, 1, 1, 2, 2) for i in range(8)])
    noise = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x010E] = "a secret place"
    for image in range(8):
        Image.fromarray(noise).save(tmp_path / f"{image}.jpg", quality=30, exif=exif)
    made = small_pictures(dataset, tmp_path, 8, 640)
    assert len(made) == 8 and sum(map(len, made)) <= MOST_BYTES
    for content in made:
        picture = Image.open(io.BytesIO(content))
        assert max(picture.size) <= 640 and not picture.getexif() and b"secret" not in content


def test_people_are_told_once(make_workspace: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[Any, ...]] = []
    monkeypatch.setattr("tasks.notify.tell", lambda event, subject, text, *, facts, workspace: told.append(
        (event, subject, text, facts)))
    workspace = make_workspace()
    register(workspace)
    register(workspace)
    write_line(workspace, ap=0.3)
    register(workspace)
    told = [one for one in told if one[0] != "promoted"]
    assert [(event, subject) for event, subject, *_ in told] == [
        ("registered", "cells version 1 passes the gate default"),
        ("refused", "cells version 2 is refused by the gate default")]
    assert "AP against the champion: " in told[1][2] and told[1][3]["failed"][0] == "AP against the champion"
    assert json.dumps(told[1][3])


def test_a_registration_that_breaks_off_says_how_it_goes_on(make_workspace: Make,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_workspace()

    def gone(*_: Any, **__: Any) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        from mlflow.exceptions import MlflowException

        raise MlflowException("connection lost")

    with monkeypatch.context() as patch:
        patch.setattr("mlflow.MlflowClient.create_model_version", gone)
        with pytest.raises(UserError, match="`visionmill register` goes on from there: nothing is lost"):
            register(workspace)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert versions.last_version(workspace=workspace) is None
    assert register(workspace).aliases == ["candidate", "champion"]


@pytest.mark.parametrize("where", ["log_model_artifacts", "create_model_version", "set_model_version_tag",
                                   "log_artifacts", "set_registered_model_alias"])
def test_killed_anywhere_it_ends_right_after_a_plain_rerun(make_workspace: Make, monkeypatch: pytest.MonkeyPatch,
                                                          where: str) -> None:
    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    workspace = make_workspace()
    with monkeypatch.context() as patch:
        patch.setattr(f"mlflow.MlflowClient.{where}", die)
        with pytest.raises(Killed):
            register(workspace)
    done = register(workspace)
    assert (done.version, done.aliases, done.gate.passed) == ("1", ["candidate", "champion"], True)
    assert (resolve_model(done.uri, "all", workspace) / "smoke/answers.json").is_file()
    found = store.client(workspace).search_model_versions("name = 'cells'")
    assert len(found) == 1


def test_a_champion_whose_run_was_deleted_is_still_measured(make_workspace: Make) -> None:
    workspace = make_workspace()
    first = register(workspace)
    store.client(workspace).delete_run(first.run_id)
    write_line(workspace, ap=0.6)
    second = register(workspace)
    assert rule(second.gate, "AP against the champion").verdict == "pass"
    assert second.aliases == ["candidate", "champion"]
