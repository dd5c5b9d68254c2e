"""How a model's versions went: accuracy, latency, size and data over versions, and the steps between two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.reporting import words
from tasks.reporting.charts import Dot, Line, line, scatter
from tasks.reporting.frame import WIDTH
from tasks.reporting.markup import Markup, element
from tasks.reporting.project.shell import badge, cut, day
from tasks.reporting.scale import linear
from tasks.reporting.section import Cell, Section, charts, none, table

STILL = 0.02  # share of a change of latency or size that counts as none: times vary from run to run
POINTS = 0.0005  # of AP
NEWEST = 24  # versions in the drawing of accuracy against latency
TESTS = 6  # test sets that get a colour


def versions_section(told: Mapping[str, Any]) -> Section:
    """Charts over versions, then all of them in a table."""
    rows = told["versions"]
    drawn = charts(accuracy(rows), latency(rows), size(rows), tradeoff(rows))
    return Section(
        "versions", "Versions over time",
        "Each version by its number. An arrow says how a version stands to the one before it, where both were measured "
        "on the same test set; times within 2 % and AP within 0.05 points count as unchanged.",
        [drawn, element("h3", words.plural(len(rows), "version")), listing(rows)])


def accuracy(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """AP over versions, a line for each test set, with the 95 % interval where it is known."""
    tests = list(dict.fromkeys(row["test_hash"] for row in rows if words.known(row["AP"])))
    lines: list[Line] = []
    for place, test in enumerate(tests):
        name = f"AP, test set {cut(test, 8) or 'not recorded'}" if len(tests) > 1 else "AP"
        lines.append(_line(name, [row for row in rows if row["test_hash"] == test], "AP",
                           place if place >= len(tests) - TESTS else None))
    known = [row for row in rows if words.known(row["low"]) and words.known(row["high"])]
    for key in ("low", "high") if len(known) > 1 else ():
        lines.append(_line("95 % interval", known, key, None, dashed=True))
    if champion := [row for row in rows if "champion" in row["aliases"] and words.known(row["AP"])]:
        lines.append(_line("champion", champion[-1:], "AP", 6))
    note = "A line breaks where the test set changed: numbers of two sets do not compare." if len(tests) > 1 else (
        "The grey lines are the 95 % interval." if len(known) > 1 else "")
    return line(lines, title="Accuracy", x="Version", y="AP", note=note, x_limits=_limits(rows),
                missing="No version has an accuracy.")


def latency(rows: Sequence[Mapping[str, Any]]) -> Markup:
    return line([_line("median at batch 1", rows, "median_ms", 1)], title="Latency", x="Version", y="ms", zero=True,
                note="Of the file that is served, on the machine that timed it.", x_limits=_limits(rows),
                missing="No version was timed.")


def size(rows: Sequence[Mapping[str, Any]]) -> Markup:
    mega = [{**row, "bytes": row["bytes"] / 1e6 if words.known(row["bytes"]) else None} for row in rows]
    return line([_line("served file", mega, "bytes", 2)], title="Size", x="Version", y="MB", zero=True,
                note="Of the file that is served.", x_limits=_limits(rows), missing="No version has a size.")


def tradeoff(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """The newest versions by accuracy and latency; those with an alias carry its name."""
    dots = [Dot(float(row["median_ms"]), float(row["AP"]), float(row["bytes"] or 0),
                f"{row['version']} {row['aliases'][0]}" if row["aliases"] else "",
                f"version {row['version']}\nAP {words.accuracy(row['AP'])}\n{words.milliseconds(row['median_ms'])}",
                6 if "champion" in row["aliases"] else 0)
            for row in rows[-NEWEST:] if words.known(row["AP"]) and words.known(row["median_ms"])]
    return scatter(dots, title="Accuracy against latency", x="ms", y="AP",
                   note=f"The last {words.plural(len(dots), 'version')}; further left is faster, further up is better.",
                   x_scale=linear([dot.x for dot in dots], 60.0, WIDTH - 24) if dots else None,
                   missing="No version has both an accuracy and a latency.")


def data_section(told: Mapping[str, Any]) -> Section:
    """Pictures and boxes over versions."""
    rows = told["versions"]
    sets = len({row["data_hash"] for row in rows if row["data_hash"]})
    known = any(words.known(row["pictures"]) for row in rows)
    drawn = [line([_line(name, rows, name, colour)], title=name.title(), x="Version", y=name, zero=True,
                  x_limits=_limits(rows), missing="No version's tables are on this machine.")
             for name, colour in (("pictures", 3), ("boxes", 5))]
    body = [charts(*drawn)]
    if not known:
        body = [none("No version's tables are on this machine, so pictures are not counted: dvc pull data/split")]
    return Section("data", "Data", f"{words.plural(sets, 'split')} in {words.plural(len(rows), 'version')}, by DVC's "
                                   "hashes: what was learned from, grew like this.", body)


def _line(name: str, rows: Sequence[Mapping[str, Any]], key: str, colour: int | None, *, dashed: bool = False) -> Line:
    return Line(name, [int(row["version"]) for row in rows], [row[key] for row in rows], colour, dashed)


def _limits(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float] | None:
    numbers = [float(row["version"]) for row in rows]
    return (numbers[0] - 0.5, numbers[-1] + 0.5) if 1 <= len(numbers) <= 2 else None


def listing(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """The newest first."""
    before: list[Mapping[str, Any] | None] = [None, *rows[:-1]]
    body = [_cells(row, old) for row, old in zip(rows, before, strict=True)][::-1]
    heads = ["Version", "Registered", "AP", "AP50", "Latency", "Size", "Pictures", "Gate"]
    return table(heads, body, label="Versions", sortable=True, text=(7,))


def _cells(row: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[Cell]:
    same = old is not None and old["test_hash"] == row["test_hash"]
    marks = [" ", *(badge(alias, "pass" if alias == "champion" else "hold") for alias in row["aliases"])]
    return [Cell([element("span", row["version"]), marks], int(row["version"])),
            Cell(day(row["created"]), row["created"]),
            Cell([words.accuracy(row["AP"]), arrow(row, old if same else None, "AP")], row["AP"]),
            Cell(words.accuracy(row["AP50"]), row["AP50"]),
            Cell([words.milliseconds(row["median_ms"]), arrow(row, old, "median_ms")], row["median_ms"]),
            Cell([words.size(row["bytes"]), arrow(row, old, "bytes")], row["bytes"]),
            Cell(words.count(row["pictures"]), row["pictures"]), Cell(verdict(row))]


def arrow(row: Mapping[str, Any], old: Mapping[str, Any] | None, key: str) -> Markup | str:
    """How a value stands to the version before: up, down or even, coloured by what is better."""
    new, was = row[key], old[key] if old else None
    if not words.known(new) or not words.known(was):
        return ""
    gap = float(new) - float(was)
    even = abs(gap) < POINTS if key == "AP" else abs(gap) <= STILL * abs(float(was))
    if even:
        return element("span", " →", class_="flat", title="as before")
    better = (gap > 0) == (key == "AP")
    said = f"{words.points(gap)} points" if key == "AP" else words.percent(gap / was) if was else ""
    return element("span", " ↑" if gap > 0 else " ↓", class_="up" if better else "down",
                   title=f"{said} against the version before", aria_label="better" if better else "worse")


def verdict(row: Mapping[str, Any]) -> list[Markup | str]:
    """The gate's answer; of a refusal also the rules that refused."""
    text = row["gate"] or "not asked"
    kind = "pass" if text == "passed" else "fail" if text.startswith("refused") else "hold"
    head, _, why = text.partition(": ")
    return [badge(head, kind), f" {why}" if why else "", " promoted by hand" if row["by_hand"] else ""]
