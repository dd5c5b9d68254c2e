"""Line, bar and scatter as inline SVG. Pure functions; no data gives an empty state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from tasks.reporting import frame, words
from tasks.reporting.frame import Area, Key
from tasks.reporting.markup import Markup, element, number, shorten
from tasks.reporting.scale import Scale, linear, logarithmic

HANDLES = 40  # points of a line that get a tooltip of their own
SEEN = 20  # points up to which they are drawn as dots


@dataclass(frozen=True)
class Line:
    """A series of points; a y that is None breaks the line. `colour` None is the muted grey."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    colour: int | None = 0
    dashed: bool = False
    filled: bool = False


@dataclass(frozen=True)
class Bars:
    """One value a row; None is written as n/a, never drawn as 0."""

    name: str
    values: Sequence[float | None]
    colour: int | None = 0
    texts: Sequence[str] = field(default_factory=list)


@dataclass(frozen=True)
class Dot:
    """A point of a scatter; `area` is in the units of the thing that the dot's size stands for."""

    x: float
    y: float
    area: float
    label: str
    tip: str
    colour: int | None = 0


def line(
    lines: Sequence[Line],
    *,
    title: str,
    x: str,
    y: str,
    note: str = "",
    limits: tuple[float, float] | None = None,
    x_limits: tuple[float, float] | None = None,
    log: bool = False,
    zero: bool = False,
    missing: str = "There is nothing to draw.",
) -> Markup:
    """Lines over one x axis. `limits` fixes the y axis, `x_limits` the x axis; `log` makes x logarithmic."""
    drawn = [one for one in lines if any(words.known(v) for v in one.y)]
    if not drawn:
        return frame.empty(title, missing)
    area = Area()
    whole = all(isinstance(v, int) for one in drawn for v in one.x)
    xs = [float(v) for one in drawn for v in one.x]
    across = (
        logarithmic(xs, area.left, area.right)
        if log
        else linear(xs, area.left, area.right, limits=x_limits or _tight(xs), wanted=6, whole=whole)
    )
    up = linear([v for one in drawn for v in one.y if words.known(v)], area.bottom, area.top, limits=limits, zero=zero)
    marks = [_line(one, across, up, (x, y)) for one in sorted(drawn, key=lambda one: one.colour is not None)]
    keys = [Key(one.name, one.colour, one.dashed) for one in drawn if one.colour is not None]
    if any(one.colour is None for one in drawn) and keys:
        keys.append(Key("others", None))
    return frame.figure(title, note, frame.canvas([*frame.axes(area, across, up, x, y), *marks], title), keys)


def _tight(xs: list[float]) -> tuple[float, float]:
    low, high = min(xs), max(xs)
    return (low, high) if high > low else (low - 1, high + 1)


def _line(one: Line, across: Scale, up: Scale, names: tuple[str, str]) -> Markup:
    points = [(across(a), up(b)) if words.known(b) else None for a, b in zip(one.x, one.y, strict=True)]
    path, pen = [], "M"
    for point in points:
        if point is not None:
            path.append(f"{pen}{number(point[0])} {number(point[1])}")
        pen = "L" if point is not None else "M"
    class_ = f"line {frame.colour_class(one.colour)}{' dashed' if one.dashed else ''}"
    hint = frame.tip(one.name)
    filled = element("path", d="".join(path), class_="fill") if one.filled else None
    return element("g", filled, element("path", hint, d="".join(path)), _handles(one, points, names), class_=class_)


def _handles(one: Line, points: list[tuple[float, float] | None], names: tuple[str, str]) -> list[Markup]:
    if one.colour is None or one.filled:
        return []
    there = [(point, x, y) for point, x, y in zip(points, one.x, one.y, strict=True) if point and y is not None]
    stride = max(1, math.ceil(len(there) / HANDLES))
    class_ = "dot" if len(there) <= SEEN else "dot quiet"
    chosen = there[::stride] if (len(there) - 1) % stride == 0 else [*there[::stride], there[-1]]
    marks = []
    for (cx, cy), x, y in chosen:
        hint = f"{one.name}\n{names[0]} {words.digits(x)}\n{names[1]} {words.digits(y)}"
        marks.append(element("circle", frame.tip(hint), cx=cx, cy=cy, r=2.6, class_=class_))
    return marks


def bar(
    rows: Sequence[str],
    sets: Sequence[Bars],
    *,
    title: str,
    x: str,
    note: str = "",
    limits: tuple[float, float] | None = None,
    keep_end: bool = False,
    missing: str = "There is nothing to draw.",
) -> Markup:
    """Horizontal bars, one group a row, so that long names stay readable; many rows scroll by themselves."""
    values = [v for one in sets for v in one.values if words.known(v)]
    if not rows or not any(values):
        return frame.empty(title, missing)
    pitch = max(22.0, 11.0 * len(sets) + 9)
    names = [shorten(name, 20, keep_end=keep_end) for name in rows]
    left = min(max(len(n) for n in names) * frame.CHARACTER + 14, 146.0)
    area = Area(left=left, top=8, right=frame.WIDTH - 48, bottom=8 + pitch * len(rows))
    across = linear(values, area.left, area.right, zero=True, limits=limits, wanted=4)
    marks = [frame.rule(across(v), area.top, across(v), area.bottom) for v in across.ticks]
    for i, (full, name) in enumerate(zip(rows, names, strict=True)):
        top = area.top + pitch * i
        marks.append(frame.text(left - 8, top + pitch / 2 + 4, [name, frame.tip(full)], anchor="end", class_="name"))
        marks += _group(sets, i, full, across, top, pitch)
    marks += frame.x_axis(area, across, x)
    drawing = frame.canvas(marks, title, height=area.bottom + 42)
    keys = [Key(one.name, one.colour) for one in sets]
    tall = element("div", drawing, class_="tall", tabindex="0", role="group", aria_label=title)
    return frame.figure(title, note, tall if area.bottom > 520 else drawing, keys)


def _group(sets: Sequence[Bars], row: int, name: str, across: Scale, top: float, pitch: float) -> list[Markup]:
    thick = min((pitch - 9) / len(sets), 15.0)
    start = top + (pitch - thick * len(sets)) / 2
    marks = []
    for j, one in enumerate(sets):
        value, y = one.values[row], start + thick * j
        said = one.texts[row] if one.texts else (words.digits(value) if words.known(value) else words.NONE)
        end = across(value) if words.known(value) else across(0)
        if words.known(value) and value > 0:
            hint = frame.tip(f"{name}\n{one.name}: {said}")
            marks.append(
                element(
                    "rect",
                    hint,
                    x=across(0),
                    y=y + 0.5,
                    width=max(end - across(0), 1.0),
                    height=thick - 1,
                    rx=1.5,
                    class_=f"bar {frame.colour_class(one.colour)}",
                )
            )
        marks.append(frame.text(end + 5, y + thick / 2 + 3.5, said, class_="value"))
    return marks


def scatter(
    dots: Sequence[Dot],
    *,
    title: str,
    x: str,
    y: str,
    note: str = "",
    x_scale: Scale | None = None,
    y_scale: Scale | None = None,
    keys: Sequence[Key] = (),
    missing: str = "There is nothing to draw.",
) -> Markup:
    """Dots whose area stands for a third number, each with its label beside it where it has one and there is room."""
    if not dots:
        return frame.empty(title, missing)
    area = Area(right=frame.WIDTH - 24)
    across = x_scale or linear([d.x for d in dots], area.left + 14, area.right, zero=True)
    ys = [d.y for d in dots]
    pad = max((max(ys) - min(ys)) * 0.15, 0.01)
    up = y_scale or linear([max(min(ys) - pad, 0.0), max(ys) + pad], area.bottom, area.top)
    largest = max(d.area for d in dots) or 1.0
    placed = [(across(d.x), up(d.y), 4 + 13 * math.sqrt(max(d.area, 0) / largest), d) for d in dots]
    marks = [
        element(
            "circle", frame.tip(d.tip), cx=cx, cy=cy, r=r, tabindex="0", class_=f"bubble {frame.colour_class(d.colour)}"
        )
        for cx, cy, r, d in sorted(placed, key=lambda p: -p[2])
    ]
    marks += _names([(cx, cy, r, shorten(d.label, 26) if d.label else "") for cx, cy, r, d in placed], area)
    return frame.figure(title, note, frame.canvas([*frame.axes(area, across, up, x, y), *marks], title), keys)


def _names(dots: list[tuple[float, float, float, str]], area: Area) -> list[Markup]:
    """Names beside dots: the first of eight places that covers no dot and no other name, else none (tooltip only)."""
    taken = [(cx - r, cy - r, cx + r, cy + r) for cx, cy, r, _ in dots]
    marks = []
    for own, (cx, cy, r, name) in enumerate(dots):
        if not name:
            continue
        wide, near = len(name) * frame.CHARACTER, r + 5
        for left, base in (
            (cx + near, cy + 4),
            (cx - near - wide, cy + 4),
            (cx - wide / 2, cy - near),
            (cx - wide / 2, cy + near + 9),
            (cx + near, cy - near),
            (cx + near, cy + near + 9),
            (cx - near - wide, cy - near),
            (cx - near - wide, cy + near + 9),
        ):
            box = (left, base - 10, left + wide, base + 3)
            inside = box[0] > area.left and box[2] < frame.WIDTH and box[1] > 16 and box[3] < area.bottom
            if inside and not any(_overlap(box, t) for i, t in enumerate(taken) if i != own):
                taken.append(box)
                marks.append(frame.text(left, base, name, class_="name"))
                break
    return marks


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
