"""What the models learned from: distributions of classes and sizes, what validation found, samples with boxes."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from tasks.data.table import Dataset
from tasks.reporting import boxes, words
from tasks.reporting.charts import Bars, Line, bar, line
from tasks.reporting.comparison import legend, truth_marks
from tasks.reporting.inputs import Material
from tasks.reporting.markup import Markup, element, escape
from tasks.reporting.pictures import Album, captioned, gallery
from tasks.reporting.section import Cell, Section, charts, figure_cell, more, none, table

LISTED = 100  # findings of one kind that are listed
COLOUR = {"train": 0, "val": 1, "test": 2}
BIN = 2**0.5  # ratio of neighbouring edges of the size histogram


def distributions(material: Material) -> Section:
    lead = (
        "The splits should look alike here: where a class or a size is rare in training or missing in a split, "
        "its accuracy says little."
    )
    if not material.splits:
        return Section("data", "Data", lead, [none("No picture belongs to a split.")])
    counts = {
        name: np.bincount(s.annotations["class_id"].to_numpy(), minlength=len(material.classes))
        for name, s in material.splits.items()
    }
    figures = [_classes(material, counts), *_sizes(material), _crowding(material)]
    return Section("data", "Data", lead, [charts(*figures), _table(material, counts)])


def _classes(material: Material, counts: dict[str, np.ndarray]) -> Markup:
    sets = [
        Bars(
            name,
            [100 * v / max(c.sum(), 1) for v in c.tolist()],
            COLOUR[name],
            [f"{100 * v / max(c.sum(), 1):.1f}" for v in c.tolist()],
        )
        for name, c in counts.items()
    ]
    return bar(
        material.classes,
        sets,
        title="Classes",
        note="Share of a split's boxes.",
        x="Share of boxes, %",
        missing="No box is labelled.",
    )


def box_sides(dataset: Dataset) -> np.ndarray:
    """Width and height in pixels, [n, 2], of every box that has both and is no crowd."""
    w, h, crowd = (dataset.annotations[n].to_numpy() for n in ("w", "h", "iscrowd"))
    return np.stack([w, h], axis=1)[~crowd.astype(bool) & (w > 0) & (h > 0)]


def _sizes(material: Material) -> list[Markup]:
    sides = {name: box_sides(s) for name, s in material.splits.items()}
    said = "Share of a split's boxes; "
    return [
        _logarithmic(
            {name: np.sqrt(s.prod(axis=1)) for name, s in sides.items()},
            title="Size of boxes",
            note=said + "size is the square root of width × height.",
            x="Size, px (logarithmic)",
        ),
        _logarithmic(
            {name: s[:, 0] / s[:, 1] for name, s in sides.items()},
            title="Shape of boxes",
            note=said + "1 is a square, above 1 is wide.",
            x="Width / height (logarithmic)",
        ),
    ]


def _logarithmic(values: dict[str, np.ndarray], *, title: str, note: str, x: str) -> Markup:
    everything = np.concatenate([np.zeros(0), *values.values()])
    lines = []
    if everything.size:
        low, high = (np.log(v) / np.log(BIN) for v in (everything.min(), everything.max()))
        edges = BIN ** np.arange(np.floor(low + 1e-9), np.ceil(high + 1e-9) + 1.5)
        lines = [_steps(name, v, edges) for name, v in values.items() if v.size]
    return line(
        lines, title=title, note=note, x=x, y="Share of boxes, %", log=True, zero=True, missing="No box is labelled."
    )


def _crowding(material: Material) -> Markup:
    counts = {}
    for name, split in material.splits.items():
        ids, owner = split.images["image_id"].to_numpy(), split.annotations["image_id"].to_numpy()
        counts[name] = np.searchsorted(np.sort(owner), ids, "right") - np.searchsorted(np.sort(owner), ids, "left")
    most = max((int(c.max()) for c in counts.values() if c.size), default=0)
    width = max(1, -(-(most + 1) // 24))
    edges = np.arange(0, most + width + 1, width) - 0.5
    lines = [_steps(name, c, edges) for name, c in counts.items() if c.size]
    return line(
        lines,
        title="Boxes on a picture",
        note="Share of a split's pictures.",
        x="Boxes on a picture",
        y="Share of pictures, %",
        zero=True,
        missing="There are no pictures.",
    )


def _steps(name: str, values: np.ndarray, edges: np.ndarray) -> Line:
    """A histogram as an outline: shares in percent over the edges."""
    heights = 100 * np.histogram(values, edges)[0] / max(values.size, 1)
    outline = [0.0, *np.repeat(heights, 2).tolist(), 0.0]
    return Line(name, np.repeat(edges, 2).tolist(), outline, COLOUR[name], filled=True)


def _table(material: Material, counts: dict[str, np.ndarray]) -> Markup:
    heads = ["Class", *counts]
    rows = [
        [Cell(label, label), *[figure_cell(int(c[i]), words.count(int(c[i]))) for c in counts.values()]]
        for i, label in enumerate(material.classes)
    ]
    return more("Boxes of each class", table(heads, rows, label="Boxes of each class", sortable=True))


def findings(material: Material) -> Section:
    lead = "What validation found in the raw data, and what was done about it. Nothing is dropped without being listed."
    if material.findings is None:
        return Section("findings", "Validation findings", lead, [none("Validation left no list of findings.")])
    if not material.findings:
        return Section("findings", "Validation findings", lead, [none("Validation found nothing wrong.")])
    kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for finding in material.findings:
        kinds[str(finding.get("kind", "unknown"))].append(finding)
    ordered = sorted(kinds.items(), key=lambda kind: (-len(kind[1]), kind[0]))
    rows = [
        [
            Cell(_spoken(kind), kind),
            figure_cell(len(found), words.count(len(found))),
            Cell(", ".join(sorted({str(f.get("action", "listed")) for f in found}))),
            Cell(_told(found[0])),
        ]
        for kind, found in ordered
    ]
    body = table(["Kind", "Findings", "Done", "The first of them"], rows, label="Findings by kind", text=[2, 3])
    return Section("findings", "Validation findings", lead, [body, *[_listed(kind, found) for kind, found in ordered]])


def _spoken(kind: str) -> str:
    return kind.replace("_", " ")


def _told(finding: dict[str, Any]) -> str:
    place = " ".join(str(finding[k]) for k in ("file", "row") if finding.get(k))
    return f"{place}: {finding.get('detail', '')}".strip(": ") or "no detail"


def _listed(kind: str, found: list[dict[str, Any]]) -> Markup:
    rows = [
        [
            Cell(element("code", str(f.get("file", "")))),
            Cell(str(f.get("row", ""))),
            Cell(str(f.get("detail", ""))),
            Cell(str(f.get("action", "listed"))),
        ]
        for f in found[:LISTED]
    ]
    rest = len(found) - LISTED
    tail = (
        element("p", f"{words.count(rest)} more are in data/valid/findings.json.", class_="dim") if rest > 0 else None
    )
    body = table(["File", "Row", "What", "Done"], rows, label=f"Findings: {_spoken(kind)}", text=[1, 2, 3])
    return more(f"{_spoken(kind)} ({words.count(len(found))})", body, tail)


def samples(material: Material, album: Album, wanted: int) -> Section:
    lead = "Pictures with their labels, a few a split; the rarest classes are among them."
    if not material.splits or not wanted:
        reason = "No samples were asked for." if material.splits else "No picture belongs to a split."
        return Section("samples", "Samples", lead, [none(reason)])
    parts = [_split_samples(material, album, name, split, wanted) for name, split in material.splits.items()]
    return Section("samples", "Samples", lead, [legend(material.classes), parts])


def _split_samples(material: Material, album: Album, name: str, split: Dataset, wanted: int) -> list[Markup]:
    shots = []
    for image in boxes.typical(split, wanted):
        file, size = material.pictures[image]
        marks = truth_marks(material, image)
        said = words.plural(len(marks), "box") if marks else "no box"
        shots.append(captioned(album.shot(file, size, marks, label=f"{file}, {name} split"), said, file))
    title = f"{name}, {words.plural(split.images.num_rows, 'picture')}"
    return [element("h3", escape(title)), gallery(shots)]
