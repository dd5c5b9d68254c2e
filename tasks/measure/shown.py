"""The measurements as one table and one picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tasks.reporting import frame, words
from tasks.reporting.frame import Key
from tasks.reporting.markup import Markup, element, shorten
from tasks.reporting.scale import Scale, fitting, linear
from tasks.reporting.svg_file import standalone

WIDE = 720.0  # units of the drawing
HEADS = ("artefact", "runtime", "AP", "AP50", "95 % of AP50", "median", "p95", "per s", "peak", "size")


def table(found: Mapping[str, Any]) -> str:
    """A line an artefact and runtime, fastest first, then what was left out and why, and the machine."""
    rows = [_row(one) for one in sorted(found["rows"].values(), key=lambda one: one["median_ms"])]
    if not found["images"]:
        rows = [[cell for place, cell in enumerate(row) if place not in (2, 3, 4)] for row in rows]
    heads = [head for place, head in enumerate(HEADS) if found["images"] or place not in (2, 3, 4)]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) if place < 2 else cell.rjust(width)
                       for place, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
             for row in [heads, *rows]]
    return "\n".join([*lines, *_notes(found)])


def _row(one: Mapping[str, Any]) -> list[str]:
    low, high = one.get("AP50_low"), one.get("AP50_high")
    peak = one.get("peak_memory_mb")
    return [one["artefact"], _place(one), words.accuracy(one.get("AP")), words.accuracy(one.get("AP50")),
            f"{low:.3f} – {high:.3f}" if low is not None and high is not None else words.NONE,
            f"{one['median_ms']:.2f} ms", f"{one['p95_ms']:.2f} ms", f"{one['throughput_per_s']:.1f}",
            f"{peak:.0f} MB" if peak else words.NONE, f"{one['bytes'] / 1e6:.2f} MB"]


def _notes(found: Mapping[str, Any]) -> list[str]:
    notes = [] if found["images"] else ["no accuracy: there are no labelled pictures (--data FOLDER)"]
    notes += [f"warning: {name} is slower than {one['faster_float']}: 8 bits gain nothing for it on this machine"
              for name, one in found["rows"].items() if one.get("slower_than_float")]
    notes += [f"left out: {name}: {reason}" for name, reason in found["left_out"].items()]
    facts = ", ".join(f"{key} {value}" for key, value in found["machine"].items())
    return [*notes, f"batch 1, in turns; {facts}"]


def _place(one: Mapping[str, Any]) -> str:
    return one["runtime"] if one.get("device", "cpu") == "cpu" else f"{one['runtime']} {one['device']}"


def picture(found: Mapping[str, Any], title: str) -> str:
    """An SVG file: accuracy against latency, a dot's area the size of the file, numbered by speed and listed beside;
    latency alone where there is no accuracy."""
    rows = sorted((one for one in found["rows"].values() if words.known(one.get("AP"))),
                  key=lambda one: one["median_ms"])
    if not rows:
        return standalone(_latencies(found), title, note="A bar ends at the median, its line at the "
                          "95th percentile.")
    places = list(dict.fromkeys(_place(one) for one in found["rows"].values()))
    area = frame.Area(right=430.0, bottom=max(260.0, 34.0 + 16 * len(rows)))
    across = fitting([one["median_ms"] for one in rows], area.left + 18, area.right - 18, ratio=8.0)
    heights = [one["AP"] for one in rows]
    pad = max((max(heights) - min(heights)) * 0.15, 0.005)
    up = linear([max(min(heights) - pad, 0.0), min(max(heights) + pad, 1.0)], area.bottom, area.top)
    unit = "Median latency at batch 1, ms" + (" (logarithmic)" if across.log else "")
    marks = [*frame.axes(area, across, up, unit, "AP"), *_dots(rows, places, across, up), *_list(rows, places, area)]
    keys = [Key(place, colour) for colour, place in enumerate(places)]
    drawing = frame.canvas(marks, title, width=WIDE, height=area.bottom + 42)
    return standalone(drawing, title, keys=keys, note="Further left is faster, further up is better; a dot's area is "
                                                      "the size of the file.")


def _dots(rows: list[dict[str, Any]], places: list[str], across: Scale, up: Scale) -> list[Markup]:
    """Large ones first, so that small ones lie on them; each with its number in it."""
    largest = max(one["bytes"] for one in rows) or 1
    marks = []
    for number, one in sorted(enumerate(rows, 1), key=lambda entry: -entry[1]["bytes"]):
        at = across(one["median_ms"]), up(one["AP"])
        marks.append(element("circle", frame.tip(_tip(one)), cx=at[0], cy=at[1],
                             r=7 + 13 * math.sqrt(one["bytes"] / largest), class_=f"bubble {_colour(one, places)}"))
        marks.append(frame.text(at[0], at[1] + 4, str(number), anchor="middle", class_="name"))
    return marks


def _list(rows: list[dict[str, Any]], places: list[str], area: frame.Area) -> list[Markup]:
    marks = []
    for number, one in enumerate(rows, 1):
        y = area.top + 16 * (number - 1) + 4
        said = f"{shorten(one['artefact'], 26, keep_end=True)}  {one['median_ms']:.2f} ms"
        marks += [frame.text(474, y, str(number), anchor="end", class_="name"),
                  element("circle", cx=484.0, cy=y - 4, r=4.0, class_=f"bubble {_colour(one, places)}"),
                  frame.text(494, y, said, class_="name")]
    return marks


def _colour(one: Mapping[str, Any], places: list[str]) -> str:
    return frame.colour_class(places.index(_place(one)))


def _latencies(found: Mapping[str, Any]) -> Markup:
    """A bar a row, fastest first: the median, and a line to the 95th percentile."""
    rows = sorted(found["rows"].items(), key=lambda entry: entry[1]["median_ms"])
    area = frame.Area(left=270.0, top=8.0, right=WIDE - 60, bottom=8.0 + 22 * len(rows))
    across = linear([one["p95_ms"] for _, one in rows], area.left, area.right, zero=True)
    marks = [frame.rule(across(value), area.top, across(value), area.bottom) for value in across.ticks]
    for place, (name, one) in enumerate(rows):
        y, end, late = area.top + 22 * place + 11, across(one["median_ms"]), across(one["p95_ms"])
        marks += [frame.text(area.left - 8, y + 4, shorten(name, 38, keep_end=True), anchor="end", class_="name"),
                  element("rect", x=area.left, y=y - 6, width=max(end - area.left, 1.0), height=12.0, class_="s0"),
                  frame.rule(end, y, late, y, "axis"), frame.rule(late, y - 4, late, y + 4, "axis"),
                  frame.text(late + 5, y + 4, f"{one['median_ms']:.2f}", class_="value")]
    return frame.canvas([*marks, *frame.x_axis(area, across, "Latency, ms")], "Latency", width=WIDE,
                        height=area.bottom + 42)


def _tip(one: Mapping[str, Any]) -> str:
    return (f"{one['artefact']} on {_place(one)}\nAP {words.accuracy(one['AP'])}, AP50 {words.accuracy(one['AP50'])}\n"
            f"{words.milliseconds(one['median_ms'])}\n{words.size(one['bytes'])}")
