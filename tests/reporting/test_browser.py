"""The page in headless Chromium: no console error, no empty figure, nothing wider than the screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks import report

from .browser import Seen, chromium, look
from .test_page import HOSTILE
from .workspace import make

CASES = {
    "three classes": {"classes": ["Platelets", "RBC", "WBC"]},
    "one class": {"classes": ["cell"], "pictures": 3},
    "hostile names": {"classes": HOSTILE},
    "eighty classes, most unseen": {"classes": [f"class {i}" for i in range(80)], "unseen": tuple(range(40, 80))},
}


def opened(folder: Path, case: str, width: int) -> Seen:
    chromium()
    workspace = make(folder / "workspace", **CASES[case])
    report.run(report.Params(samples=2, mistakes=6, comparisons=2), **workspace.paths)
    return look(workspace.page, folder, width=width)


@pytest.mark.parametrize(
    ("case", "width"),
    [("three classes", 1400), ("one class", 500), ("hostile names", 500), ("eighty classes, most unseen", 1400)],
)
def test_page_opens_without_fault(tmp_path: Path, case: str, width: int) -> None:
    seen = opened(tmp_path, case, width)
    assert seen.faults == []
    assert seen.console == []
    assert seen.empty == []
    assert seen.wide <= seen.inner
    assert seen.scripts == 3  # the page's own, the listener, the probe
    assert seen.plots >= 10
    assert seen.images >= 8
    assert seen.tips > 50
    assert 0 < seen.hidden < seen.boxes


def test_the_probe_sees_an_empty_figure_and_a_fault(tmp_path: Path) -> None:
    page = (
        '<!doctype html><html><head></head><body><svg class="plot" aria-label="x"></svg>'
        '<script>throw Error("broken")</script></body></html>'
    )
    seen = look(page, tmp_path)
    assert seen.empty == ["svg x"]
    assert "broken" in seen.faults[0]
    assert "broken" in seen.console[0]
