"""The card in headless Chromium: no console error, no empty figure, nothing too wide, a draw that draws."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .browser import Seen, chromium, look
from .test_card import detection
from .test_card_page import build, hostile, near, pairs, segmented, semantic

# clicks and tells what it saw as faults, which is what the probe reads
CLICK = """<script>addEventListener('load', () => {
  const shown = () => [...document.querySelectorAll('#drawn img')].map(image => image.alt);
  const before = shown().join(), button = document.querySelector('button.draw');
  if (!button.offsetWidth) faults.push('the button is not there');
  let changed = 0;
  for (let i = 0; i < 8; i++) { button.click(); changed += shown().join() !== before; }
  if (!changed) faults.push('the draw changed nothing');
  if (shown().length !== before.split(',').length) faults.push('another number of pictures');
  if (new Set(shown()).size !== shown().length) faults.push('a picture twice');
  if (document.querySelector('#drawn svg title')) faults.push('a drawn picture kept the plain tooltips');
  const split = document.querySelector('select[data-by=split]');
  split.value = '1'; split.dispatchEvent(new Event('change'));
  const told = [...document.querySelectorAll('#drawn > div')].map(shot => shot.dataset.split);
  if (!told.length || told.some(one => one !== '1')) faults.push('another split: ' + told);
});</script>"""


def opened(root: Path, made: Callable[[Path], tuple[Path, Path]], width: int, **more: object) -> Seen:
    chromium()
    return look(build(*made(root / "data"), **more), root, width=width)


def sound(seen: Seen) -> bool:
    assert seen.faults == []
    assert seen.console == []
    assert seen.empty == []
    assert seen.wide <= seen.inner
    assert seen.scripts == 3  # the page's own, the listener, the probe
    return True


@pytest.mark.parametrize(
    ("made", "width", "plots"), [(hostile, 500, 8), (segmented, 1400, 8), (pairs, 500, 6), (semantic, 1400, 4)])
def test_page_opens_without_fault(tmp_path: Path, made: Callable[[Path], tuple[Path, Path]], width: int,
                                  plots: int) -> None:
    seen = opened(tmp_path, made, width)
    assert sound(seen)
    assert seen.plots >= plots
    assert seen.images >= 2


def test_comparison_opens_without_fault_and_the_button_draws_again(tmp_path: Path) -> None:
    chromium()
    folder, pictures = detection(tmp_path / "data", 12)
    other = detection(tmp_path / "other", 6, ["dog", "mouse"], name="before")
    text = build(folder, pictures, against=other, near=near(tmp_path / "near", [(0, 1, 0.97), (2, 5, 0.96)]), samples=3)
    seen = look(text.replace("</body>", CLICK + "</body>"), tmp_path, width=1400)
    assert seen.scripts == 4
    seen.scripts = 3
    assert sound(seen)
    assert seen.tips > 50
    assert seen.boxes > 20


def test_the_click_sees_a_button_that_does_nothing(tmp_path: Path) -> None:
    chromium()
    text = build(*detection(tmp_path / "data", 12), samples=3).replace("addEventListener('click', draw)", "click()")
    seen = look(text.replace("</body>", CLICK + "</body>"), tmp_path)
    assert "the draw changed nothing" in seen.faults
