"""How much accuracy is left on worse pictures, before and after compression."""

from __future__ import annotations

from typing import Any

from tasks.metrics.robustness import STRENGTHS, Kind
from tasks.reporting import frame, words
from tasks.reporting.charts import Bars, Line, bar, line
from tasks.reporting.inputs import REFERENCE, Material
from tasks.reporting.markup import Markup
from tasks.reporting.results import ratio, smallest
from tasks.reporting.section import Cell, Section, charts, figure_cell, more, none, table

TITLE = "Robustness"
LEVELS = ("weak", "medium", "strong")


def robustness(material: Material) -> Section:
    lead = (
        "AP on the same pictures made worse: noise, blur, JPEG, brightness and contrast at three strengths "
        "(Hendrycks and Dietterich, 2019). Compression may cost more here than on clean pictures."
    )
    names = [name for name in material.artefacts if _of(material, name)]
    if not names:
        return Section("robustness", TITLE, lead, [none("Robustness was not measured: evaluate.robustness.pictures is "
                                                        "0, or the evaluation is of an earlier version.")])
    kinds = [kind for kind in STRENGTHS if any(kind in _of(material, name) for name in names)]
    ends = [name for name in dict.fromkeys([REFERENCE, smallest(material) or REFERENCE]) if name in names]
    shown = ends or names[:1]
    figures = charts(_kept(material, shown, kinds), *_curves(material, shown, kinds))
    body = [_overview(material, names, kinds), figures, _strengths(material, names, kinds)]
    return Section("robustness", TITLE, lead, body)


def _of(material: Material, name: str) -> dict[str, Any]:
    found = material.quality(name).get("robustness")
    return found if isinstance(found, dict) else {}


def _mean(values: Any) -> float | None:
    known = [value for value in values or [] if words.known(value)] if isinstance(values, list) else []
    return sum(known) / len(known) if known else None


def _overview(material: Material, names: list[str], kinds: list[Kind]) -> Markup:
    heads = ["Artefact", "Clean", "Mean of\nthe worse", "Kept", *[kind.capitalize() for kind in kinds]]
    rows = []
    for name in names:
        one = _of(material, name)
        mean, kept = one.get("mean"), ratio(one.get("mean"), one.get("clean"))
        rows.append([Cell(name, name), figure_cell(one.get("clean"), words.accuracy(one.get("clean"))),
                     figure_cell(mean, words.accuracy(mean), gauge=mean if words.known(mean) else None,
                                 colour=frame.colour_class(0 if name.startswith("trained/") else 1)),
                     figure_cell(kept, words.percent(kept)),
                     *[figure_cell(_mean(one.get(kind)), words.accuracy(_mean(one.get(kind)))) for kind in kinds]])
    return table(heads, rows, label="AP on worse pictures", sortable=True)


def _kept(material: Material, names: list[str], kinds: list[Kind]) -> Markup:
    sets = [Bars(name, [_mean(_of(material, name).get(kind)) for kind in kinds], place)
            for place, name in enumerate(names)]
    return bar([kind.capitalize() for kind in kinds], sets, title="By kind", x="AP, mean of the three strengths",
               note="Before and after compression.", missing="These pictures have no labelled box.")


def _curves(material: Material, names: list[str], kinds: list[Kind]) -> list[Markup]:
    figures = []
    for name in names:
        one = _of(material, name)
        lines = [Line(kind, [0, 1, 2, 3], [one.get("clean"), *one.get(kind, [None] * 3)], colour)
                 for colour, kind in enumerate(kinds)]
        figures.append(line(lines, title=name, note="From clean pictures (0) to the strongest corruption (3).",
                            x="Strength", y="AP", zero=True, missing="These pictures have no labelled box."))
    return figures


def _strengths(material: Material, names: list[str], kinds: list[Kind]) -> Markup:
    heads = ["Artefact", *[f"{kind.capitalize()}\n{STRENGTHS[kind][level]:g}"
                           for kind in kinds for level in range(3)]]
    rows = [[Cell(name, name), *[figure_cell(value, words.accuracy(value)) for kind in kinds
                                 for value in (_of(material, name).get(kind) or [None] * 3)]] for name in names]
    return more("Every strength", table(heads, rows, label="AP at every strength", sortable=True))
