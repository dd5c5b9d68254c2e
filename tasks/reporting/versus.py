"""Two models on one page: what changed, by class and slice, what it costs, and the pictures on which they differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.metrics.disagreement import Differing, Seen
from tasks.reporting import charts, frame, words
from tasks.reporting.charts import Bars
from tasks.reporting.comparison import FEW_CLASSES, legend
from tasks.reporting.markup import Markup, element, join, shorten
from tasks.reporting.pictures import Album, Mark, captioned, gallery
from tasks.reporting.scale import linear
from tasks.reporting.section import Cell, Section, figure_cell, none, table, tile, tiles
from tasks.reporting.shell import render

if TYPE_CHECKING:
    from tasks.data.table import Dataset

KINDS = {"same": "", "alone": "seen", "other": "expected"}
# a box of one side alone is drawn thick, one of another class dashed
STYLE = ".boxes .seen rect+rect{stroke-width:3.4}.plot .span{stroke:var(--c);stroke-width:2.5;stroke-linecap:round}"


def versus_page(told: dict[str, Any], dataset: Dataset, raw: Path | None, worst: Sequence[Differing]) -> str:
    """The comparison as one HTML text that needs no other file.

    Args:
        told: what `tasks.registry.comparison.comparing.compare` found.
        raw: folder of the pictures, None where they are not here: the page then shows none.
        worst: pictures on which they differ most.
    """
    sections = [summary(told), classes(told), slices(told), costs(told), differing(told, dataset, raw, worst)]
    test = told["test"]
    facts = [("A", told["a"]["title"]), ("B", told["b"]["title"]), ("Pictures", words.count(test["images"])),
             ("Boxes", words.count(test["boxes"])), ("Test set", element("code", test["hash"][:16]))]
    heading = f"{shorten(told['a']['title'], 50)} → {shorten(told['b']['title'], 50)}"
    return render(heading, "compare", facts, sections, tab=f"{told['a']['title']} and {told['b']['title']}",
                  style=STYLE, foot=_foot(told))


def _foot(told: dict[str, Any]) -> Markup:
    return join(["Made by visionmill. This page needs no network and no other file. ",
                 f"Intervals: paired bootstrap over pictures, {told['draws']} draws, 95 %. Pictures: ",
                 told["test"]["source"], "."])


def summary(told: dict[str, Any]) -> Section:
    """The totals in tiles and a table."""
    lead = "B against A on the same pictures: a positive change means that B is better."
    entries = [tile(key, words.points(one["change"]["value"]), f"points, 95 % from {_points(one['change'], ' to ')}",
                    _said(one["change"])) for key, one in told["measures"].items()]
    speed, found = told["latency"], told["disagreements"]
    if speed["times_faster"]:
        entries.append(tile("Speed", words.times(speed["times_faster"]),
                            f"{words.milliseconds(speed['a_ms'])} → {words.milliseconds(speed['b_ms'])}",
                            "on the same machine" if speed["same_machine"] else "not on the same machine"))
    entries.append(tile("Pictures that differ", words.count(found["pictures"]), f"of {told['test']['images']}",
                        f"at a score of {found['threshold']:g}"))
    rows = [[Cell(key), *_cells(one)] for key, one in told["measures"].items()]
    return Section("summary", "In short", lead, [tiles(entries), table(HEADS, rows, label="Accuracy")])


HEADS = ("", "A", "95 %", "B", "95 %", "change", "95 %")
SPREADS = (1, 3)  # cells of a row that hold the intervals of A and of B


def _cells(one: dict[str, Any]) -> list[Cell]:
    change = one["change"]
    return [figure_cell(one["a"]["value"], words.accuracy(one["a"]["value"])), Cell(_range(one["a"]), class_="dim"),
            figure_cell(one["b"]["value"], words.accuracy(one["b"]["value"])), Cell(_range(one["b"]), class_="dim"),
            figure_cell(change["value"], words.points(change["value"]), class_="best" if _shown(change) else None),
            Cell(_points(change, " to "), class_="dim")]


def _range(one: dict[str, Any]) -> str:
    return words.NONE if one["low"] is None else f"{one['low']:.3f} – {one['high']:.3f}"


def _points(one: dict[str, Any], between: str) -> str:
    return words.NONE if one["low"] is None else f"{words.points(one['low'])}{between}{words.points(one['high'])}"


def _shown(change: dict[str, Any]) -> bool:
    return change["low"] is not None and not change["low"] <= 0 <= change["high"]


def _said(change: dict[str, Any]) -> str:
    if change["low"] is None:
        return "no ground truth to measure it on"
    if not _shown(change):
        return "no difference is shown"
    return "B is better" if change["value"] > 0 else "A is better"


def classes(told: dict[str, Any]) -> Section:
    """AP50 of each class: a chart of the changes and all numbers."""
    lead = "AP50 of each class. A line that does not cross 0 is a change that the test set shows."
    rows = [[Cell(shorten(one["name"], 40), one["name"]), Cell(words.count(one["boxes"]), one["boxes"]),
             *_cells(one["AP50"]), Cell(words.points(one["AP"]["change"]["value"]), one["AP"]["change"]["value"])]
            for one in told["classes"]]
    heads = ("class", "boxes", *HEADS[1:], "change of AP")
    sides = [Bars(name, [one["AP50"][side]["value"] for one in told["classes"]], place)
             for place, (name, side) in enumerate((("A", "a"), ("B", "b")))]
    names = [one["name"] for one in told["classes"]]
    figures = element("div", charts.bar(names, sides, title="AP50 by class", x="AP50", limits=(0, 1),
                                        missing="No class has ground truth here."),
                      spans("Change by class", [(one["name"], one["AP50"]["change"]) for one in told["classes"]]),
                      class_="charts two")
    return Section("classes", "Classes", lead, [figures, table(heads, rows, label="Classes", sortable=True)])


def slices(told: dict[str, Any]) -> Section:
    """AP50 of parts of the test set."""
    lead = "AP50 on parts of the test set: size of box and of picture, tags, folders, groups, as far as there are any."
    if not told["slices"]:
        return Section("slices", "Slices", lead, [none("The test set has no parts.")])
    rows = [[Cell(f"{one['by'].replace('_', ' ')}: {shorten(one['name'], 40)}", one["name"]),
             Cell(words.count(one["images"]), one["images"]), Cell(words.count(one["boxes"]), one["boxes"]),
             *(cell for place, cell in enumerate(_cells(one["AP50"])) if place not in SPREADS)]
            for one in told["slices"]]
    drawn = spans("Change by slice", [(f"{one['by'].replace('_', ' ')}: {one['name']}", one["AP50"]["change"])
                                      for one in told["slices"]])
    return Section("slices", "Slices", lead, [
        element("div", drawn, class_="charts"),
        table(("slice", "pictures", "boxes", "A", "B", *HEADS[5:]), rows, label="Slices", sortable=True)])


def spans(title: str, rows: Sequence[tuple[str, dict[str, Any]]]) -> Markup:
    """A change with its interval a row, in points, around 0."""
    rows = [(name, one) for name, one in rows if one["value"] is not None and one["low"] is not None]
    if not rows:
        return frame.empty(title, "Nothing can be measured here.")
    names = [shorten(name, 24) for name, _ in rows]
    left = min(max(map(len, names)) * frame.CHARACTER + 14, 170.0)
    area = frame.Area(left=left, top=8, right=frame.WIDTH - 16, bottom=8 + 22.0 * len(rows))
    ends = [100 * v for _, one in rows for v in (one["low"], one["high"])]
    across = linear([*ends, 0.0], area.left, area.right, wanted=5)
    marks = [frame.rule(across(v), area.top, across(v), area.bottom) for v in across.ticks]
    marks.append(frame.rule(across(0.0), area.top, across(0.0), area.bottom, "axis"))
    for place, ((full, one), name) in enumerate(zip(rows, names, strict=True)):
        y = area.top + 22 * place + 11
        hint = frame.tip(f"{full}\n{words.points(one['value'])} points, 95 % from {_points(one, ' to ')}")
        colour = frame.colour_class((0 if one["value"] > 0 else 1) if _shown(one) else None)
        marks += [frame.text(left - 8, y + 4, name, anchor="end", class_="name"), element(
            "g", frame.rule(across(100 * one["low"]), y, across(100 * one["high"]), y, "span"),
            element("circle", hint, cx=across(100 * one["value"]), cy=y, r=4.0, class_="dot"), class_=colour)]
    drawing = frame.canvas([*marks, *frame.x_axis(area, across, "Change of AP50, points")], title,
                           height=area.bottom + 42)
    note = "Right of 0 B is better, left of it A; grey where the interval crosses 0: not shown."
    tall = element("div", drawing, class_="tall", tabindex="0", role="group", aria_label=title)
    return frame.figure(title, note, tall if area.bottom > 520 else drawing)


def costs(told: dict[str, Any]) -> Section:
    """What each costs to run, and where it comes from."""
    lead = "As recorded when each was made; latency is the median of one picture."
    if told["latency"]["same_machine"] is False:
        lead += " The two were timed on different machines: the times cannot be compared."
    shown = (("Latency", "median_ms", words.milliseconds), ("Size of the file", "bytes", words.size),
             ("Parameters", "parameters", words.short), ("MACs of one picture", "macs", words.short),
             ("Artefact", "artefact", str), ("Ran on", "provider", str), ("Machine", "machine", str),
             ("Gate", "gate", str), ("Commit", "git_commit", lambda v: str(v)[:12]), ("File", "file", str),
             ("SHA-256", "sha256", lambda v: str(v)[:16]))
    rows = [[Cell(name), *(Cell(make(told[side][key]) if told[side].get(key) is not None else words.NONE)
                           for side in ("a", "b"))] for name, key, make in shown
            if any(told[side].get(key) is not None for side in ("a", "b"))]
    return Section("costs", "Speed, size, origin", lead,
                   [table(("", "A", "B"), rows, label="Costs", text=(1, 2))])


def differing(told: dict[str, Any], dataset: Dataset, raw: Path | None, worst: Sequence[Differing]) -> Section:
    """The pictures on which they differ most, side by side with the labels."""
    found = told["disagreements"]
    lead = (f"Boxes above a score of {found['threshold']:g}, matched one to one at an IoU of 0.5: "
            f"{words.count(found['only_a'])} of A alone, {words.count(found['only_b'])} of B alone, "
            f"{words.count(found['other_class'])} found by both with another class. Thick: only that side has it; "
            "dashed: the other side names another class.")
    if not worst:
        return Section("differ", "Where they disagree", lead, [none("They agree on every box.")])
    if raw is None:
        files = [element("li", f"{one['file']}: {_count(one)}") for one in found["worst"]]
        return Section("differ", "Where they disagree", lead,
                       [none("The pictures are not here; these are their names."), element("ul", files)])
    album = Album(raw, dataset.images, 3 * len(worst))
    rows = [_row(told, album, dataset, one, place) for place, one in enumerate(worst)]
    return Section("differ", "Where they disagree", lead, [legend(dataset.meta.classes), *rows])


def _count(one: dict[str, Any]) -> str:
    return f"{one['only_a']} of A alone, {one['only_b']} of B alone, {one['other_class']} other class"


def _row(told: dict[str, Any], album: Album, dataset: Dataset, one: Differing, place: int) -> Markup:
    at = dataset.images["image_id"].to_pylist().index(one.image_id)
    file, width, height = (dataset.images[name][at].as_py() for name in ("file", "width", "height"))
    boxes = dataset.annotations.filter(dataset.annotations["image_id"].to_numpy() == one.image_id)
    truth = [_mark(dataset, Seen((b["x"], b["y"], b["x"] + b["w"], b["y"] + b["h"]), b["class_id"], 1.0, "same"), None)
             for b in boxes.select(["x", "y", "w", "h", "class_id"]).to_pylist()]
    shots = [captioned(album.shot(file, (width, height), marks, label=f"{file}, {name}"), name, said)
             for name, marks, said in (
                 ("Labelled", truth, words.plural(len(truth), "box")),
                 ("A", [_mark(dataset, s, s.score) for s in one.a], f"{words.plural(one.only_a, 'box')} alone"),
                 ("B", [_mark(dataset, s, s.score) for s in one.b], f"{words.plural(one.only_b, 'box')} alone"))]
    title = f"{shorten(file, 80)}: {_count(told['disagreements']['worst'][place])}"
    return element("div", element("h3", title), gallery(shots), class_="row")


def _mark(dataset: Dataset, seen: Seen, score: float | None) -> Mark:
    name = dataset.meta.classes[seen.class_id]
    label = shorten(name, 16) if len(dataset.meta.classes) > FEW_CLASSES else ""
    return Mark(seen.box, seen.class_id, name if score is None else f"{name} {score:.2f}", kind=KINDS[seen.kind],
                label=label)
