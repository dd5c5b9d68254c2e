"""What all charts share: the figure with title and legend, axes with ticks and units, tooltips, the empty state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.reporting.markup import Child, Markup, element, number, shorten
from tasks.reporting.scale import Scale, tick_text

WIDTH, HEIGHT = 400.0, 256.0
COLOURS = 8
CHARACTER = 6.8  # mean width of a character of the 12 px tick labels


@dataclass(frozen=True)
class Area:
    """The rectangle of the chart that the marks fill, in units of the view box."""

    left: float = 46.0
    top: float = 26.0
    right: float = WIDTH - 12
    bottom: float = HEIGHT - 42


@dataclass(frozen=True)
class Key:
    """One entry of a legend. `colour` is an index into the palette, or None for the muted grey."""

    name: str
    colour: int | None
    dashed: bool = False


def colour_class(colour: int | None) -> str:
    return "muted" if colour is None else f"s{colour % COLOURS}"


def figure(title: str, note: str, drawing: Markup, keys: Sequence[Key] = (), *, wide: bool = False) -> Markup:
    """A chart with its title, one line that says how to read it, and a legend where there is more than one series."""
    head = element("figcaption", element("b", title), element("span", note) if note else None)
    entries = [
        element(
            "li",
            element("i", class_="dash" if key.dashed else "line"),
            element("bdi", shorten(key.name, 40)),
            class_=colour_class(key.colour),
        )
        for key in keys
    ]
    legend = element("ul", entries, class_="legend") if len(entries) > 1 else None
    return element("figure", head, legend, drawing, class_="chart wide" if wide else "chart")


def empty(title: str, reason: str) -> Markup:
    """What stands in place of a figure that has nothing to show, with the reason."""
    return element(
        "figure", element("figcaption", element("b", title)), element("p", reason, class_="none"), class_="chart"
    )


def canvas(children: Child, label: str, *, width: float = WIDTH, height: float = HEIGHT, fixed: bool = False) -> Markup:
    """The drawing itself. `fixed` keeps its size in pixels and lets it scroll instead of shrinking the text."""
    style = f"width:{number(width)}px" if fixed else None
    drawing = element(
        "svg",
        children,
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
        style=style,
        aria_label=label,
        class_="plot",
    )
    return element("div", drawing, class_="scroll", tabindex="0", role="group", aria_label=label) if fixed else drawing


def text(x: float, y: float, content: Child, *, anchor: str = "start", class_: str = "tick", **more: object) -> Markup:
    return element("text", content, x=float(x), y=float(y), text_anchor=anchor, class_=class_, **more)


def rule(x1: float, y1: float, x2: float, y2: float, class_: str = "grid") -> Markup:
    return element("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=class_)


def tip(content: str) -> Markup:
    """A tooltip; the page's script shows it as its own box, without script the browser does."""
    return element("title", content)


def labels(scale: Scale) -> list[str]:
    step = min((b - a for a, b in zip(scale.ticks, scale.ticks[1:], strict=False)), default=scale.high - scale.low)
    return [tick_text(v, min(v, 1.0) if scale.log else step) for v in scale.ticks]


def axes(area: Area, x: Scale, y: Scale, x_title: str, y_title: str) -> list[Markup]:
    """Grid, tick labels and axis titles; the y title stands above its axis, to be read without turning the head."""
    marks = [rule(area.left, y(v), area.right, y(v)) for v in y.ticks]
    marks += [text(area.left - 7, y(v) + 4, t, anchor="end") for v, t in zip(y.ticks, labels(y), strict=True)]
    marks.append(rule(area.left, area.bottom, area.right, area.bottom, "axis"))
    return [*marks, *x_axis(area, x, x_title), text(2, 13, y_title, class_="axis-title")]


def x_axis(area: Area, x: Scale, title: str) -> list[Markup]:
    marks = [rule(x(v), area.bottom, x(v), area.bottom + 4, "axis") for v in x.ticks]
    marks += [text(x(v), area.bottom + 18, t, anchor="middle") for v, t in zip(x.ticks, labels(x), strict=True)]
    middle = (area.left + area.right) / 2
    return [*marks, text(middle, area.bottom + 36, title, anchor="middle", class_="axis-title")]
