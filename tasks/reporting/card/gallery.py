"""Pictures to look at: near-duplicates side by side, and random samples that a click draws again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.data.rows import Row
from tasks.reporting import words
from tasks.reporting.card.counts import class_name
from tasks.reporting.card.frames import Frames, named, pairs
from tasks.reporting.card.material import Material
from tasks.reporting.card.recipe import shell
from tasks.reporting.card.sides import noun, split_name
from tasks.reporting.comparison import legend
from tasks.reporting.markup import Child, Markup, element, shorten
from tasks.reporting.pictures import captioned
from tasks.reporting.section import Section, none, tile, tiles

CHOICES = 200  # classes that can be asked for
POINT = "Point at a label for its name."
HINT = {"detect": POINT, "segment": POINT, "pairs": f"The golden picture is at the left. {POINT}",
        "classify": "Their classes stand below.", "semantic": "Colours are classes; background is left clear."}


def near_duplicates(material: Material, frames: Frames) -> Section:
    lead = ("Pictures that are the same or look the same, pairs in two splits first. A model that has seen one of a "
            "pair is too good on the other.")
    title, near = "Near-duplicates", material.near
    if near is None:
        said = element("p", "Nobody has looked for near-duplicates here. This does: ", _look(material), class_="none")
        return Section("near", title, lead, [said])
    if not near["pairs"]:
        return Section("near", title, lead, [none("No two pictures are nearly the same.")])
    made = [tile("Pairs", words.count(near["pairs"]), "nearly the same"),
            tile("In two splits", words.count(near["leaks"]),
                 " · ".join(f"{a} and {b} {words.count(n)}" for a, b, n in near["between"][:3]) or "no leak")]
    made += [tile("Groups", words.count(near["groups"]), "pictures that belong together")] if near["groups"] else []
    shots = [_pair(frames, one, material.rows[one["a"]], material.rows[one["b"]]) for one in near["shown"]
             if one["a"] in material.rows and one["b"] in material.rows]
    rest = near["pairs"] - len(shots)
    tail = element("p", f"{words.plural(rest, 'more pair')}, listed by ", _look(material), class_="dim")
    return Section("near", title, lead, [tiles(made), element("div", shots, class_="gallery pairs"),
                                         tail if rest > 0 else None])


def _look(material: Material) -> Markup:
    return element("code", shell("leaks", material.facts["ref"]))


def _pair(frames: Frames, one: dict[str, Any], a: Row, b: Row) -> Markup:
    kind = "the same bytes" if one["equal"] else f"similarity {one['similarity']:.3f}"
    mark = element("b", "in two splits", class_="pill leak") if one["leak"] else None
    splits = " and ".join(split_name(one[key]) for key in ("split_a", "split_b"))
    return pairs(frames.shot(a), frames.shot(b), [mark, " " if mark else None, f"{splits}, {kind}"],
                 named(a.image["file"], 44), named(b.image["file"], 44))


def samples(material: Material, frames: Frames) -> Section:
    drawn = [material.rows[i] for i in material.drawn if i in material.rows]
    lead = (f"Pictures drawn at random, with their labels: {min(material.shown, len(drawn))} of "
            f"{words.plural(material.facts['pictures'], 'picture')}. {HINT[material.facts['problem']]}")
    if not drawn:
        reason = "There are no pictures." if material.shown else "No samples were asked for."
        return Section("samples", "Random samples", lead, [none(reason)])
    shots = [_sample(material, frames, row) for row in drawn]
    wide = any(row.image["reference"] for row in drawn)
    board = element("div", shots[: material.shown], class_="gallery pairs" if wide else "gallery", id="drawn")
    rest = element("template", shots[material.shown :], id="undrawn")
    keys = legend(material.now.meta.classes) if material.facts["problem"] != "classify" else None
    return Section("samples", "Random samples", lead, [_control(material, drawn), keys, board, rest])


def _control(material: Material, drawn: Sequence[Row]) -> Markup | None:
    splits = list(material.facts["splits"])
    known = {k for row in drawn for k in classes_on(material, row)}
    named = sorted(((class_name(material.now.meta, k), k) for k in known), key=lambda one: (one[0].lower(), one))
    numbered = [(split_name(s), i) for i, s in enumerate(splits)]
    choices = [_choice("Split", "split", numbered) if len(splits) > 1 else None,
               _choice("Class", "classes", named[:CHOICES]) if len(named) > 1 else None]
    if len(drawn) <= material.shown and not any(choices):
        return None
    button = element("button", "Draw again", type="button", class_="draw")
    said = element("output", aria_live="polite")
    control = element("div", button, choices, said, class_="control again", hidden=True)
    return element("div", control, element("noscript", none(
        f"Drawing again needs JavaScript; the first {material.shown} pictures of the draw are here.")))


def _choice(title: str, key: str, entries: Sequence[tuple[str, int]]) -> Markup:
    options = [element("option", "any", value=""), *(element("option", shorten(name, 40), value=str(value))
                                                     for name, value in entries)]
    return element("label", title, element("select", options, data_by=key))


def classes_on(material: Material, row: Row) -> list[int]:
    """Class ids of the labels on a picture."""
    whole = row.image["labels"] or [] if material.facts["problem"] == "classify" else []
    return sorted({*whole, *(label["class_id"] for label in row.boxes)})


def _sample(material: Material, frames: Frames, row: Row) -> Markup:
    shot = frames.shot(row)
    if row.image["reference"]:
        shot = element("div", frames.reference(row), shot, class_="pair")
    split = row.image["split"]
    places = list(material.facts["splits"])
    figure = captioned(shot, *_told(material, row), named(row.image["file"]))
    return element("div", figure, data_split=str(places.index(split if split is not None else "none")),
                   data_classes=" ".join(map(str, classes_on(material, row))))


def _told(material: Material, row: Row) -> list[Child]:
    split = f", {split_name(row.image['split'] or 'none')}"
    if material.facts["problem"] == "classify":
        names = [class_name(material.now.meta, k) for k in row.image["labels"] or []]
        named = [[", " if i else None, element("bdi", shorten(name, 40))] for i, name in enumerate(names)]
        return [[named or "no label", split]]
    if material.facts["problem"] == "semantic":
        return [("mask" if row.image["mask"] else "no mask") + split]
    count = row.image["boxes"]
    said = words.plural(count, noun(material)) if count else f"no {noun(material)}"
    if count > len(row.boxes):
        said += f", the largest {len(row.boxes)} drawn"
    return [said + split]
