"""How the models were made: training curves, and what pruning took away."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tasks.reporting import words
from tasks.reporting.charts import Bars, Line, bar, line
from tasks.reporting.frontier import frontier_chart
from tasks.reporting.inputs import REFERENCE, Material, Model
from tasks.reporting.markup import Markup
from tasks.reporting.results import difference, ratio
from tasks.reporting.section import Cell, Section, charts, figure_cell, more, none, table, tile, tiles

CURVES = (
    ("loss", "Training loss", "Loss"),
    ("val_AP50", "Validation AP50", "AP50"),
    ("val_AP", "Validation AP", "AP"),
    ("lr", "Learning rate", "Rate"),
)
LAYERS = 40  # layers in the chart; all of them are in the table
PRUNED = "pruned/torch"


def training(material: Material) -> Section:
    lead = (
        "One point an epoch. The pruned model starts from the trained one's weights, so its curves start higher. "
        "Accuracy is measured on the validation split with the averaged weights."
    )
    models = [m for m in (material.trained, material.pruned) if m.history]
    if not models:
        return Section("training", "Training", lead, [none("No history of a training is there.")])
    figures = [_curve(models, *one) for one in CURVES if one[0] != "lr" or _has(models, "lr")]
    said = [_best(model) for model in models]
    return Section("training", "Training", lead, [charts(*figures), none(" ".join(said)) if any(said) else None])


def _has(models: Sequence[Model], key: str) -> bool:
    return any(words.known(entry.get(key)) for model in models for entry in model.history)


def _curve(models: Sequence[Model], key: str, title: str, unit: str) -> Markup:
    lines = []
    for model in models:
        # epochs without a validation are left out, so that the line goes on
        points = [
            (float(entry.get("epoch", i + 1)), entry[key])
            for i, entry in enumerate(model.history)
            if words.known(entry.get(key))
        ]
        is_pruned = model.name == "pruned"
        lines.append(
            Line(
                "pruned, retrained" if is_pruned else model.name,
                [x for x, _ in points],
                [y for _, y in points],
                1 if is_pruned else 0,
                dashed=is_pruned,
            )
        )
    limits = (0.0, 1.0) if key.startswith("val_") else None
    return line(
        lines, title=title, x="Epoch", y=unit, limits=limits, zero=True, missing="The history has no value of it."
    )


def _best(model: Model) -> str:
    measured = [(e["val_AP"], e) for e in model.history if words.known(e.get("val_AP"))]
    if not measured:
        return ""
    value, entry = max(measured, key=lambda pair: pair[0])
    return (
        f"Best of {model.name}: epoch {entry.get('epoch', '?')} of {len(model.history)} with AP "
        f"{words.accuracy(value)} and AP50 {words.accuracy(entry.get('val_AP50'))}."
    )


def pruning(material: Material) -> Section:
    lead = (
        "Whole channels are removed, those that matter least, and what is left is trained again. "
        "Latency is the median of the torch model at batch 1."
    )
    layers = channels(material.trained, material.pruned)
    made = _tiles(material)
    if not made and not layers:
        return Section("pruning", "Pruning", lead, [none("There is no pruned model.")])
    return Section("pruning", "Pruning", lead, [tiles(made), *_frontier(material), *_layers(layers)])


def _frontier(material: Material) -> list[Markup]:
    """All points on the way, where there is more than the whole network and the one that was taken."""
    points = [p for p in material.pruned.points if {"macs", "val_AP", "parameters", "kept_parameters"} <= p.keys()]
    if len(points) < 3:
        return []
    return [frontier_chart(points, next((at for at, p in enumerate(points) if p.get("taken")), len(points) - 1))]


def _tiles(material: Material) -> list[Markup]:
    told = material.pruned.prune
    before = told.get("parameters_before") or material.trained.parameters or None
    after = told.get("parameters_after") or material.pruned.parameters or None
    if not after:
        return []
    made = [_change("Parameters", before, after, words.short)]
    if words.known(told.get("macs_after")):
        made.append(_change("MACs", told.get("macs_before"), told["macs_after"], words.short))
    speeds = [material.speed(name).get("median_ms") for name in (REFERENCE, PRUNED)]
    if words.known(speeds[1]):
        made.append(_change("Latency", speeds[0], speeds[1], words.milliseconds))
    scores = [material.quality(name).get("AP50") for name in (REFERENCE, PRUNED)]
    if words.known(scores[1]):
        change = difference(scores[1], scores[0])
        made.append(
            tile(
                "AP50",
                words.accuracy(scores[1]),
                f"{words.accuracy(scores[0])} before",
                f"{words.points(change)} points" if change is not None else None,
            )
        )
    return made


def _change(name: str, before: Any, after: Any, said: Any) -> Markup:
    kept = ratio(after, before)
    return tile(
        name, said(after), f"{said(before)} before", f"{words.percent(kept)} kept" if kept is not None else None
    )


def channels(before: Model, after: Model) -> list[tuple[str, int, int]]:
    """Layer -> output channels before and after, by name; from the shapes of the weights themselves."""

    def width(model: Model) -> dict[str, int]:
        return {
            name.removesuffix(".weight"): shape[0]
            for name, shape in model.shapes.items()
            if name.endswith(".weight") and len(shape) in (2, 4)
        }

    old, new = width(before), width(after)
    return [(name, old[name], new[name]) for name in sorted(old.keys() & new.keys(), key=_natural)]


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """`blocks.10` after `blocks.2`."""
    parts = re.split(r"(\d+)", name)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def _layers(layers: list[tuple[str, int, int]]) -> list[Markup]:
    cut = [layer for layer in layers if layer[1] != layer[2]]
    if not layers:
        return [none("The weights could not be read, so the channels of the layers are not known.")]
    if not cut:
        return [none(f"No layer lost a channel: all {len(layers)} kept theirs.")]
    largest = sorted(sorted(cut, key=lambda c: c[2] - c[1])[:LAYERS], key=cut.index)
    note = f"Output channels of {len(largest)} of {len(layers)} layers."
    drawn = bar(
        [name for name, _, _ in largest],
        [Bars("before", [float(b) for _, b, _ in largest], None), Bars("after", [float(a) for _, _, a in largest], 1)],
        title="Channels before and after",
        note=note,
        x="Output channels",
        keep_end=True,
    )
    rows = [
        [
            Cell(name, name),
            figure_cell(b, words.count(b)),
            figure_cell(a, words.count(a)),
            figure_cell(a / b, words.percent(a / b)),
        ]
        for name, b, a in layers
    ]
    return [
        charts(drawn, two=True),
        more(
            f"All {len(layers)} layers",
            table(["Layer", "Before", "After", "Kept"], rows, label="Channels of all layers"),
        ),
    ]
