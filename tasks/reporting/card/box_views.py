"""Boxes as a distribution: how large, of what shape, where on the picture, how many on one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.reporting import words
from tasks.reporting.card.bins import ASPECT, GRID, RELATIVE, SIZE
from tasks.reporting.card.frames import Frames
from tasks.reporting.card.frames import named as file_name
from tasks.reporting.card.material import Material
from tasks.reporting.card.plots import Series, histogram, places
from tasks.reporting.card.sides import logarithmic, noun, series, split_colour, split_name, whole
from tasks.reporting.charts import Bars, bar
from tasks.reporting.markup import Markup, element
from tasks.reporting.pictures import captioned, gallery
from tasks.reporting.section import Section, charts, none

COCO = ("small", "medium", "large")
COLUMNS = 24  # bins of the crowding, at most


def boxes(material: Material) -> Section | None:
    """None where the problem has no boxes, and there are none."""
    lead = ("How large boxes are, of what shape, and where. A size that training hardly has is found badly; a place "
            "where labels never are may be one where nobody looked.")
    facts = material.facts["boxes"]
    title = "Boxes: size, shape, place"
    if not facts["drawn"] and not (material.was and material.was.facts["boxes"]["drawn"]):
        if material.facts["problem"] in ("classify", "semantic"):
            return None
        return Section("boxes", title, lead, [none("There is no box in this version.")])
    of = whole(material, "box")
    figures = [
        logarithmic(material, lambda f: f["boxes"]["size"], SIZE, " px", title="Size", x="Side, px (logarithmic)",
                    note=f"{of}; the side is the square root of width × height.", y="Share of boxes, %"),
        _coco(material),
        logarithmic(material, lambda f: f["boxes"]["relative"], RELATIVE, " %", title="Size in the picture",
                    note=f"{of}; side in percent of the picture's own.", x="Side, % of the picture (logarithmic)",
                    y="Share of boxes, %"),
        logarithmic(material, lambda f: f["boxes"]["aspect"], ASPECT, "", title="Shape", y="Share of boxes, %",
                    note=f"{of}; 1 is a square, above 1 is wide.", x="Width / height (logarithmic)"),
        *_places(material)]
    return Section("boxes", title, lead, [charts(*figures), _range(facts)])


def _coco(material: Material) -> Markup:
    if material.was is not None:
        named = [(name, i, _three(side.facts["boxes"]["coco"].values())) for i, (name, side)
                 in enumerate(zip(material.names, (material.now, material.was), strict=True))]
    else:
        named = [(split_name(s), split_colour(s), _three([counts]))
                 for s, counts in material.facts["boxes"]["coco"].items()]
        named = [("all pictures", 0, named[0][2])] if len(named) == 1 else named
    sets = [Bars(name, values := [100 * n / max(sum(three), 1) for n in three], colour, [f"{v:.1f}" for v in values])
            for name, colour, three in named]
    return bar(COCO, sets, title="Small, medium, large", x="Share of boxes, %",
               note="COCO's classes of area: small below 32 × 32 px, large from 96 × 96 px.",
               missing="There is no box.")


def _three(splits: Any) -> list[int]:
    found = [0, 0, 0]
    for counts in splits:
        for key, count in counts:
            found[key] += count
    return found


def _places(material: Material) -> list[Markup]:
    sides = [(material.names[0], material.now), *([(material.names[1], material.was)] if material.was else [])]
    said = f"Centres of boxes on a grid of {GRID} × {GRID}; the darker, the more."
    return [places(side.facts["boxes"]["place"], _shape(side.facts), note=said, missing="There is no box.",
                   title="Place" if material.was is None else f"Place, {name}") for name, side in sides if side]


def _shape(facts: dict[str, Any]) -> float:
    """Width / height of the most frequent size of pictures."""
    most = facts["sizes"]["most"]
    return most[0][0] / most[0][1] if most else 4 / 3


def _range(facts: dict[str, Any]) -> Markup:
    parts = [f"Sides reach from {words.digits(facts['smallest_side'])} to {words.digits(facts['largest_side'])} px, "
             f"half of them are below {words.digits(facts['median_side'])} px."] if facts["drawn"] else []
    parts += [f"{words.plural(facts['crowds'], 'crowd region')} not counted here."] if facts["crowds"] else []
    parts += [f"{words.plural(facts['flawed'], 'box')} without a size left out."] if facts["flawed"] else []
    return element("p", " ".join(parts), class_="dim")


def crowding(material: Material, frames: Frames) -> Section | None:
    """None for semantic segmentation: one mask a picture."""
    if material.facts["problem"] == "semantic":
        return None
    many = {"box": "boxes", "object": "objects", "label": "labels"}[noun(material)]
    lead = f"How many {many} a picture has."
    if material.facts["problem"] != "classify":
        lead += " A model's limit on its answers has to be above the most crowded one."
    title = "Crowding"
    sides, keys = series(material, lambda f: f["crowding"]["labels"])
    if not keys:
        return Section("crowding", title, lead, [none("There are no pictures.")])
    if len(keys) == 1:
        alike = f"Every picture has {words.plural(keys[0], noun(material))}." if keys[0] else f"No picture has {many}."
        return Section("crowding", title, lead, [none(alike)])
    chart = _crowds(sides, keys, many, f"{whole(material, 'picture')}.")
    return Section("crowding", title, lead, [element("div", chart, _most(material, frames, many), class_="charts two")])


def _crowds(sides: Sequence[Series], keys: Sequence[int], many: str, note: str) -> Markup:
    width = -(-(keys[-1] + 1) // COLUMNS)
    bins = keys[-1] // width + 1
    folded = []
    for side in sides:
        counts = [0] * bins
        for key, count in zip(keys, side.counts, strict=True):
            counts[key // width] += count
        folded.append(Series(side.name, side.colour, counts))

    def said(place: int) -> str:
        low, high = place * width, (place + 1) * width - 1
        return f"{low} {many}" if low == high else f"{low} to {high} {many}"

    title = f"{many.capitalize()} on a picture"
    return histogram(folded, [width * k - 0.5 for k in range(bins + 1)], said=said, title=title, x=title, note=note,
                     y="Share of pictures, %")


def _most(material: Material, frames: Frames, many: str) -> Markup:
    empty = material.facts["unlabelled"]
    said = f"{words.plural(empty, 'picture')} without {many}." if empty else f"Every picture has {many}."
    most = material.facts["crowding"]["most"]
    shots = [captioned(frames.shot(material.rows[one["image_id"]]), words.plural(one["labels"], noun(material)),
                       file_name(one["file"], 22)) for one in most if one["image_id"] in material.rows]
    return element("div", element("p", said, class_="dim"), gallery(shots, "gallery tight") if shots else None)
