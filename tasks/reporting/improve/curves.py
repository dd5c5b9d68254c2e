"""Accuracy against what it cost, a line an arm, with the 95 % interval of each point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.improving.state import CONTROL, MAIN, State
from tasks.improving.telling import cost
from tasks.reporting import frame, words
from tasks.reporting.frame import Area, Key
from tasks.reporting.markup import Markup, element, number
from tasks.reporting.scale import Scale, linear

COLOURS = {MAIN: 0, CONTROL: 1}
NAMES = {MAIN: "picked", CONTROL: "control: at random"}
CAP = 3.5  # half the width of an interval's ends


@dataclass(frozen=True)
class Point:
    """One round of an arm: what it had cost, and a measure with its interval, 0..1 or None."""

    round: int
    cost: float
    value: float | None
    low: float | None
    high: float | None


def points_of(state: State, arm: str, measure: str, unit: str, name: str | None = None) -> list[Point]:
    """The rounds of an arm that were measured.

    Args:
        measure: `AP50` or `AP`; unit: `boxes`, `clicks` or `pictures`; name: of a class, all together when None.
    """
    found = []
    for round_ in range(state.round + 1):
        out = state.out(round_, "compare", arm)
        one: dict[str, Any] | None = (out.get("classes", {}).get(name) if name else out.get("overall"))
        if one:
            at = one[measure]
            found.append(Point(round_, cost(state, round_, arm)[unit], at["value"], at["low"], at["high"]))
    return found


def curve(arms: Sequence[tuple[str, Sequence[Point]]], *, title: str, x: str, y: str, note: str = "") -> Markup:
    """Lines with whiskers; the arms stand a little apart so that none hides another."""
    known = [point for _, points in arms for point in points if words.known(point.value)]
    if not known:
        return frame.empty(title, "Nothing was measured.")
    area = Area()
    across = linear([point.cost for point in known], area.left + 12, area.right - 8, zero=True, wanted=6, whole=True)
    ends = [end for point in known for end in (point.low, point.high, point.value) if words.known(end)]
    up = linear(ends, area.bottom, area.top)
    marks = frame.axes(area, across, up, x, y)
    for place, (arm, points) in enumerate(arms):
        marks.append(_arm(arm, points, across, up, (place - (len(arms) - 1) / 2) * 4, (x, y)))
    keys = [Key(NAMES[arm], COLOURS[arm]) for arm, points in arms if points]
    return frame.figure(title, note, frame.canvas(marks, title), keys)


def _arm(arm: str, points: Sequence[Point], across: Scale, up: Scale, shift: float, names: tuple[str, str]) -> Markup:
    places = [(across(point.cost) + shift, point) for point in points if words.known(point.value)]
    path = "".join(f"{'L' if at else 'M'}{number(x)} {number(up(point.value or 0.0))}"
                   for at, (x, point) in enumerate(places))
    marks = [element("path", frame.tip(NAMES[arm]), d=path)]
    for x, point in places:
        if words.known(point.low) and words.known(point.high):
            low, high = up(point.low), up(point.high)
            bar = f"M{number(x)} {number(low)}V{number(high)}M{number(x - CAP)} {number(low)}h{2 * CAP}" \
                  f"M{number(x - CAP)} {number(high)}h{2 * CAP}"
            marks.append(element("path", d=bar, class_="whisker"))
        interval = f" ({words.accuracy(point.low)} to {words.accuracy(point.high)})"
        hint = (f"{NAMES[arm]}, round {point.round}\n{names[0]} {words.count(point.cost)}\n"
                f"{names[1]} {words.accuracy(point.value)}{interval}")
        marks.append(element("circle", frame.tip(hint), cx=x, cy=up(point.value or 0.0), r=3.2, class_="dot",
                             tabindex="0"))
    return element("g", marks, class_=f"line {frame.colour_class(COLOURS[arm])}")
