"""Pictures as a distribution: sizes, shapes, brightness; the darkest and the brightest."""

from __future__ import annotations

from typing import Any

from tasks.reporting import frame, words
from tasks.reporting.card.bins import ASPECT, SHADES, Histogram
from tasks.reporting.card.frames import Frames, named
from tasks.reporting.card.material import Material
from tasks.reporting.card.plots import Series, histogram
from tasks.reporting.card.sides import logarithmic, series, whole
from tasks.reporting.charts import Dot, scatter
from tasks.reporting.frame import Key
from tasks.reporting.markup import Markup, element
from tasks.reporting.pictures import captioned, gallery
from tasks.reporting.scale import linear
from tasks.reporting.section import Cell, Section, charts, figure_cell, more, none, table

SIZED = 4  # sizes with their numbers beside the dot


def pictures(material: Material, frames: Frames) -> Section:
    lead = ("How large pictures are, of what shape and how bright. What a model will see in use should look like what "
            "it learns from.")
    if not material.facts["pictures"]:
        return Section("pictures", "Pictures", lead, [none("There are no pictures.")])
    shape = logarithmic(material, lambda f: f["sizes"]["aspect"], ASPECT, "", title="Shape of pictures",
                        note=f"{whole(material, 'picture')}; 1 is a square, above 1 is wide.",
                        x="Width / height (logarithmic)", y="Share of pictures, %")
    figures = [_brightness(material)] if _one_size(material) else [_sizes(material), shape, _brightness(material)]
    body = [_one_size(material), charts(*figures), _listed(material), *_extremes(material, frames)]
    return Section("pictures", "Pictures", lead, body)


def _one_size(material: Material) -> Markup | None:
    """What is said in place of charts where all pictures have the same size."""
    sides = [side.facts["sizes"] for side in (material.now, material.was) if side]
    found = {(w, h) for one in sides for w, h, _ in one["most"]}
    if len(found) != 1 or any(one["unmeasured"] for one in sides):
        return None
    width, height = found.pop()
    return none(f"All pictures are of {width} × {height} px.")


def _sizes(material: Material) -> Markup:
    sides = [(material.names[0], material.now), *([(material.names[1], material.was)] if material.was else [])]
    dots = []
    for colour, (name, side) in enumerate(sides):
        for place, (w, h, n) in enumerate(side.facts["sizes"]["most"]):
            tip = f"{w} × {h} px\n{words.plural(n, 'picture')}" + (f"\n{name}" if material.was else "")
            dots.append(Dot(w, h, n, f"{w} × {h}" if place < SIZED and not colour else "", tip, colour))
    note = "One dot a size; its area is the number of pictures."
    hidden = material.facts["sizes"]["distinct"] - len(material.facts["sizes"]["most"])
    if hidden > 0:
        note += f" {words.count(hidden)} rarer sizes are left out."
    area = frame.Area()
    scales = (linear([d.x for d in dots], 62.0, frame.WIDTH - 24, zero=True),
              linear([d.y for d in dots], area.bottom, area.top, zero=True))
    return scatter(dots, title="Sizes of pictures", x="Width, px", y="Height, px", note=note,
                   x_scale=scales[0], y_scale=scales[1],
                   keys=[Key(name, i) for i, (name, _) in enumerate(sides)], missing="No picture was measured.")


def _brightness(material: Material) -> Markup:
    def pick(facts: dict[str, Any]) -> Histogram:
        bright = facts["brightness"] or {"counts": {}}
        return {s: [[k, n] for k, n in enumerate(counts) if n] for s, counts in bright["counts"].items()}

    sides, keys = series(material, pick)
    wide = 256 // SHADES
    first = min(keys, default=0)
    whole_range = [Series(one.name, one.colour, [*[0] * first, *one.counts, *[0] * (SHADES - first - len(keys))])
                   for one in sides]
    edges = [float(wide * k) for k in range(SHADES + 1)]
    sampled = (material.facts["brightness"] or {"sampled": 0})["sampled"]
    return histogram(whole_range, edges, said=lambda k: f"{wide * k} to {wide * (k + 1) - 1}", title="Brightness",
                     x="Mean luminance, 0 black to 255 white", y="Share of pictures, %",
                     note=f"{whole(material, 'picture')}, of a sample of {words.count(sampled)}.",
                     missing="No picture could be read.")


def _listed(material: Material) -> Markup | None:
    sizes = material.facts["sizes"]
    if _one_size(material):
        return None
    rows = [[Cell(f"{w} × {h}", f"{w} × {h}"), figure_cell(w * h / 1e6, f"{w * h / 1e6:.2f}"),
             figure_cell(n, words.count(n)), figure_cell(share := n / material.facts["pictures"], words.percent(share))]
            for w, h, n in sizes["most"][:20]]
    said = f"{words.plural(sizes['distinct'], 'size')} of pictures"
    tail = f"{words.plural(sizes['unmeasured'], 'picture')} could not be measured." if sizes["unmeasured"] else None
    return more(said, table(["Size, px", "Megapixels", "Pictures", "Share"], rows, label="Sizes", sortable=True),
                element("p", tail, class_="dim") if tail else None)


def _extremes(material: Material, frames: Frames) -> list[Markup]:
    bright = material.facts["brightness"] or {"darkest": [], "brightest": []}
    made = []
    for key, title in (("darkest", "The darkest"), ("brightest", "The brightest")):
        shots = [captioned(frames.shot(material.rows[one["image_id"]], alone=True), f"{one['value']:.0f} of 255",
                           named(one["file"])) for one in bright[key] if one["image_id"] in material.rows]
        if shots:
            made.append(element("div", element("h3", f"{title} of the sample"), gallery(shots, "gallery small")))
    return made
