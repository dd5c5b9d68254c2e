"""The stage `report`: its parameters, its output, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks import report
from tasks.base import params
from tasks.base.errors import DataError, ParamsError
from tests.reporting.workspace import make


def test_parameters_are_checked() -> None:
    with pytest.raises(ParamsError, match="did you mean 'samples'"):
        params.check(report.Params, {"sample": 3}, "params.yaml: report")
    with pytest.raises(ParamsError, match="score_threshold"):
        params.check(report.Params, {"score_threshold": 2}, "params.yaml: report")


def test_one_file_is_written_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = make(tmp_path, ["a", "b"])
    report.run(report.Params(samples=1, mistakes=1, comparisons=1), **workspace.paths)
    assert [file.name for file in workspace.paths["out"].iterdir()] == ["index.html"]
    assert "index.html: " in capsys.readouterr().out


def test_the_old_page_stays_when_the_data_is_gone(tmp_path: Path) -> None:
    workspace = make(tmp_path, ["a", "b"])
    report.run(report.Params(samples=1, mistakes=1, comparisons=1), **workspace.paths)
    before = workspace.page
    (workspace.paths["data"] / "dataset.json").unlink()
    with pytest.raises(DataError, match="not a dataset folder"):
        report.run(report.Params(), **workspace.paths)
    assert workspace.page == before


def test_same_inputs_give_the_same_page(tmp_path: Path) -> None:
    pages = []
    for name in ("one", "two"):
        workspace = make(tmp_path / name, ["a", "b"])
        report.run(report.Params(samples=1, mistakes=2, comparisons=1), **workspace.paths)
        pages.append(workspace.page)
    assert pages[0] == pages[1]
