"""Charts as pure functions: what is drawn, and what is said when there is nothing to draw."""

from __future__ import annotations

import math
import re

import pytest

from tasks.reporting.charts import Bars, Dot, Line, bar, line, scatter
from tasks.reporting.heatmap import heatmap
from tasks.reporting.markup import element, escape, plain, shorten
from tasks.reporting.scale import fitting, linear, logarithmic, round_step, tick_text


@pytest.mark.parametrize(
    "drawn",
    [
        line([], title="t", x="x", y="y", missing="no <curve>"),
        line([Line("a", [], [])], title="t", x="x", y="y", missing="no <curve>"),
        line([Line("a", [1.0], [None])], title="t", x="x", y="y", missing="no <curve>"),
        line([Line("a", [1.0], [math.nan])], title="t", x="x", y="y", missing="no <curve>"),
        bar([], [], title="t", x="x", missing="no <curve>"),
        bar(["a"], [Bars("s", [None])], title="t", x="x", missing="no <curve>"),
        scatter([], title="t", x="x", y="y", missing="no <curve>"),
        heatmap([[0, 0], [0, 0]], ["a", "b"], ["a", "b"], title="t", x="x", y="y", missing="no <curve>"),
    ],
)
def test_nothing_to_draw_is_said(drawn: str) -> None:
    assert "<svg" not in drawn
    assert '<p class="none">no &lt;curve&gt;</p>' in drawn


def test_line_breaks_at_a_missing_value() -> None:
    drawn = line([Line("a", [1, 2, 3, 4], [0.1, None, 0.3, 0.4])], title="t", x="Epoch", y="AP")
    path = re.search(r' d="([^"]+)"', drawn)
    assert path is not None
    assert path.group(1).count("M") == 2
    assert "a\nEpoch 3\nAP 0.300" in drawn


def test_single_point_is_a_dot() -> None:
    drawn = line([Line("a", [1], [0.5])], title="t", x="Epoch", y="AP")
    assert drawn.count("<circle") == 1


def test_legend_only_for_more_than_one_series() -> None:
    one, two = Line("one", [0, 1], [0, 1]), Line("two", [0, 1], [1, 0], 1)
    assert "legend" not in line([one], title="t", x="x", y="y")
    assert "legend" in line([one, two], title="t", x="x", y="y")


def test_bar_without_value_is_na_and_not_zero() -> None:
    drawn = bar(["a", "b"], [Bars("s", [0.5, None])], title="t", x="x")
    assert drawn.count("<rect") == 1
    assert ">n/a</text>" in drawn


def test_zero_is_a_number_without_a_bar() -> None:
    drawn = bar(["a", "b"], [Bars("s", [2.0, 0.0])], title="t", x="x")
    assert drawn.count("<rect") == 1
    assert ">0</text>" in drawn


def test_area_of_a_dot_follows_its_size() -> None:
    dots = [Dot(1, 0.5, 100, "a", "a", 0), Dot(2, 0.6, 25, "b", "b", 1)]
    radii = [float(r) for r in re.findall(r' r="([\d.]+)"', scatter(dots, title="t", x="x", y="y"))]
    assert (radii[0] - 4) / (radii[1] - 4) == pytest.approx(2, rel=0.01)


def test_cells_are_shares_of_their_row() -> None:
    drawn = heatmap([[3, 1], [0, 2]], ["a", "b"], ["a", "b"], title="t", x="Detected", y="Labelled")
    assert drawn.count('class="cell"') == 3
    assert "Labelled a\nDetected b: 1 (25 %)" in drawn


@pytest.mark.parametrize(
    ("values", "ticks"),
    [([], (0, 0.2, 0.4, 0.6, 0.8, 1)), ([0, 10], (0, 2, 4, 6, 8, 10)), ([5, 5], None), ([0, 0], None), ([-3, 4], None)],
)
def test_linear_scale_holds_its_values(values: list[float], ticks: tuple[float, ...] | None) -> None:
    scale = linear(values, 0, 100)
    assert all(0 <= scale(v) <= 100 for v in values)
    assert len(scale.ticks) >= 2
    if ticks is not None:
        assert scale.ticks == pytest.approx(ticks)


def test_logarithmic_scale_has_round_ticks() -> None:
    assert logarithmic([2, 80], 0, 100).ticks == (2, 5, 10, 20, 50, 100)
    assert logarithmic([1, 1e6], 0, 100).ticks == pytest.approx((1, 10, 100, 1e3, 1e4, 1e5, 1e6))
    assert fitting([1, 100], 0, 1).log
    assert not fitting([1, 2], 0, 1).log


@pytest.mark.parametrize(("raw", "step"), [(0.19, 0.2), (2.1, 2.5), (7, 10), (0, 1), (-1, 1)])
def test_round_step(raw: float, step: float) -> None:
    assert round_step(raw) == pytest.approx(step)


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [(0.25, 0.25, "0.25"), (2, 1, "2"), (0.5, 0.1, "0.5"), (-1, 1, "\u22121"), (20000, 5000, "20 k")],
)
def test_tick_text(value: float, step: float, text: str) -> None:
    assert tick_text(value, step) == text


def test_markup_escapes_text_and_attributes() -> None:
    made = element("a", "<b>", title='"x"', data_tip="&", hidden=True, lang=None)
    assert made == '<a title="&quot;x&quot;" data-tip="&amp;" hidden>&lt;b&gt;</a>'
    assert escape(made) is made


def test_text_is_made_printable() -> None:
    assert plain("a\x00b\u202ec\ud800") == "a\ufffdb\ufffdc?"
    assert shorten("a" * 30, 10) == "aaaaaaaaa…"
    assert shorten("abcdef", 4, keep_end=True) == "…def"
    assert shorten("  ", 20) == "(no name)"
