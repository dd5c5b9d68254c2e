"""How accurate and where not: per class, precision-recall, confusion, and the worst mistakes as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tasks.metrics.curves import Curve, confusion, pr_curves
from tasks.metrics.mistakes import Mistake, worst_mistakes
from tasks.reporting import frame, words
from tasks.reporting.charts import Line, line
from tasks.reporting.comparison import FEW_CLASSES
from tasks.reporting.heatmap import heatmap
from tasks.reporting.inputs import REFERENCE, Material
from tasks.reporting.markup import Markup
from tasks.reporting.pictures import Album, Mark, captioned, gallery, window_around
from tasks.reporting.results import difference, smallest
from tasks.reporting.section import Cell, Section, charts, figure_cell, more, none, table

POINTS = 120  # of a precision-recall curve
BACKGROUND = "background"
READABLE = 25  # classes up to which two confusion matrices stand side by side
NAMED = 12  # classes that a sentence lists
PAIRS = 12  # most confused pairs in the list
KIND = {"missed": "Missed", "false alarm": "False alarm", "wrong class": "Wrong class", "badly placed": "Badly placed"}


def shown(material: Material) -> list[str]:
    """The artefacts whose details are shown: the first and the last of the line that have detections."""
    ends = dict.fromkeys([REFERENCE, smallest(material) or REFERENCE])
    return [name for name in ends if name in material.detections]


def classes(material: Material) -> Section:
    lead = (
        "Average precision of each class. A class without a labelled box has nothing to be measured on: "
        "n/a, never 0, and left out of every mean."
    )
    names = [n for n in dict.fromkeys([REFERENCE, smallest(material) or ""]) if material.quality(n).get("per_class")]
    if not names:
        return Section("classes", "Classes", lead, [none("No artefact was evaluated class by class.")])
    heads = ["Class", "Labelled\nboxes"]
    for name in names:
        heads += [f"AP\n{name}", f"AP50\n{name}"]
    heads += ["Change\nof AP50"] if len(names) > 1 else []
    rows = [_class_row(material, names, i, label) for i, label in enumerate(material.classes)]
    body = table(heads, rows, label="Accuracy of each class", sortable=True)
    return Section("classes", "Classes", lead, [body, _sizes(material, names)])


def _class_row(material: Material, names: list[str], place: int, label: str) -> list[Cell]:
    per_class = [material.quality(name)["per_class"].get(label, {}) for name in names]
    boxes = per_class[0].get("ground_truth")
    row = [Cell(label, label), figure_cell(boxes, words.count(boxes))]
    # colours that repeat would mean nothing
    colour = frame.colour_class(place) if len(material.classes) <= FEW_CLASSES else None
    for one in per_class:
        value = one.get("AP50")
        row.append(figure_cell(one.get("AP"), words.accuracy(one.get("AP"))))
        row.append(figure_cell(value, words.accuracy(value), gauge=value, colour=colour))
    if len(names) > 1:
        change = difference(per_class[1].get("AP50"), per_class[0].get("AP50"))
        row.append(figure_cell(change, words.points(change)))
    return row


def _sizes(material: Material, names: list[str]) -> Markup:
    heads = ["Artefact", "AP\nsmall", "AP\nmedium", "AP\nlarge", "AR\n100 boxes", "VOC\nsample", "VOC\nintegrate"]
    rows = []
    for name in names:
        quality = material.quality(name)
        voc = quality.get("voc") or {}
        values = [quality.get(k) for k in ("AP_small", "AP_medium", "AP_large", "AR_100")]
        values += [(voc.get(k) or {}).get("mAP") for k in ("sample", "integrate")]
        rows.append([Cell(name, name), *[figure_cell(v, words.accuracy(v)) for v in values]])
    limits = none(
        "Small: below 32 × 32 px, large: from 96 × 96 px. VOC: Pascal VOC's AP at 11 points and as the whole area."
    )
    return more("By size of box, and Pascal VOC", table(heads, rows, label="Accuracy by size of box"), limits)


def precision_recall(material: Material) -> Section:
    lead = (
        "Each line is one class, from its most certain detection on the left to the last on the right: how many of "
        "the labelled boxes are found (recall), and how many of the detections are right (precision). IoU 0.5."
    )
    names = shown(material)
    if not names:
        return Section("precision-recall", "Precision and recall", lead, [none("There are no detections to draw.")])
    figures = [_curves(material, name) for name in names]
    return Section("precision-recall", "Precision and recall", lead, [charts(*figures, two=True), _absent(material)])


def _curves(material: Material, artefact: str) -> Markup:
    curves = pr_curves(material.judged, material.detections[artefact])
    drawn = {name: curve.thinned(POINTS) for name, curve in curves.items() if curve is not None and len(curve.score)}
    colours = line_colours(material, list(drawn))
    lines = [
        Line(name, c.recall.tolist(), c.precision.tolist(), colours[name], dashed=_twice(colours[name]))
        for name, c in _from_zero(drawn).items()
    ]
    hint = "In colour: the four classes of the lowest AP. Point at a line for its name."
    note = hint if len(material.classes) > FEW_CLASSES else ""
    return line(
        lines,
        title=artefact,
        note=note,
        x="Recall",
        y="Precision",
        limits=(0.0, 1.0),
        x_limits=(0.0, 1.0),
        missing=f"{artefact} detects nothing that could be compared with a labelled box.",
    )


def _from_zero(curves: dict[str, Curve]) -> dict[str, Curve]:
    """The curve starts at recall 0 with the precision of its first point."""
    return {
        name: Curve(np.append(c.score[:1], c.score), np.append(c.precision[:1], c.precision), np.append(0.0, c.recall))
        for name, c in curves.items()
    }


def line_colours(material: Material, names: Sequence[str]) -> dict[str, int | None]:
    """A colour a class while the palette lasts; then only for the four of the lowest AP, the others are grey."""
    if len(material.classes) <= FEW_CLASSES:
        return {name: material.classes.index(name) for name in names}
    per_class: dict[str, Any] = material.quality(REFERENCE).get("per_class", {})
    ranked = sorted(names, key=lambda n: per_class.get(n, {}).get("AP") or 0.0)[:4]
    return {name: ranked.index(name) if name in ranked else None for name in names}


def _twice(colour: int | None) -> bool:
    return colour is not None and colour >= 4


def _absent(material: Material) -> Markup | None:
    counts = np.bincount(material.judged.annotations["class_id"].to_numpy(), minlength=len(material.classes))
    absent = [name for name, count in zip(material.classes, counts, strict=True) if not count]
    rest = f" and {len(absent) - NAMED} more" if len(absent) > NAMED else ""
    said = f"No labelled box on the {material.split} split, so no curve: {', '.join(absent[:NAMED])}{rest}."
    return none(said) if absent else None


def confusions(material: Material, threshold: float) -> Section:
    lead = (
        f"Rows are what is labelled, columns what was detected with a score of {threshold:g} or more, at IoU 0.5. "
        "The last column counts missed boxes, the last row false alarms. Darker is a larger share of the row."
    )
    names = shown(material)
    if not names:
        return Section("confusion", "Confusion between classes", lead, [none("There are no detections to compare.")])
    names = names if len(material.classes) <= READABLE else names[-1:]
    matrices = {n: confusion(material.judged, material.detections[n], score_threshold=threshold) for n in names}
    figures = [_matrix(material, name, matrix) for name, matrix in matrices.items()]
    listed = _confused(material, matrices[names[-1]], names[-1])
    return Section("confusion", "Confusion between classes", lead, [charts(*figures, two=True), listed])


def _matrix(material: Material, artefact: str, matrix: np.ndarray) -> Markup:
    """The heat map; of many classes only those that are labelled or were detected."""
    labels, note = [*material.classes, BACKGROUND], ""
    if len(material.classes) > READABLE:
        kept = np.flatnonzero((matrix.any(axis=0) | matrix.any(axis=1)) | (np.arange(len(labels)) == len(labels) - 1))
        note = f"Without the {len(labels) - len(kept)} classes that are neither labelled nor detected."
        matrix, labels = matrix[np.ix_(kept, kept)], [labels[i] for i in kept]
    missing = "Nothing is labelled and nothing was detected."
    return heatmap(
        matrix.tolist(), labels, labels, title=artefact, note=note, x="Detected", y="Labelled", missing=missing
    )


def _confused(material: Material, matrix: np.ndarray, artefact: str) -> Markup:
    between = matrix[:-1, :-1].copy()
    np.fill_diagonal(between, 0)
    order = np.argsort(-between, axis=None, kind="stable")[:PAIRS]
    pairs = [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, between.shape), strict=True) if between[i, j]]
    if not pairs:
        return none(f"{artefact} takes no class for another one; its mistakes are missed boxes and false alarms.")
    totals = matrix.sum(axis=1)
    rows = [
        [
            Cell(material.classes[i], material.classes[i]),
            Cell(material.classes[j], material.classes[j]),
            figure_cell(int(between[i, j]), words.count(between[i, j].item())),
            figure_cell(float(between[i, j] / totals[i]), words.percent(float(between[i, j] / totals[i]))),
        ]
        for i, j in pairs
    ]
    heads = ["Labelled", "Detected as", "Boxes", "Of all labelled"]
    return more(f"Most confused classes, {artefact}", table(heads, rows, label="Most confused classes", text=[1]))


def mistakes(material: Material, album: Album, wanted: int, threshold: float) -> Section:
    names = shown(material)
    artefact = names[-1] if names else ""
    lead = (
        f"What {artefact or 'the last artefact'} gets most wrong, each kind in turns: dashed is what is labelled, "
        "solid is what was detected. Labels can be wrong, too: these pictures are where to look first."
    )
    if not names:
        return Section("mistakes", "Worst mistakes", lead, [none("There are no detections to judge.")])
    worst = worst_mistakes(material.judged, material.detections[artefact], score_threshold=threshold, limit=wanted)
    if not worst:
        reason = "No mistakes were asked for." if not wanted else f"No mistake at a score of {threshold:g} or more."
        return Section("mistakes", "Worst mistakes", lead, [none(reason)])
    return Section("mistakes", "Worst mistakes", lead, [gallery([_mistake(material, album, one) for one in worst])])


def _mistake(material: Material, album: Album, one: Mistake) -> Markup:
    file, size = material.pictures[one.image_id]
    marks = []
    if one.true_box and one.true_class is not None:
        marks.append(
            Mark(corners(one.true_box), _index(material, one.true_class), f"expected {one.true_class}", kind="expected")
        )
    if one.found_box and one.found_class is not None:
        marks.append(
            Mark(
                corners(one.found_box),
                _index(material, one.found_class),
                f"seen {one.found_class} {one.score or 0:.2f}",
                kind="seen",
            )
        )
    window = window_around([mark.box for mark in marks], size)
    shot = album.shot(file, size, marks, label=f"{KIND[one.kind]} on {file}", window=window)
    expected = f"Expected: {one.true_class if one.true_class is not None else 'nothing'}"
    seen = "Seen: nothing" if one.found_class is None else f"Seen: {one.found_class}, score {one.score or 0:.2f}"
    overlap = f", IoU {one.iou:.2f}" if one.iou is not None else ""
    return captioned(shot, KIND[one.kind], expected, seen + overlap, file)


def corners(box: Sequence[float]) -> tuple[float, float, float, float]:
    x, y, w, h = box
    return x, y, x + w, y + h


def _index(material: Material, name: str) -> int:
    return material.classes.index(name) if name in material.classes else 0
