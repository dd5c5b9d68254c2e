"""A chart of the report as an SVG file of its own: with title, legend and style inside, for any viewer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tasks.reporting.frame import CHARACTER, COLOURS, Key, text
from tasks.reporting.markup import Markup, element, join, trusted
from tasks.reporting.style import LIGHT

DRAWING = re.compile(r'<svg viewBox="0 0 ([\d.]+) ([\d.]+)"[^>]*>(.*?)</svg>', re.DOTALL)
ZOOM = 1.6  # pixels a unit of the drawing
MARGIN = 12.0
# plain rules: many viewers know no variables and no system fonts
STYLE = """text{font:12px "Helvetica Neue",Helvetica,Arial,"Liberation Sans",sans-serif;fill:#545d6b}
.title{font-size:15px;font-weight:bold;fill:#171b22}.name{fill:#171b22}.axis-title{font-weight:bold}
.value,.note{font-size:11px}.grid{stroke:#e8ebf0}.axis{stroke:#6d7685}
.bubble{fill-opacity:.62;stroke-width:1.5}.line path{fill:none;stroke-width:2}.muted{fill:#6d7685}"""


def standalone(figure: str, title: str, *, keys: Sequence[Key] = (), note: str = "") -> str:
    """The text of an SVG file.

    Args:
        figure: what `charts.scatter`, `charts.bar` or `frame.canvas` gave.
        title: above the drawing.
        keys: legend, shown when there are two or more.
        note: one line that says how to read it.

    Raises:
        ValueError: the figure holds no drawing, for instance since there was nothing to draw.
    """
    found = DRAWING.search(figure)
    if found is None:
        raise ValueError("there is no drawing in this figure")
    width, height = float(found[1]), float(found[2])
    legend, rows = _legend(keys if len(keys) > 1 else [], width)
    head = 44.0 + 18 * rows
    inner = element("g", trusted(found[3]), transform=f"translate(0 {head:g})")
    wide, tall = width + 2 * MARGIN, height + head + 2 * MARGIN
    drawing = element(
        "svg", element("title", title), element("style", trusted(STYLE + _colours())),
        element("rect", x=-MARGIN, y=-MARGIN, width=wide, height=tall, fill="#ffffff"),
        text(0, 12, title, class_="title"), text(0, 29, note, class_="note"), legend, inner,
        xmlns="http://www.w3.org/2000/svg", viewBox=f"{-MARGIN:g} {-MARGIN:g} {wide:g} {tall:g}",
        width=round(wide * ZOOM), height=round(tall * ZOOM), role="img", aria_label=title)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{drawing}\n'


def _legend(keys: Sequence[Key], width: float) -> tuple[Markup, int]:
    """The entries beside each other, in as many rows as they need."""
    marks, x, row = [], 0.0, 0
    for key in keys:
        wide = 20 + CHARACTER * len(key.name)
        if x and x + wide > width:
            x, row = 0.0, row + 1
        y = 45.0 + 18 * row
        marks.append(element("circle", cx=x + 5, cy=y, r=5.0, class_=f"bubble s{(key.colour or 0) % COLOURS}"))
        marks.append(text(x + 14, y + 4, key.name))
        x += wide + 12
    return join(marks), row + 1 if keys else 0


def _colours() -> str:
    return "".join(f".s{place}{{fill:{colour};stroke:{colour}}}" for place, colour in enumerate(LIGHT))
