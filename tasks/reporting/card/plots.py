"""The card's own charts: histograms with a tooltip a bin, stacked bars, the map of places. Shares are in percent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tasks.reporting import frame, words
from tasks.reporting.frame import Area, Key
from tasks.reporting.markup import Markup, element, number, shorten
from tasks.reporting.scale import Scale, logarithmic, round_step


@dataclass(frozen=True)
class Series:
    """One side of a comparison: a split, or a version. `counts` has one number a bin, or one a row."""

    name: str
    colour: int | None
    counts: Sequence[int]

    @property
    def total(self) -> int:
        return sum(self.counts)

    def share(self, place: int) -> float:
        return 100 * self.counts[place] / max(self.total, 1)


def histogram(
    sides: Sequence[Series],
    edges: Sequence[float],
    *,
    title: str,
    x: str,
    y: str,
    said: Callable[[int], str],
    note: str = "",
    log: bool = False,
    missing: str = "There is nothing to draw.",
) -> Markup:
    """One side as bars, several as outlines over each other.

    Args:
        edges: one more than there are bins.
        said: what a bin is called in its tooltip, by its place.
    """
    sides = [side for side in sides if side.total]
    if not sides:
        return frame.empty(title, missing)
    area, bins = Area(), range(len(edges) - 1)
    across = _across(edges, area, log)
    up = _even(max(side.share(i) for side in sides for i in bins), area.bottom, area.top)
    spans = [(across(edges[i]), across(edges[i + 1])) for i in bins]
    shares = [[up(side.share(i)) for i in bins] for side in sides]
    hints = [_hint(said(i), sides, i) for i in bins]
    marks = _bars(spans, shares[0], hints, area, sides[0].colour) if len(sides) == 1 else [
        *(_outline(spans, tops, area, side.colour) for tops, side in zip(shares, sides, strict=True)),
        *(_hit(span, area, hint) for span, hint in zip(spans, hints, strict=True))]
    drawing = frame.canvas([*frame.axes(area, across, up, x, y), *marks], title)
    return frame.figure(title, note, drawing, [Key(side.name, side.colour) for side in sides])


def _across(edges: Sequence[float], area: Area, log: bool) -> Scale:
    if not log:
        ticks = _even(edges[-1], 0, 1, wanted=6).ticks
    else:
        ticks = logarithmic([edges[0] * 1.25, edges[-1] / 1.25], area.left, area.right).ticks
    within = tuple(tick for tick in ticks if edges[0] <= tick <= edges[-1])
    return Scale(edges[0], edges[-1], area.left, area.right, within, log)


def _even(high: float, start: float, end: float, *, wanted: int = 5, least: float = 0.0) -> Scale:
    """An axis from 0 with steps of 1, 2 or 5 times a power of ten: ticks of whole numbers stay whole."""
    step = max(round_step(high / wanted), least)
    leading = step / 10 ** math.floor(math.log10(step) + 1e-9)
    step *= 2 if math.isclose(leading, 2.5) else 1
    count = max(math.ceil(high / step - 1e-9), 1)
    return Scale(0.0, count * step, start, end, tuple(k * step for k in range(count + 1)))


def _hint(name: str, sides: Sequence[Series], place: int) -> str:
    lines = [f"{side.name}: {words.percent(side.share(place) / 100)} ({words.count(side.counts[place])})"
             for side in sides]
    return "\n".join([name, *lines])


def _bars(spans: Sequence[tuple[float, float]], tops: Sequence[float], hints: Sequence[str], area: Area,
          colour: int | None) -> list[Markup]:
    return [element("rect", frame.tip(hint), x=a + 0.5, y=min(top, area.bottom - 1), width=max(b - a - 1, 1.0),
                    height=max(area.bottom - top, 1.0), rx=1.5, class_=f"bar {frame.colour_class(colour)}")
            for (a, b), top, hint in zip(spans, tops, hints, strict=True) if top < area.bottom]


def _outline(spans: Sequence[tuple[float, float]], tops: Sequence[float], area: Area, colour: int | None) -> Markup:
    steps = "".join(f"L{number(a)} {number(top)}L{number(b)} {number(top)}"
                    for (a, b), top in zip(spans, tops, strict=True))
    path = f"M{number(spans[0][0])} {number(area.bottom)}{steps}L{number(spans[-1][1])} {number(area.bottom)}"
    return element("g", element("path", d=path, class_="fill"), element("path", d=path),
                   class_=f"line {frame.colour_class(colour)}")


def _hit(span: tuple[float, float], area: Area, hint: str) -> Markup:
    return element("rect", frame.tip(hint), x=span[0], y=area.top, width=max(span[1] - span[0], 1.0),
                   height=area.bottom - area.top, class_="hit")


def stack(rows: Sequence[str], sides: Sequence[Series], *, title: str, x: str, note: str = "",
          missing: str = "There is nothing to draw.") -> Markup:
    """Horizontal bars, one a row, each put together of what the sides have in it; its end says the sum."""
    sums = [sum(side.counts[i] for side in sides) for i in range(len(rows))]
    if not any(sums):
        return frame.empty(title, missing)
    names, pitch = [shorten(name, 20) for name in rows], 24.0
    left = min(max(len(n) for n in names) * frame.CHARACTER + 14, 146.0)
    area = Area(left=left, top=8, right=frame.WIDTH - 56, bottom=8 + pitch * len(rows))
    across = _even(max(sums), area.left, area.right, least=1)
    marks = [frame.rule(across(v), area.top, across(v), area.bottom) for v in across.ticks]
    for i, (full, name) in enumerate(zip(rows, names, strict=True)):
        middle = area.top + pitch * (i + 0.5)
        marks.append(frame.text(left - 8, middle + 4, [name, frame.tip(full)], anchor="end", class_="name"))
        marks += _pieces(full, sides, i, across, middle)
        marks.append(frame.text(across(sums[i]) + 6, middle + 4, words.short(sums[i]), class_="value"))
    drawing = frame.canvas([*marks, *frame.x_axis(area, across, x)], title, height=area.bottom + 42)
    tall = element("div", drawing, class_="tall", tabindex="0", role="group", aria_label=title)
    keys = [Key(side.name, side.colour) for side in sides if side.total]
    return frame.figure(title, note, tall if area.bottom > 520 else drawing, keys)


def _pieces(name: str, sides: Sequence[Series], row: int, across: Scale, middle: float) -> list[Markup]:
    marks, start = [], 0
    for side in sides:
        if count := side.counts[row]:
            begin, end = across(start), across(start + count)
            hint = frame.tip(f"{name}\n{side.name}: {words.count(count)}")
            marks.append(element("rect", hint, x=begin, y=middle - 7, width=max(end - begin - 1, 0.75), height=14,
                                 rx=1.5, class_=f"bar {frame.colour_class(side.colour)}"))
            start += count
    return marks


def places(grid: Sequence[Sequence[int]], shape: float, *, title: str, note: str = "",
           missing: str = "There is nothing to draw.") -> Markup:
    """A map of counts over a picture of the proportions `shape` (width / height): the darker, the more."""
    most = max((max(row) for row in grid), default=0)
    if not most:
        return frame.empty(title, missing)
    total = sum(map(sum, grid))
    shape = min(max(shape, 0.6), 2.4)
    tall = min(250.0, 380 / shape)
    wide = tall * shape
    left, top = (frame.WIDTH - wide) / 2, 4.0
    dx, dy = wide / len(grid[0]), tall / len(grid)
    marks = [element("rect", x=left, y=top, width=wide, height=tall, class_="sheet")]
    for i, row in enumerate(grid):
        for j, count in enumerate(row):
            if count:
                hint = f"{words.count(count)} centres ({words.percent(count / total)})"
                marks.append(element("rect", frame.tip(hint), x=left + dx * j, y=top + dy * i, width=dx + 0.3,
                                     height=dy + 0.3, fill_opacity=0.06 + 0.94 * count / most, class_="cell"))
    drawing = frame.canvas([*marks, *_ramp(most, left, top + tall + 14, wide)], title, height=top + tall + 44)
    return frame.figure(title, note, drawing)


def _ramp(most: int, left: float, top: float, wide: float) -> list[Markup]:
    steps, width = 5, 22.0
    start = left + wide / 2 - steps * width / 2
    cells = [element("rect", x=start + width * k, y=top, width=width, height=9,
                     fill_opacity=0.06 + 0.94 * (k + 0.5) / steps, class_="cell") for k in range(steps)]
    return [*cells, frame.text(start - 7, top + 9, "0", anchor="end"),
            frame.text(start + steps * width + 7, top + 9, f"{words.short(most)} centres in a cell")]
