"""What labels say beside class and place, and who made them."""

from __future__ import annotations

from typing import Any

from tasks.reporting import words
from tasks.reporting.card.material import Material
from tasks.reporting.card.plots import Series, histogram
from tasks.reporting.charts import Bars, bar
from tasks.reporting.markup import Markup
from tasks.reporting.section import Cell, Section, charts, figure_cell, none, table

MEANING = {
    "crowd": "regions of many objects that count as one", "difficult": "left out of Pascal VOC's measure",
    "polygons": "outlines", "run lengths": "masks pixel by pixel", "keypoints": "points of an object",
    "truncation": "say how much of them is cut off", "cut off": "are cut off by the edge",
    "occlusion": "say how hidden they are",
    "hidden": "are partly or largely hidden", "score": "carry a model's score",
    "uncertainty": "carry an uncertainty", "difficulty": "carry a difficulty", "reviewed": "were looked at by a person",
    "attributes": "carry what no column holds",
}
LEVELS = {"0": "fully seen", "1": "partly hidden", "2": "largely hidden", "3": "not known"}


def properties(material: Material) -> Section | None:
    """None where no label says anything beside class and place."""
    facts = material.facts["properties"]
    before = material.was.facts["properties"] if material.was else {"labels": {}, "shares": {}, "occlusion": {}}
    if not facts["labels"] and not before["labels"] and not facts["tags"]:
        return None
    lead = "What labels say beside class and place, and how many of them."
    figures = [_share(material, key) for key in ("score", "uncertainty", "difficulty", "truncation")
               if key in facts["shares"] or key in before["shares"]]
    figures += [_occlusion(material)] if facts["occlusion"] or before["occlusion"] else []
    body = [_table(material), charts(*figures) if figures else None, _tags(facts["tags"])]
    return Section("properties", "What labels say", lead, body)


def _table(material: Material) -> Markup | None:
    facts, total = material.facts["properties"]["labels"], max(material.facts["boxes"]["drawn"]
                                                              + material.facts["boxes"]["crowds"], 1)
    before = material.was.facts["properties"]["labels"] if material.was else {}
    keys = [key for key in MEANING if key in facts or key in before]
    if not keys:
        return None
    heads = ["Labels", "Number", "Share", *(["Before"] if material.was else []), "They"]
    rows = [[Cell(key, key), figure_cell(facts.get(key, 0), words.count(facts.get(key, 0))),
             figure_cell(facts.get(key, 0) / total, words.percent(facts.get(key, 0) / total)),
             *([figure_cell(before.get(key, 0), words.count(before.get(key, 0)))] if material.was else []),
             Cell(MEANING[key])] for key in keys]
    return table(heads, rows, label="What labels say", text=[len(heads) - 1])


def _share(material: Material, key: str) -> Markup:
    sides = [(material.names[0], material.now), *([(material.names[1], material.was)] if material.was else [])]
    found = [Series(name if material.was else "labels", i, side.facts["properties"]["shares"].get(key, [0] * 10))
             for i, (name, side) in enumerate(sides) if side]
    return histogram(found, [k / 10 for k in range(11)], said=lambda k: f"{k / 10:.1f} to {(k + 1) / 10:.1f}",
                     title=key.capitalize(), x=key.capitalize(), y="Share of labels, %",
                     note="Of the labels that have one; values outside 0 to 1 count at the ends.")


def _occlusion(material: Material) -> Markup:
    sides = [(material.names[0], material.now), *([(material.names[1], material.was)] if material.was else [])]
    counts = [(name, side.facts["properties"]["occlusion"]) for name, side in sides if side]
    levels = sorted({level for _, found in counts for level in found}, key=int)
    sets = [Bars(name if material.was else "labels", [found.get(level, 0) for level in levels], i,
                 [words.count(found.get(level, 0)) for level in levels]) for i, (name, found) in enumerate(counts)]
    return bar([LEVELS.get(level, level) for level in levels], sets, title="Occlusion", x="Labels")


def _tags(tags: list[list[Any]]) -> Markup | None:
    if not tags:
        return None
    rows = [[Cell(name, name), figure_cell(count, words.count(count))] for name, count in tags]
    return table(["Tag", "Pictures"], rows, label="Tags of pictures", sortable=True)


def sources(material: Material) -> Section | None:
    """None where all labels came the same way and nobody has reviewed one."""
    made, reviewed = material.facts["sources"]["made"], material.facts["sources"]["reviewed"]
    before = {name: labels for name, labels, _ in material.was.facts["sources"]["made"]} if material.was else {}
    if len({name for name, _, _ in made} | set(before)) < 2 and not reviewed:
        return None
    lead = ("Who made the labels. What a model proposed and nobody looked at teaches the next model the mistakes of "
            "the last one.")
    total = max(sum(labels for _, labels, _ in made), 1)
    heads = ["Made by", "Labels", "Share", "Pictures", *(["Labels before"] if before else [])]
    rows = [[Cell(name, name), figure_cell(labels, words.count(labels)),
             figure_cell(labels / total, words.percent(labels / total), gauge=labels / total),
             figure_cell(pictures, words.count(pictures)),
             *([figure_cell(before.get(name, 0), words.count(before.get(name, 0)))] if before else [])]
            for name, labels, pictures in made]
    body = [table(heads, rows, label="Who made the labels", sortable=True)]
    if reviewed:
        rows = [[Cell(name, name), figure_cell(labels, words.count(labels)), figure_cell(n, words.count(n))]
                for name, labels, n in reviewed]
        body.append(table(["Reviewed by", "Labels", "Pictures"], rows, label="Who reviewed labels", sortable=True))
    else:
        body.append(none("No label is marked as reviewed."))
    return Section("sources", "Who made the labels", lead, body)
