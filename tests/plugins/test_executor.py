from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest

from flows.commands import plugin
from tasks.base.errors import DataError, UserError, VisionmillError
from tasks.data.table import boxes_of
from tasks.plugins import monitor
from tasks.plugins.contract import INSIDE, env_of, load_yaml, write_yaml
from tasks.plugins.executor import serve
from tasks.plugins.folders import InFolder, Sample
from tasks.plugins.receiving import candidates, labelled, read_given
from tasks.plugins.results import Flaws, read_models
from tasks.plugins.tiny import tiny

CLASSES = ["cat", "dog"]
TRAINING: dict[str, Any] = {"epochs": 1, "batch_size": 2, "image_size": 64, "init": "scratch"}


def given(folder: Path, kinds: set[str], samples: list[Sample], form: str = "ark", models: list[Path] | None = None,
          inside: PurePosixPath = INSIDE[0], **config: Any) -> Path:
    """An input folder, as the container's /in; it is somewhere else here."""
    room = InFolder(folder / "in", inside, form, CLASSES)
    seen = room.models(models or [])
    if "train" in kinds:
        room.index("train-index.tsv", samples, labelled=True)
        room.index("val-index.tsv", samples[:2], labelled=True)
    else:
        room.index("candidate-index.tsv", samples, labelled=False)
    env = env_of("t1", kinds, inside, INSIDE[1])
    names = {"pretrained_model_params": seen} if "train" in kinds else {"model_params_path": seen}
    room.settings(env, {"class_names": CLASSES, "task_id": "t1", "gpu_id": "", **names, **config})
    return folder / "in"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a training."""
    folder = tmp_path_factory.mktemp("trained")
    given(folder, {"train"}, tiny(4, CLASSES), **TRAINING)
    assert plugin.main(["run", "--in", str(folder / "in"), "--out", str(folder / "out")]) == 0
    return folder / "out"


def test_a_training_leaves_what_ymir_reads(trained: Path) -> None:
    told = load_yaml(trained / "models/result.yaml")
    assert told["best_stage_name"] == "best" and 0 <= told["mAP"] <= 1
    stage = told["model_stages"]["best"]
    assert stage["files"] == ["model.json", "model.safetensors"] and stage["mAP"] == told["mAP"]
    flaws = Flaws()
    made = read_models(trained / "models/result.yaml", trained / "models", flaws)
    assert made is not None and flaws.count == 0 and [path.parent.name for path in made.chosen.files] == ["best"] * 2
    record = monitor.read(trained / "monitor.txt")
    assert isinstance(record, monitor.Record) and (record.task, record.share, record.state) == ("t1", 1, monitor.DONE)


def test_what_was_trained_ranks_finds_and_learns_on(trained: Path, tmp_path: Path) -> None:
    folder = given(tmp_path, {"mine", "infer"}, tiny(3, CLASSES), models=[trained / "models/best"], confidence=0.01)
    assert serve(folder, tmp_path / "out") == 0
    rows = [line.split("\t") for line in (tmp_path / "out/result.tsv").read_text().splitlines()]
    scores = [float(score) for _, score in rows]
    assert len(rows) == 3 and scores == sorted(scores, reverse=True)
    assert {path for path, _ in rows} == {seen for seen, _ in candidates(read_given(folder, tmp_path / "out"))}
    told = json.loads((tmp_path / "out/infer-result.json").read_text())["detection"]
    assert set(told) == {PurePosixPath(path).name for path, _ in rows}
    again = given(tmp_path / "again", {"train"}, tiny(4, CLASSES), models=[trained / "models/best"], **TRAINING)
    assert serve(again, tmp_path / "again/out") == 0


def test_a_file_of_onnx_finds_boxes(quarters: Path, tmp_path: Path) -> None:
    from tasks.runtime.detector import open_detector

    detector = open_detector(quarters)
    samples = tiny(2, CLASSES)
    folder = given(tmp_path, {"infer"}, samples, models=[quarters])
    config = load_yaml(folder / "config.yaml")
    write_yaml(folder / "config.yaml", config | {"class_names": [*detector.classes[:1], "another"]})
    serve(folder, tmp_path / "out")
    told = json.loads((tmp_path / "out/infer-result.json").read_text())["detection"]
    for one in samples:
        assert isinstance(one.source, np.ndarray)
        expected = detector.predict([one.source])[0]
        boxes = [list(box["box"].values()) for box in told[f"{one.key}.png"]["boxes"]]
        xyxy = expected.boxes[expected.class_ids == 0]
        assert np.allclose(np.array(boxes).reshape(-1, 4), np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], 1),
                           atol=1e-3)
        assert {box["class_name"] for box in told[f"{one.key}.png"]["boxes"]} <= {detector.classes[0]}


@pytest.mark.parametrize("form", ["ark", "voc", "coco"])
@pytest.mark.parametrize("real", [False, True])
def test_labels_come_back_as_they_were_given(tmp_path: Path, form: str, real: bool) -> None:
    samples = tiny(5, CLASSES)
    inside = PurePosixPath(tmp_path.resolve() / "in") if real else INSIDE[0]
    folder = given(tmp_path, {"train"}, samples, form, inside=inside)
    dataset = labelled(read_given(folder, tmp_path / "out"))
    assert dataset.images["split"].to_pylist() == ["train"] * 5 + ["val"] * 2
    found = boxes_of(dataset)
    for number, one in enumerate([*samples, *samples[:2]]):
        order = np.lexsort(found[number][0].T)
        expected = np.lexsort(one.boxes.T)
        assert np.array_equal(found[number][0][order], one.boxes[expected].astype(np.float32))
        assert np.array_equal(found[number][1][order], one.labels[expected])


def nothing(folder: Path) -> None:
    (folder / "env.yaml").unlink()


def edit(name: str, **values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        write_yaml(folder / name, load_yaml(folder / name) | values)

    return change


def spoil(pattern: str, content: bytes | None) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = next(path for path in sorted(folder.rglob(pattern)) if path.is_file())
        path.unlink() if content is None else path.write_bytes(content)

    return change


@pytest.mark.parametrize(("change", "code", "words"), [
    (nothing, monitor.CONFIG, "there is no env.yaml"),
    (spoil("env.yaml", b"{:"), monitor.CONFIG, "not YAML"),
    (spoil("env.yaml", b"run_infer: false\n"), monitor.CONFIG, "asks for nothing"),
    (spoil("config.yaml", None), monitor.CONFIG, "there is no config.yaml"),
    (edit("config.yaml", class_names=[]), monitor.CONFIG, "no list of names"),
    (edit("config.yaml", class_names=["a", "a"]), monitor.CONFIG, "a class twice"),
    (edit("config.yaml", confidence=7), monitor.CONFIG, "confidence"),
    (edit("config.yaml", strategy="guess"), monitor.CONFIG, "neither entropy nor margin"),
    (edit("config.yaml", model_params_path=["/in/../secret.onnx"]), monitor.MODEL, "is not below /in"),
    (edit("config.yaml", model_params_path=[]), monitor.MODEL, "has 0 models"),
    (edit("config.yaml", class_names=["cow"]), monitor.MODEL, "none of these classes"),
    (spoil("*.onnx", b"rubbish"), monitor.MODEL, ""),
    (spoil("candidate-index.tsv", None), monitor.DATA, "no index file"),
    (spoil("candidate-index.tsv", b"/etc/passwd\n"), monitor.DATA, "is not below /in"),
    (spoil("*.png", b"rubbish"), monitor.PICTURE, "picture is unreadable")])
def test_what_is_wrong_stands_in_the_monitor_file(quarters: Path, tmp_path: Path, change: Callable[[Path], None],
                                                  code: int, words: str) -> None:
    from tasks.runtime.detector import open_detector

    folder = given(tmp_path, {"infer", "mine"}, tiny(2, CLASSES), models=[quarters])
    edit("config.yaml", class_names=open_detector(quarters).classes)(folder)
    change(folder)
    with pytest.raises(VisionmillError) as raised:
        serve(folder, tmp_path / "out")
    record = monitor.read(tmp_path / "out/monitor.txt")
    assert isinstance(record, monitor.Record) and record.failed and record.code == code
    assert words in record.message and words in str(raised.value)
    assert not list((tmp_path / "out").glob("*result*"))


@pytest.mark.parametrize(("form", "pattern", "content"), [
    ("ark", "annotations/**/*.txt", b"7, 1, 2, 3, 4, -1, 0\n"), ("ark", "annotations/**/*.txt", b"0, a, b\n"),
    ("ark", "annotations/**/*.txt", b"0, nan, 2, 3, 4\n"), ("ark", "annotations/**/*.txt", None),
    ("voc", "annotations/**/*.xml", b"<!DOCTYPE a [<!ENTITY b 'c'>]><annotation>&b;</annotation>"),
    ("voc", "annotations/**/*.xml", b"<annotation><object><name>cow</name></object></annotation>"),
    ("coco", "annotations/*.json", b"[1]"), ("coco", "annotations/*.json", b"[" * 100_000)])
def test_labels_that_cannot_be_read_are_refused(tmp_path: Path, form: str, pattern: str, content: bytes | None) -> None:
    folder = given(tmp_path, {"train"}, tiny(2, CLASSES), form)
    spoil(pattern, content)(folder)
    with pytest.raises(DataError):
        labelled(read_given(folder, tmp_path / "out"))


def test_what_is_to_be_run_must_be_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="what is to be run"):
        plugin.main(["run", "good", "--out", str(tmp_path / "out")])
    with pytest.raises(UserError, match="takes no plug-in"):
        plugin.main(["run", "good", "--in", str(tmp_path), "--out", str(tmp_path / "out")])
