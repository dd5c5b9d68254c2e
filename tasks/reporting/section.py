"""A section of the page, and the tables and tiles that sections are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.reporting import words
from tasks.reporting.markup import Child, Markup, element, number

LONG = 24  # rows from which a table scrolls by itself


@dataclass(frozen=True)
class Section:
    """`name` is the anchor; `lead` says in one or two sentences what is shown and how to read it."""

    name: str
    title: str
    lead: str
    body: Sequence[Child]

    def render(self) -> Markup:
        return element(
            "section",
            element("h2", self.title, id=f"{self.name}-title"),
            element("p", self.lead, class_="lead"),
            self.body,
            id=self.name,
            aria_labelledby=f"{self.name}-title",
        )


@dataclass(frozen=True)
class Cell:
    """A table cell. `value` sorts; `gauge`, 0..1, draws a bar under the text."""

    shown: Child
    value: object = None
    gauge: float | None = None
    colour: str | None = None
    class_: str | None = None


def figure_cell(
    value: object, shown: str, *, gauge: float | None = None, colour: str | None = None, class_: str | None = None
) -> Cell:
    """A number; n/a is grey and sorts last."""
    return Cell(shown, value, gauge, colour, class_) if words.known(value) else Cell(shown, class_="na")


def none(reason: str) -> Markup:
    """The empty state: what is not here, and why."""
    return element("p", reason, class_="none")


def tile(name: str, big: str, *sub: Child) -> Markup:
    return element(
        "div",
        element("dt", name),
        element("dd", big, class_="big"),
        [element("dd", line, class_="sub") for line in sub if line],
        class_="tile",
    )


def tiles(entries: Sequence[Markup]) -> Markup:
    return element("dl", entries, class_="tiles")


def charts(*figures: Markup, two: bool = False) -> Markup:
    return element("div", figures, class_="charts two" if two else "charts")


def table(
    heads: Sequence[Child],
    rows: Sequence[Sequence[Cell]],
    *,
    label: str,
    sortable: bool = False,
    text: Sequence[int] = (),
    groups: Sequence[int] = (),
) -> Markup:
    """A table that scrolls sideways on a phone. `text`: the left-aligned columns; `groups`: rows with a line above."""
    head = element(
        "tr", [element("th", h, scope="col", class_="text" if i in text else None) for i, h in enumerate(heads)]
    )
    body = [
        element(
            "tr", [_cell(cell, i, i in text) for i, cell in enumerate(row)], class_="group" if place in groups else None
        )
        for place, row in enumerate(rows)
    ]
    inner = element("table", element("thead", head), element("tbody", body), class_="sortable" if sortable else None)
    class_ = "scroll long" if len(rows) > LONG else "scroll"
    return element("div", inner, class_=class_, tabindex="0", role="group", aria_label=label)


def more(title: str, *children: Child) -> Markup:
    """Folded away: the numbers behind a figure."""
    return element("details", element("summary", title), children)


def _cell(cell: Cell, column: int, text: bool) -> Markup:
    gauge = None
    if cell.gauge is not None:
        width = f"width:{number(100 * min(max(cell.gauge, 0.0), 1.0))}%"
        gauge = element("span", element("i", style=width), class_=f"gauge {cell.colour or ''}".strip())
    value = f"{cell.value:.6g}" if words.known(cell.value) else cell.value
    if column == 0:
        return element("th", cell.shown, gauge, scope="row", data_value=value, title=cell.value)
    return element("td", cell.shown, gauge, class_="text" if text else cell.class_, data_value=value)
