"""Classes: how many labels and pictures each has, whether the splits agree, and what its labels look like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tasks.reporting import words
from tasks.reporting.card.bins import NONE
from tasks.reporting.card.frames import Frames, around
from tasks.reporting.card.material import Material
from tasks.reporting.card.plots import Series, stack
from tasks.reporting.card.sides import TOP, noun, split_colour, split_name, top
from tasks.reporting.charts import Bars, bar
from tasks.reporting.markup import Markup, element, shorten
from tasks.reporting.section import Cell, Section, charts, figure_cell, more, none, table

ALIKE = 0.02  # a difference of shares that is not worth a word


def classes(material: Material) -> Section:
    if material.facts["problem"] == "semantic":
        return _semantic(material)
    lead = "How often each class is labelled, and on how many pictures it is. A column's head sorts by it."
    known = material.facts["classes"]
    if not any(one["labels"] for one in known):
        listed = ", ".join(shorten(one["class"], 40) for one in known[:TOP]) or "none"
        return Section("classes", "Classes", lead, [none(f"No label is there. Classes of the list: {listed}.")])
    figures = [_chart(material, key, title) for key, title in
               (("labels", f"{_many(material)} of each class"), ("pictures", "Pictures with each class"))]
    return Section("classes", "Classes", lead, [charts(*figures, two=True), _table(material), _rest(known)])


def _many(material: Material) -> str:
    return {"box": "Boxes", "object": "Objects", "label": "Labels", "mask": "Masks"}[noun(material)]


def _chart(material: Material, key: str, title: str) -> Markup:
    rows = top(material.facts["classes"])
    names, place = [one["class"] for one in rows], 0 if key == "labels" else 1
    x = _many(material) if key == "labels" else "Pictures"
    if material.was is not None:
        before = {one["class"]: one[key] for one in material.was.facts["classes"]}
        pair = ([one[key] for one in rows], [before.get(name) for name in names])
        sets = [Bars(name, values, i, [words.count(v) for v in values])
                for i, (name, values) in enumerate(zip(material.names, pair, strict=True))]
        return bar(names, sets, title=title, x=x)
    splits = list(material.facts["splits"])
    sides = [Series(split_name(s) if len(splits) > 1 else "all pictures", split_colour(s) if len(splits) > 1 else 0,
                    [one["splits"].get(s, [0, 0])[place] for one in rows]) for s in splits]
    return stack(names, sides, title=title, x=x)


def _table(material: Material) -> Markup:
    facts = material.facts
    splits = list(facts["splits"]) if len(facts["splits"]) > 1 else []
    with_names = any(material.aliases.get(one["class"]) for one in facts["classes"])
    heads = ["Class", "Labels", "Share", "Pictures", *(f"{split_name(s)}\nlabels" for s in splits),
             *(["Also called"] if with_names else [])]
    rows = [_row(material, one, splits, with_names) for one in top(facts["classes"])]
    text = [len(heads) - 1] if with_names else []
    return table(heads, rows, label="Labels and pictures of each class", sortable=True, text=text)


def _row(material: Material, one: dict[str, Any], splits: Sequence[str], with_names: bool) -> list[Cell]:
    share = one["labels"] / max(material.facts["labels"], 1)
    per_split = [one["splits"].get(s, [0, 0])[0] for s in splits]
    names = ", ".join(material.aliases.get(one["class"], ()))
    return [Cell(shorten(one["class"], 60), one["class"]), figure_cell(one["labels"], words.count(one["labels"])),
            figure_cell(share, words.percent(share), gauge=share),
            figure_cell(one["pictures"], words.count(one["pictures"])),
            *(figure_cell(n, words.count(n), class_=None if n or not one["labels"] else "na") for n in per_split),
            *([Cell(names)] if with_names else [])]


def _rest(known: Sequence[dict[str, Any]]) -> Markup | None:
    if len(known) <= TOP:
        return None
    shown = top(known)
    rest, total = sum(one["labels"] for one in known) - sum(one["labels"] for one in shown), \
        sum(one["labels"] for one in known)
    said = (f"The {TOP} classes with the most labels are shown. The other {words.count(len(known) - TOP)} have "
            f"{words.plural(rest, 'label')} together, {words.percent(rest / max(total, 1))} of all.")
    return none(said)


def _semantic(material: Material) -> Section:
    masks = material.facts["masks"]
    lead = "How much of the pictures each class covers, and on how many pictures it is."
    if not masks or not masks["sampled"] or not sum(masks["pixels"]):
        return Section("classes", "Classes", lead, [none("No mask could be read.")])
    lead += f" Counted on a sample of {words.plural(masks['sampled'], 'mask')}."
    names = [one["class"] for one in material.facts["classes"]]
    total = _pixels(masks)
    rows = sorted(range(len(names)), key=lambda k: (-masks["pixels"][k], k))[:TOP]
    shown = [names[k] for k in rows]
    figures = [bar(shown, _covered(material, shown, "pixels", _pixels), title="Pixels of each class",
                   x="Share of pixels, %"),
               bar(shown, _covered(material, shown, "pictures", lambda masks: masks["sampled"]),
                   title="Pictures with each class", x="Share of pictures, %")]
    said = [f"{words.percent(masks['void'] / total)} of the pixels count for nothing (255)."] if masks["void"] else []
    said += [f"{words.count(masks['unknown'])} pixels have a number that is no class."] if masks["unknown"] else []
    said += [f"{words.plural(masks['unreadable'], 'mask')} could not be read."] if masks["unreadable"] else []
    return Section("classes", "Classes", lead, [charts(*figures, two=True), none(" ".join(said)) if said else None])


def _pixels(masks: dict[str, Any]) -> int:
    return int(sum(masks["pixels"]) + masks["void"] + masks["unknown"])


def _covered(material: Material, names: Sequence[str], key: str, of: Callable[[dict[str, Any]], int]) -> list[Bars]:
    """Of each version: the classes' shares in percent; none where it does not have the class, or no masks."""
    sets = []
    for i, (name, side) in enumerate(zip(material.names, (material.now, material.was), strict=True)):
        if side and (masks := side.facts["masks"]):
            found = {one["class"]: 100 * count / max(of(masks), 1)
                     for one, count in zip(side.facts["classes"], masks[key], strict=True)}
            values = [found.get(one) for one in names]
            sets.append(Bars(name, values, i, [words.NONE if v is None else f"{v:.1f}" for v in values]))
    return sets


def splits(material: Material) -> Section:
    lead = "Where a class has another share in one split than in the others, accuracy on that split says less."
    lead = f"The splits of {material.names[0]}. {lead}" if material.was else lead
    known = {s: one for s, one in material.facts["splits"].items() if s != NONE and one["pictures"]}
    if len(known) < 2:
        only = f"All pictures with a split are in {next(iter(known))}." if known else "No picture belongs to a split."
        return Section("splits", "Splits compared", lead, [none(only)])
    labelled = any(one["labels"] for one in known.values())
    figures = [_shares(material, known)] if labelled else []
    said = _most_different(material, known) if labelled else None
    return Section("splits", "Splits compared", lead,
                   [charts(*figures, _counts(known), two=True), said, _pictures(known)])


def _shares(material: Material, known: dict[str, Any]) -> Markup:
    rows = top(material.facts["classes"])
    sets = [Bars(s, values := [100 * _share(one, s, known) for one in rows], split_colour(s),
                 [f"{v:.1f}" for v in values]) for s in known]
    return bar([one["class"] for one in rows], sets, title="Classes in each split", x="Share of the split's labels, %")


def _share(one: dict[str, Any], split: str, known: dict[str, Any]) -> float:
    return one["splits"].get(split, [0, 0])[0] / max(known[split]["labels"], 1)


def _counts(known: dict[str, Any]) -> Markup:
    sets = [Bars(title, [one[key] for one in known.values()], colour, [words.count(one[key]) for one in known.values()])
            for title, key, colour in (("pictures", "pictures", 0), ("without a label", "unlabelled", None))
            if key == "pictures" or any(one[key] for one in known.values())]
    return bar(list(known), sets, title="Pictures of each split", x="Pictures")


def _most_different(material: Material, known: dict[str, Any]) -> Markup | None:
    """The class whose share differs most between two splits."""
    spread = [(max(shares) - min(shares), one["class"], shares) for one in material.facts["classes"]
              if (shares := [_share(one, s, known) for s in known])]
    widest, name, shares = max(spread, key=lambda one: one[0])
    if widest < ALIKE:
        return none(f"No class's share differs by more than {100 * ALIKE:g} points between the splits.")
    told = ", ".join(f"{100 * share:.1f} % of the labels in {s}" for s, share in zip(known, shares, strict=True))
    return none(f"The largest difference: {shorten(name, 40)} has {told}.")


def _pictures(known: dict[str, Any]) -> Markup:
    keys = ("pictures", "labels", "unlabelled")
    rows = [[Cell(s, s), *(figure_cell(one[key], words.count(one[key])) for key in keys),
             figure_cell(each := one["labels"] / max(one["pictures"], 1), words.digits(each, 2))]
            for s, one in known.items()]
    return more("Numbers of each split", table(["Split", "Pictures", "Labels", "Pictures\nwithout a label",
                                                "Labels\na picture"], rows, label="Numbers of each split"))


def strips(material: Material, frames: Frames) -> Section:
    lead = "A few labels of each class, drawn at random: a wrong one is often seen at once."
    if not material.strips:
        reason = "A class is a matter of pixels here: see the samples." if material.facts["problem"] == "semantic" \
            else "No label is large enough to be shown."
        return Section("strips", "Classes in pictures", lead, [none(reason)])
    counts = {one["class"]: one["labels"] for one in material.facts["classes"]}
    most_first = sorted(material.strips, key=lambda one: -counts.get(one[0], 0))
    made = [_strip(frames, name, counts.get(name, 0), rows) for name, rows in most_first]
    rest = sum(1 for count in counts.values() if count) - len(made)
    tail = element("p", f"{words.plural(rest, 'class')} with fewer labels are not shown.", class_="dim")
    return Section("strips", "Classes in pictures", lead, [*made, tail if rest > 0 else None])


def _strip(frames: Frames, name: str, count: int, rows: Sequence[Any]) -> Markup:
    shots = [frames.shot(row, view=around(row.boxes[0], row.image) if row.boxes else None, alone=not row.boxes)
             for row in rows]
    head = element("h3", element("bdi", shorten(name, 60)), element("span", words.plural(count, "label")))
    return element("div", head, element("div", shots), class_="strip")
