"""The page of suspicious labels as one HTML text: counts, the worst pictures, the worst places of each kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.base.files import write_atomic
from tasks.data.table import Dataset, full_disk_is_told
from tasks.reporting import words
from tasks.reporting.labels.shots import KINDS, LABEL, MODEL, Place, Shots
from tasks.reporting.markup import Markup, element, shorten
from tasks.reporting.pictures import BUDGET, Album, chips, gallery
from tasks.reporting.section import Cell, Section, figure_cell, none, table, tile, tiles
from tasks.reporting.shell import render

LIMIT = 8_000_000  # bytes of the whole page
STYLE = """
.boxes .other rect+rect{stroke-opacity:.55;stroke-width:1.1}.boxes .other rect.under{stroke-opacity:.22;stroke-width:2}
.boxes .box:not(.other) rect+rect{stroke-width:2.4}.boxes .box:not(.other) rect.under{stroke-width:4}
.gallery.wide{grid-template-columns:repeat(auto-fill,minmax(min(100%,380px),1fr))}
.gallery .shot{margin:0}
"""
WHAT = {
    "overlooked": "The model is sure of an object where no label is. Labels that are there are drawn thin.",
    "swapped": "The model is sure of another class than the label, in the same place; or two labels of different "
               "classes lie on each other.",
    "badly located": "The model sees an object of the label's class beside the label, not in it: the larger part of "
                     "one is not in the other.",
}
LEGEND = ("label", "model", "other labels, thin")


@dataclass(frozen=True)
class Shown:
    """What the page is made of.

    Attributes:
        title: the dataset's name.
        dataset: its pictures and labels; raw: where the pictures' names start.
        places: in the form of `labelling.checking.suspects.PLACES`, worst first.
        pictures: image_id and quality of all pictures that were looked at, worst first.
        facts: names and values below the heading: who spoke, how well.
        worst: whole pictures that are shown; crops: places of each kind.
    """

    title: str
    dataset: Dataset
    raw: Path
    places: pa.Table
    pictures: pa.Table
    facts: Sequence[tuple[str, str]]
    worst: int = 20
    crops: int = 40


def write_page(shown: Shown, out: Path) -> None:
    """Write the page: one file that needs no other, the same bytes for the same input.

    Raises:
        DataError: the disk is full.
    """
    page = build_page(shown)
    with full_disk_is_told(out):
        write_atomic(out, page)


def build_page(shown: Shown) -> str:
    """The whole page as one HTML text, below `LIMIT` bytes: pictures get coarser where there are many boxes."""
    places: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    of_picture: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for one in shown.places.to_pylist():
        places[one["kind"]].append(one)
        of_picture[one["image_id"]].append(one)
    text = ""
    for budget in (BUDGET, BUDGET // 2, BUDGET // 4):
        shots = _shots(shown, places, of_picture, budget)
        sections = [_summary(shown, places, of_picture), _worst(shown, of_picture, shots),
                    *(_places(kind, places[kind], shown.crops, shots) for kind in KINDS), _how()]
        facts = [("Pictures", words.count(shown.pictures.num_rows)), *shown.facts,
                 ("Licence", shown.dataset.meta.licence or "")]
        text = render(shorten(shown.title, 80), "label errors", facts, sections, style=STYLE)
        if len(text.encode()) < LIMIT:
            break
    return text


def _shots(shown: Shown, places: Mapping[str, Sequence[Place]], of_picture: Mapping[int, Sequence[Place]],
           budget: int) -> Shots:
    expected = min(shown.worst, len(of_picture)) + sum(min(shown.crops, len(some)) for some in places.values())
    wanted = [*of_picture]
    images = shown.dataset.images
    rows = {row["image_id"]: row for row in
            images.filter(_among(images["image_id"], wanted)).to_pylist()}
    labels: dict[int, list[Place]] = defaultdict(list)
    annotations = shown.dataset.annotations
    for row in annotations.filter(_among(annotations["image_id"], wanted)).select(
            ["annotation_id", "image_id", "class_id", "x", "y", "w", "h"]).to_pylist():
        labels[row["image_id"]].append(row)
    album = Album(shown.raw, images.filter(_among(images["image_id"], wanted)), expected, budget)
    return Shots(album, rows, labels, shown.dataset.meta.classes)


def _among(column: pa.ChunkedArray, wanted: Sequence[int]) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    return pc.is_in(column, value_set=pa.array(wanted, pa.int64()))


def _summary(shown: Shown, places: Mapping[str, Sequence[Place]], of_picture: Mapping[int, Sequence[Place]]) -> Section:
    lead = ("Places where a model that has not seen the labels says something else. A place is a question, not a "
            "verdict: people decide.")
    count = sum(len(some) for some in places.values())
    big = [tile("Places", words.count(count), f"on {words.plural(len(of_picture), 'picture')}"),
           *(tile(KINDS[kind], words.count(len(some)), _share(len(some), shown)) for kind, some in places.items())]
    labels = shown.dataset.annotations["class_id"].to_pylist()
    rows = []
    for number, name in enumerate(shown.dataset.meta.classes):
        mine = [sum(one["class_id"] == number for one in places[kind]) for kind in KINDS]
        rows.append([Cell(element("bdi", shorten(name, 40)), name), figure_cell(labels.count(number),
                     words.count(labels.count(number))), *(figure_cell(some, words.count(some)) for some in mine)])
    listed = table(["class", "labels", *(KINDS[kind].lower() for kind in KINDS)], rows, label="Places by class",
                   sortable=True)
    return Section("summary", "In short", lead, [tiles(big), listed])


def _share(count: int, shown: Shown) -> str | None:
    labels = shown.dataset.annotations.num_rows
    return f"{words.percent(count / labels)} of {words.count(labels)} labels" if labels else None


def _legend() -> Markup:
    return chips(LEGEND, (LABEL, MODEL, LABEL))


def _worst(shown: Shown, of_picture: Mapping[int, Sequence[Place]], shots: Shots) -> Section:
    quality = dict(zip(*(shown.pictures[name].to_pylist() for name in ("image_id", "quality")), strict=True))
    worst = [image for image in quality if image in of_picture][: shown.worst]
    lead = (f"The {words.plural(len(worst), 'picture')} of the lowest quality, worst first, with all their places. "
            "Point at a box for what it says.")
    if not worst:
        return Section("worst", "Worst pictures", "Pictures with suspicious places.", [none("No place is suspicious.")])
    drawn = [shots.whole(rank, quality[image], of_picture[image]) for rank, image in enumerate(worst, 1)]
    return Section("worst", "Worst pictures", lead, [_legend(), gallery(drawn, "gallery wide")])


def _places(kind: str, some: Sequence[Place], most: int, shots: Shots) -> Section:
    name = kind.replace(" ", "-")
    if not some:
        return Section(name, KINDS[kind], WHAT[kind], [none("None was found.")])
    rest = len(some) - most
    tail = element("p", f"and {words.count(rest)} more, less suspicious than these", class_="dim") if rest > 0 else None
    return Section(name, KINDS[kind], WHAT[kind],
                   [_legend(), gallery([shots.place(one) for one in some[:most]]), tail])


def _how() -> Section:
    lines = ["The predictions are of models that were not trained on these very pictures; a model repeats the errors "
             "that it has learnt from. Near-duplicates count as the same picture.",
             "Scores are brought to probabilities by the labels themselves, then ObjectLab's qualities are computed "
             "(Tkachenko, Thyagarajan and Mueller 2023): 0 is surely wrong, 1 is fine. A picture's quality is a soft "
             "minimum over its places.",
             "Errors that the models make too are not seen: what is labelled wrongly everywhere looks right. Labels on "
             "nothing are not listed, since a model that misses an object says the same of them."]
    return Section("how", "How to read this", "What was compared, and what it cannot show.",
                   [element("ul", [element("li", line) for line in lines])])
