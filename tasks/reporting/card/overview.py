"""The first sections: what this is, how it was made, what stands out, and what differs from another version."""

from __future__ import annotations

from typing import Any

from tasks.reporting import words
from tasks.reporting.card.advice import advice
from tasks.reporting.card.bins import NONE
from tasks.reporting.card.frames import Frames, named
from tasks.reporting.card.material import Material
from tasks.reporting.card.recipe import command, told
from tasks.reporting.card.sides import TOP, noun, split_name
from tasks.reporting.charts import Bars, bar
from tasks.reporting.markup import Markup, element
from tasks.reporting.pictures import captioned, gallery
from tasks.reporting.section import Cell, Section, charts, figure_cell, more, none, table, tile, tiles

PROBLEM = {"detect": "Detection: boxes", "segment": "Instance segmentation: outlines",
           "classify": "Classification: classes of a picture", "semantic": "Semantic segmentation: a class a pixel",
           "pairs": "Pairs: a picture against a golden one"}


def overview(material: Material) -> Section:
    lead = PROBLEM[material.facts["problem"]] + ". All numbers are of the whole version, unless a sample is said."
    return Section("overview", "At a glance", lead, [tiles(_tiles(material)), _recipe(material.facts)])


def _tiles(material: Material) -> list[Markup]:
    facts, was = material.facts, material.was.facts if material.was else None
    used = sum(1 for one in facts["classes"] if one["labels"])
    made = [tile("Pictures", words.count(facts["pictures"]), _since(facts, was, "pictures"),
                 f"{words.size(facts['bytes'])} of files" if facts["bytes"] else None)]
    if facts["problem"] == "semantic":
        made.append(tile("Masks", words.count(facts["pictures"] - facts["unlabelled"]), "one a picture"))
    else:
        each = facts["labels"] / facts["pictures"] if facts["pictures"] else None
        many = {"box": "Boxes", "object": "Objects", "label": "Labels"}[noun(material)]
        made.append(tile(many, words.count(facts["labels"]), _since(facts, was, "labels"),
                         f"{words.digits(each, 2)} a picture" if each else None))
    made.append(tile("Classes", words.count(len(facts["classes"])),
                     f"{words.count(used)} with labels" if facts["problem"] != "semantic" else None))
    splits = {s: one["pictures"] for s, one in facts["splits"].items() if s != NONE}
    made.append(tile("Splits", words.count(len(splits)) if splits else "none",
                     " · ".join(f"{split_name(s)} {words.count(n)}" for s, n in splits.items())))
    side = facts["boxes"]["median_side"]
    if side:
        made.append(tile("Median box", f"{words.digits(side)} px", "side: square root of the area"))
    return made


def _since(facts: dict[str, Any], was: dict[str, Any] | None, key: str) -> str | None:
    if was is None:
        return None
    change = facts[key] - was[key]
    sign = "+" if change > 0 else "\u2212" if change < 0 else "±"
    return f"{sign}{words.count(abs(change))} against {was['ref']}"


def _recipe(facts: dict[str, Any]) -> Markup:
    made = command(facts)
    entries: list[tuple[str, Any]] = [("made by", element("pre", element("code", made)))] if made else []
    entries += [("parents", ", ".join(facts["parents"]))] if facts["parents"] else []
    entries += told({key: value for key, value in facts["recipe"].items() if key != "parents"})
    entries.append(("licence", facts["licence"] or "not noted"))
    groups = facts["groups"]
    entries += [("groups", f"{words.count(groups)}; pictures of one are never torn between splits")] if groups else []
    return element("dl", [(element("dt", name), element("dd", text)) for name, text in entries], class_="recipe")


def stands_out(material: Material) -> Section:
    lead = "What is worth a look before anything is trained on this version, and what can be done about it."
    found = advice(material.facts, material.near)
    if not found:
        said = "Nothing stands out: no rare class, no class missing in a split, no copy, no box without a size."
        return Section("advice", "What to look at", lead, [none(said)])
    entries = [element("li", element("b", one.what), element("span", one.mend, " " if one.command else None,
                                                                 element("code", one.command) if one.command else None),
                       class_="strong" if one.strong else None) for one in found]
    return Section("advice", "What to look at", lead, [element("ul", entries, class_="advice")])


def difference(material: Material, frames: Frames, other: Frames) -> Section:
    now, was = material.names
    changed = material.changes
    lead = (f"From {was} to {now}. Pictures are the same where their bytes are, whatever they are called; labels where "
            "class and place are.")
    made = [tile("Added", words.count(changed["added"]), f"pictures that {was} does not have"),
            tile("Removed", words.count(changed["removed"]), f"pictures that only {was} has"),
            tile("Kept", words.count(changed["kept"]), "pictures in both")]
    if changed["relabelled"] is not None:
        made.append(tile("Relabelled", words.count(changed["relabelled"]), "kept pictures with other labels"))
    if moved := sum(n for _, _, n in changed["moved"]):
        said = ", ".join(f"{split_name(a)} → {split_name(b)} {words.count(n)}" for a, b, n in changed["moved"][:4])
        made.append(tile("Moved", words.count(moved), said))
    parts = [tiles(made), charts(_splits(material), _classes(material), two=True), _table(material)]
    shown = [_some("Added", frames, [material.rows[i] for i in changed["shown"]["added"] if i in material.rows]),
             _some("Removed", other, [material.removed[i] for i in changed["shown"]["removed"]
                                      if i in material.removed])]
    return Section("changes", f"Against {was}", lead, [*parts, *shown])


def _splits(material: Material) -> Markup:
    assert material.was is not None
    both = [material.facts["splits"], material.was.facts["splits"]]
    splits = list(dict.fromkeys([*both[0], *both[1]]))
    sets = [Bars(name, [side.get(s, {}).get("pictures", 0) for s in splits], i,
                 [words.count(side.get(s, {}).get("pictures", 0)) for s in splits])
            for i, (name, side) in enumerate(zip(material.names, both, strict=True))]
    return bar([split_name(s) for s in splits], sets, title="Pictures of each split", x="Pictures")


def _classes(material: Material) -> Markup:
    rows = [one for one in material.changes["classes"] if any(one["labels"])][:TOP]
    sets = [Bars(name, [one["labels"][i] for one in rows], colour, [words.count(one["labels"][i]) for one in rows])
            for name, i, colour in ((material.names[0], 1, 0), (material.names[1], 0, 1))]
    return bar([one["class"] for one in rows], sets, title="Labels of each class",
               note="The largest changes first.", x="Labels", missing="Neither version has labels in its table.")


def _table(material: Material) -> Markup:
    heads = ["Class", f"Labels\n{material.names[1]}", f"Labels\n{material.names[0]}", "Change", "Pictures\nbefore",
             "Pictures\nafter"]
    rows = [[Cell(_named(one), one["class"]), *[figure_cell(v, words.count(v)) for v in one["labels"]],
             _change(one["labels"]), *[figure_cell(v, words.count(v)) for v in one["pictures"]]]
            for one in material.changes["classes"][:TOP]]
    body = table(heads, rows, label="Labels of each class before and after", sortable=True)
    rest = len(material.changes["classes"]) - len(rows)
    tail = element("p", f"{words.plural(rest, 'more class')} changed less.", class_="dim") if rest > 0 else None
    return more("Labels of each class, before and after", body, tail)


def _named(one: dict[str, Any]) -> str:
    return one["class"] + (" (new)" if one["is_new"] else " (gone)" if one["is_gone"] else "")


def _change(labels: list[int]) -> Cell:
    change = labels[1] - labels[0]
    sign = "+" if change > 0 else "\u2212" if change < 0 else ""
    return figure_cell(change, f"{sign}{words.count(abs(change))}", class_="best" if change else None)


def _some(title: str, frames: Frames, rows: list[Any]) -> Markup | None:
    if not rows:
        return None
    shots = [captioned(frames.shot(row), split_name(row.image["split"] or NONE), named(row.image["file"], 22))
             for row in rows]
    return element("div", element("h3", f"{title}, a few"), gallery(shots, "gallery small"))
