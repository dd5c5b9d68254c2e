"""The page of the rounds: what it has, that data cannot break it, and that a browser draws all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.data.store.layout import Store
from tasks.improving import state as journal
from tasks.improving.rounds import Loop
from tasks.improving.state import CONTROL, MAIN
from tasks.reporting.improve import picked
from tasks.reporting.improve.curves import curve, points_of
from tasks.reporting.improve.page import build_page, write_page
from tests.reporting.browser import look

from .loops import Shapes, with_oracle


def test_the_page_says_what_each_round_did_and_brought(done: Loop) -> None:
    page = build_page(done.state, done.store)
    for text in ("Rounds of it", "Round 1", "Round 2", "picked by entropy", "Control: picked by random", "AP50 against "
                 "boxes", "What each box needed", "Against the control", "it-set@2", "bar", "square"):
        assert text in page, text
    assert page.count("<img") == 2 * 2 * 4 and "whisker" in page


def test_points_have_their_cost_and_interval(done: Loop) -> None:
    for arm in (MAIN, CONTROL):
        points = points_of(done.state, arm, "AP50", "boxes")
        assert [point.round for point in points] == [0, 1, 2] and [point.cost for point in points] == [0, 8, 16]
        assert all(point.low <= point.value <= point.high for point in points)  # type: ignore[operator]
    assert points_of(done.state, MAIN, "AP50", "clicks", "bar")[0].cost == 0


def test_rounds_that_have_only_begun_have_a_page(shapes: Shapes, workspace: Path) -> None:
    loop = with_oracle(shapes, workspace)
    page = build_page(loop.state, loop.store)
    assert "Nothing was measured" in page and "Nothing was done yet" in page


def test_a_curve_without_a_point_is_an_empty_state() -> None:
    assert "Nothing was measured" in curve([(MAIN, [])], title="AP50", x="boxes", y="AP50")


def test_what_stands_in_the_journal_cannot_break_the_page(done: Loop) -> None:
    state = done.state
    evil = "</script><script>alert(1)</script>"
    state.entries[0].said = evil
    state.waiting = evil
    state.out(1, "mine")["notes"].append(evil)
    assert evil not in build_page(state, done.store)


def test_pictures_that_are_gone_are_told(done: Loop, tmp_path: Path) -> None:
    assert "The pictures cannot be shown" in build_page(done.state, Store(tmp_path))


def test_picked_pictures_show_the_boxes_that_people_are_given(done: Loop) -> None:
    shots, names, colours = picked._shots(done.store.find("it-set"), done.store, 100_000)
    assert len(shots) == picked.SHOWN and names == ["bar", "square"] and colours == [0, 1]
    assert all(shot.count('class="under"') == 2 and "2 boxes" in shot for shot in shots)


@pytest.mark.parametrize("width", [1400, 500])
def test_a_browser_draws_all_of_it(done: Loop, tmp_path: Path, width: int) -> None:
    state = done.state
    write_page(tmp_path / "rounds.html", state, done.store, tmp_path)
    seen = look((tmp_path / "rounds.html").read_text(), tmp_path, width=width)
    assert not seen.faults and not seen.empty and not seen.console
    assert seen.wide <= seen.inner and seen.images == 16 and seen.plots
    assert journal.STEPS[0] in (tmp_path / "rounds.html").read_text()
