"""`visionmill drift`: exit codes, files, and what a terminal shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flows.commands import drift
from tasks.base.errors import UserError
from tests.drift.pictures import write_dataset, write_pictures


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a split, and beside it pictures that are much brighter."""
    folder = tmp_path / "line"
    write_dataset(folder / "data/split", folder / "data/raw", 60, np.random.default_rng(0))
    write_pictures(tmp_path / "new", 40, np.random.default_rng(1), light=60)
    (folder / ".dvc").mkdir()
    for name in ("dvc.yaml", "params.yaml"):
        (folder / name).write_text("{}\n")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "VISIONMILL_SITE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VISIONMILL_TRACKING", "off")
    monkeypatch.chdir(folder)
    return folder


def test_drift_is_no_error_unless_it_is_asked_for(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert drift.main(["../new", "--html", "page/drift.html", "--json", "drift.json"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Drift: ") and "brightness is higher" in said and "page: page/drift.html" in said
    assert json.loads(Path("drift.json").read_text())["verdict"] == "drift"
    assert Path("page/drift.html").read_text().startswith("<!doctype html>")
    assert drift.main(["../new", "--fail"]) == 3
    assert not (workspace / "mlflow.db").exists()


def test_no_drift_is_0_with_fail(workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "none").mkdir()
    assert drift.main(["../none", "--fail"]) == 0
    assert "Too few to tell: the folder has no pictures" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "said"), [(["../new", "--false-alarm", "0.9"], "between 0 and 0.5"),
                                             (["../nowhere"], "no folder of pictures"),
                                             (["../new", "--model", "gone.onnx"], "no such model"),
                                             (["../new", "--reference", "cells@7"], "cells")])
def test_wrong_words_are_the_users(workspace: Path, words: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        drift.main(words)


def test_the_site_says_the_rate(workspace: Path, make_site: Callable[[str], None]) -> None:
    make_site("retrain: {false_alarm: 0.2}\n")
    drift.main(["../new", "--json", "drift.json"])
    assert json.loads(Path("drift.json").read_text())["false_alarm"] == 0.2


@pytest.fixture
def make_site(workspace: Path) -> Callable[[str], None]:
    def make(text: str) -> None:
        (workspace / "conf/site").mkdir(parents=True)
        (workspace / "conf/site/local.yaml").write_text(text)

    return make
