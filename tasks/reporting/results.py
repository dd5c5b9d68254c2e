"""What came out: summary, the artefact table, accuracy against latency, and pictures before and after compression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.reporting import frame, words
from tasks.reporting.charts import Bars, Dot, bar, scatter
from tasks.reporting.frame import Key
from tasks.reporting.inputs import REFERENCE, Material
from tasks.reporting.markup import Markup, element
from tasks.reporting.scale import fitting
from tasks.reporting.section import Cell, Section, charts, figure_cell, none, table, tile, tiles
from tasks.runtime.artefacts import in_order


def ratio(over: object, under: object) -> float | None:
    return over / under if words.known(over) and words.known(under) and under > 0 else None


def difference(new: object, old: object) -> float | None:
    return new - old if words.known(new) and words.known(old) else None


def smallest(material: Material) -> str | None:
    """The artefact at the end of the line: the pruned model for the last target that really ran here."""
    ran = [name for name in material.artefacts if not material.quality(name).get("emulated")]
    return next(reversed(ran or material.artefacts), None)


def summary(material: Material) -> Section:
    last = smallest(material)
    lead = (
        f"This line at a glance. Accuracy is COCO average precision on the {material.split} split; "
        "latency is measured at batch 1."
    )
    return Section(
        "summary",
        "Summary",
        lead,
        [tiles([*_accuracy_tiles(material, last), *_cost_tiles(material, last), *_data_tiles(material)])],
    )


def _accuracy_tiles(material: Material, last: str | None) -> list[Markup]:
    before = material.quality(REFERENCE)
    pictures = material.metrics.get("images")
    on = f"on {words.plural(pictures, material.split + ' picture')}" if isinstance(pictures, int) else None
    made = [
        tile(
            "AP50",
            words.accuracy(before.get("AP50")),
            element("b", REFERENCE),
            f"AP {words.accuracy(before.get('AP'))}",
            on,
        )
    ]
    if last and last != REFERENCE:
        after = material.quality(last)
        change = difference(after.get("AP50"), before.get("AP50"))
        made.append(
            tile(
                "AP50",
                words.accuracy(after.get("AP50")),
                element("b", last),
                f"AP {words.accuracy(after.get('AP'))}",
                f"{words.points(change)} points" if change is not None else None,
            )
        )
    return made


def _cost_tiles(material: Material, last: str | None) -> list[Markup]:
    if not last or last == REFERENCE:
        return []
    old, new = (material.speed(name).get("median_ms") for name in (REFERENCE, last))
    was, now = (material.bytes_of(name) for name in (REFERENCE, last))
    made = (
        [
            tile(
                "Latency",
                words.milliseconds(new),
                element("b", last),
                f"{words.milliseconds(old)} before",
                f"{words.times(ratio(old, new))} as fast",
            )
        ]
        if words.known(new)
        else []
    )
    if words.known(now):
        made.append(
            tile(
                "Size",
                words.size(now),
                element("b", last),
                f"{words.size(was)} before",
                f"{words.percent(ratio(now, was))} of it",
            )
        )
    return made


def _data_tiles(material: Material) -> list[Markup]:
    dataset = material.dataset
    parts = " · ".join(f"{name} {words.count(s.images.num_rows)}" for name, s in material.splits.items())
    return [
        tile("Pictures", words.count(dataset.images.num_rows), parts or "no split"),
        tile("Boxes", words.count(dataset.annotations.num_rows), words.plural(len(material.classes), "class")),
    ]


def artefacts(material: Material) -> Section:
    lead = (
        f"Every file of this line, measured alike. Change and speed-up are against {REFERENCE}; "
        "a column's head sorts by it. The best value of a column is bold."
    )
    if not material.artefacts:
        return Section("artefacts", "Artefacts", lead, [none("No artefact was evaluated or timed.")])
    heads = ["Artefact", "AP", "AP50", "95 % of\nAP50", "Change", "AP75", "On worse\npictures", "Size", "Latency"]
    heads += ["p95", "Throughput", "Speed-up"]
    best = _best(material)
    rows = [_row(material, name, best) for name in material.artefacts]
    groups = [
        i
        for i, name in enumerate(material.artefacts)
        if i and name.partition("/")[2] != material.artefacts[i - 1].partition("/")[2]
    ]
    body = [table(heads, rows, label="Artefacts", sortable=True, groups=groups), _machine(material), *_notes(material)]
    return Section("artefacts", "Artefacts", lead, [*body, charts(_tradeoff(material), _latencies(material), two=True)])


def _best(material: Material) -> dict[str, float]:
    names, high = material.artefacts, {}
    for key in ("AP", "AP50", "AP75"):
        high[key] = max((v for n in names if words.known(v := material.quality(n).get(key))), default=-1.0)
    high["median_ms"] = min((v for n in names if words.known(v := material.speed(n).get("median_ms"))), default=-1.0)
    high["bytes"] = min((v for n in names if words.known(v := material.bytes_of(n))), default=-1.0)
    return high


def _row(material: Material, name: str, best: dict[str, float]) -> list[Cell]:
    quality, speed, size = material.quality(name), material.speed(name), material.bytes_of(name)
    change = difference(quality.get("AP50"), material.quality(REFERENCE).get("AP50"))
    worse = (quality.get("robustness") or {}).get("mean")
    gain = ratio(material.speed(REFERENCE).get("median_ms"), speed.get("median_ms"))
    colour = frame.colour_class(_colour(name))

    def bold(key: str, value: object) -> str | None:
        return "best" if len(material.artefacts) > 1 and words.known(value) and value == best[key] else None

    def score(key: str, gauge: bool = False) -> Cell:
        value = quality.get(key)
        share = float(value) if gauge and words.known(value) else None
        return figure_cell(value, words.accuracy(value), gauge=share, colour=colour, class_=bold(key, value))

    latency = speed.get("median_ms")
    return [
        Cell(name, name),
        score("AP"),
        score("AP50", gauge=True),
        _range(quality.get("AP50_low"), quality.get("AP50_high")),
        figure_cell(change, words.points(change) + _sure(quality.get("AP50_change"))),
        score("AP75"),
        figure_cell(worse, words.accuracy(worse)),
        figure_cell(size, words.size(size), class_=bold("bytes", size)),
        figure_cell(latency, words.milliseconds(latency), class_=bold("median_ms", latency)),
        figure_cell(speed.get("p95_ms"), words.milliseconds(speed.get("p95_ms"))),
        figure_cell(speed.get("throughput_per_s"), _per_second(speed.get("throughput_per_s"))),
        figure_cell(gain, words.times(gain)),
    ]


def _range(low: object, high: object) -> Cell:
    if not (words.known(low) and words.known(high)):
        return figure_cell(None, words.NONE)
    return figure_cell(low, f"{words.accuracy(low)} \u2013 {words.accuracy(high)}")


def _sure(change: object) -> str:
    """A star where 0 lies outside the interval of a difference."""
    low, high = (change.get("low"), change.get("high")) if isinstance(change, dict) else (None, None)
    return " *" if words.known(low) and words.known(high) and not low <= 0 <= high else ""


def _notes(material: Material) -> list[Markup]:
    """What the table cannot say: stars, artefacts that another runtime stood in for, and what was left out."""
    qualities = {name: material.quality(name) for name in material.artefacts}
    said = []
    if any(_sure(one.get("AP50_change")) for one in qualities.values()):
        said.append("* The change is not 0 at 95 %, by a paired bootstrap over the pictures.")
    said += _alike("emulated by ONNX Runtime on the CPU", {name: one.get("emulated_because", "")
                                                          for name, one in qualities.items() if one.get("emulated")})
    said += [f"{name} is slower than {one.get('faster_float', 'the float file')}: 8 bits gain nothing here."
             for name in material.artefacts if (one := material.speed(name)).get("slower_than_float")]
    for stage, found in (("measured", material.metrics), ("timed", material.benchmark)):
        left_out = found.get("left_out")
        said += _alike(f"not {stage}", left_out if isinstance(left_out, dict) else {})
    return [element("p", one, class_="dim") for one in said]


def _alike(what: str, reasons: Mapping[str, str]) -> list[str]:
    """One sentence a reason, with all the artefacts that it holds for."""
    return [f"{', '.join(in_order(n for n, why in reasons.items() if why == reason))}: {what}, since {reason}."
            for reason in dict.fromkeys(reasons.values())]


def _per_second(value: object) -> str:
    return f"{words.digits(value)} /s" if words.known(value) else words.NONE


def _machine(material: Material) -> Markup:
    machine = material.benchmark.get("machine")
    if not isinstance(machine, dict) or not machine:
        return none("Nothing was timed: there is no benchmark of these artefacts.")
    facts = " · ".join(f"{str(key).replace('_', ' ')}: {_fact(value)}" for key, value in machine.items())
    return element("p", f"Timed on {facts}", class_="dim")


def _fact(value: Any) -> str:
    return words.digits(value) if isinstance(value, float) else str(value)


def _colour(name: str) -> int:
    return 0 if name.startswith("trained/") else 1


def _tradeoff(material: Material) -> Markup:
    dots = []
    for name in material.artefacts:
        value, latency = material.quality(name).get("AP50"), material.speed(name).get("median_ms")
        if words.known(value) and words.known(latency):
            size = material.bytes_of(name) or 0.0
            said = f"{name}\nAP50 {words.accuracy(value)}\n{words.milliseconds(latency)}\n{words.size(size or None)}"
            dots.append(Dot(float(latency), float(value), size, name, said, _colour(name)))
    scale = fitting([d.x for d in dots], 62.0, frame.WIDTH - 24, ratio=8.0)
    unit = "Median latency at batch 1, ms" + (" (logarithmic)" if scale.log else "")
    return scatter(
        dots,
        title="Accuracy against latency",
        x=unit,
        y="AP50",
        x_scale=scale,
        note="Further left is faster, further up is better; a dot's area is the size of the file.",
        keys=[Key("trained", 0), Key("pruned", 1)],
        missing="No artefact has both an accuracy and a latency.",
    )


def _latencies(material: Material) -> Markup:
    names = [name for name in material.artefacts if words.known(material.speed(name).get("median_ms"))]
    sets = [
        Bars(said, [material.speed(name).get(key) for name in names], colour)
        for said, key, colour in (("median", "median_ms", 0), ("p95", "p95_ms", None))
    ]
    return bar(
        names,
        sets,
        title="Latency",
        note="Half of the calls are faster than the median, 19 of 20 faster than p95.",
        x="Latency, ms",
        missing="No artefact was timed.",
    )
