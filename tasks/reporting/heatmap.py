"""A matrix of counts as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.reporting import frame, words
from tasks.reporting.frame import Area
from tasks.reporting.markup import Markup, element, number, shorten

NUMBERED = 14  # columns up to which the cells carry numbers


def heatmap(
    cells: Sequence[Sequence[float]],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    title: str,
    x: str,
    y: str,
    note: str = "",
    missing: str = "There is nothing to draw.",
) -> Markup:
    """Counts, coloured by their share of the row; many columns have no numbers, and scroll instead of shrinking."""
    if not any(any(row) for row in cells):
        return frame.empty(title, missing)
    left = min(max(len(shorten(n, 16)) for n in rows) * frame.CHARACTER + 14, 128.0)
    wide = max((frame.WIDTH - left - 8) / len(columns), 24.0 if len(columns) <= NUMBERED else 15.0)
    tall = min(wide, 44.0)
    area = Area(left=left, top=24, right=left + wide * len(columns), bottom=24 + tall * len(rows))
    marks = [*_cells(cells, rows, columns, area, f"{y} {{}}\n{x} {{}}: {{}} ({{}})"), *_sides(area, rows, columns)]
    below = area.bottom + 24 + min(max(len(shorten(n, 14)) for n in columns) * 4.8, 66)
    marks += [
        frame.text(2, 13, y, class_="axis-title"),
        frame.text((left + area.right) / 2, below, x, anchor="middle", class_="axis-title"),
    ]
    scrolls = area.right + 8 > frame.WIDTH + 1
    drawing = frame.canvas(marks, title, width=max(area.right + 8, frame.WIDTH), height=below + 8, fixed=scrolls)
    return frame.figure(title, note, drawing, wide=scrolls)


def _cells(
    cells: Sequence[Sequence[float]], rows: Sequence[str], columns: Sequence[str], area: Area, said: str
) -> list[Markup]:
    tall, wide = (area.bottom - area.top) / len(rows), (area.right - area.left) / len(columns)
    size = {"width": area.right - area.left, "height": area.bottom - area.top}
    marks = [element("rect", x=area.left, y=area.top, class_="sheet", **size)]
    for i, row in enumerate(cells):
        total = sum(row) or 1.0
        for j, value in enumerate(row):
            if value:
                box = (area.left + wide * j, area.top + tall * i, wide, tall)
                hint = said.format(rows[i], columns[j], words.count(value), words.percent(value / total))
                marks.append(_cell(box, value, value / total, len(columns) <= NUMBERED, hint))
    return marks


def _sides(area: Area, rows: Sequence[str], columns: Sequence[str]) -> list[Markup]:
    tall, wide = (area.bottom - area.top) / len(rows), (area.right - area.left) / len(columns)
    marks = [
        frame.text(
            area.left - 8,
            area.top + tall * (i + 0.5) + 4,
            [shorten(name, 16), frame.tip(name)],
            anchor="end",
            class_="name",
        )
        for i, name in enumerate(rows)
    ]
    low = area.bottom + 12
    for j, name in enumerate(columns):
        at = area.left + wide * (j + 0.5)
        marks.append(
            frame.text(
                at,
                low,
                [shorten(name, 14), frame.tip(name)],
                anchor="end",
                class_="name",
                transform=f"rotate(-40 {number(at)} {number(low)})",
            )
        )
    return marks


def _cell(box: tuple[float, float, float, float], value: float, share: float, numbers: bool, hint: str) -> Markup:
    x, y, width, height = box
    drawn = element(
        "rect",
        frame.tip(hint),
        x=x + 0.5,
        y=y + 0.5,
        width=width - 1,
        height=height - 1,
        fill_opacity=0.08 + 0.92 * share,
        class_="cell",
    )
    class_ = "count strong" if share > 0.5 else "count"
    label = frame.text(x + width / 2, y + height / 2 + 4, words.short(round(value)), anchor="middle", class_=class_)
    return element("g", drawn, label if numbers else None)
