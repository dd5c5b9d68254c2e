"""What to look at in a dataset before training: plain sentences, each with what to do."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.reporting import words
from tasks.reporting.card.bins import NONE, RELATIVE
from tasks.reporting.card.recipe import shell
from tasks.reporting.markup import shorten

UNEVEN = 10.0  # times as many labels from which classes are called uneven
RARE = 20  # labels below which a class is called rare
NAMED = 10  # classes that a sentence lists
TINY, MANY = 2.2, 0.25  # a box below this percentage of the picture's side is tiny; this share of the boxes is many


@dataclass(frozen=True)
class Advice:
    """What is so, and what to do about it, maybe by a command. `strong`: until then, measured numbers are wrong."""

    what: str
    mend: str
    command: str = ""
    strong: bool = False


def advice(facts: dict[str, Any], near: dict[str, Any] | None = None) -> list[Advice]:
    """Everything that stands out, the most harmful first."""
    found = [*_leaks(facts, near), *_unreadable(facts), *_classes(facts), *_splits(facts), *_boxes(facts),
             *_pictures(facts)]
    return sorted(found, key=lambda one: not one.strong)


def _leaks(facts: dict[str, Any], near: dict[str, Any] | None) -> list[Advice]:
    if not near or not near["leaks"]:
        return []
    between = ", ".join(f"{a} and {b} ({words.count(n)})" for a, b, n in near["between"])
    what = f"{words.plural(near['leaks'], 'near-duplicate pair')} in two splits: {between}."
    return [Advice(what, "What is measured on such pictures is too good. The line's stage split keeps them together; "
                         "this lists them:", shell("leaks", facts["ref"]), strong=True)]


def _unreadable(facts: dict[str, Any]) -> list[Advice]:
    bright = facts["brightness"]
    if not bright or not bright["unreadable"]:
        return []
    what = f"{words.count(bright['unreadable'])} of {words.plural(bright['sampled'], 'picture')} looked at could not "
    return [Advice(what + "be read.", "The line's stage validate names them all and says why: replace or drop them.",
                   strong=True)]


def _classes(facts: dict[str, Any]) -> list[Advice]:
    if facts["problem"] == "semantic":
        return []
    classes = facts["classes"]
    if not facts["labels"]:
        return [Advice("Nothing is labelled.", "Import labels with the pictures, or label some: nothing can be learned "
                                               "from this version yet.")]
    return [*_uneven(facts), *_rare([one for one in classes if 0 < one["labels"] < RARE], facts["ref"]),
            *_absent([one for one in classes if not one["labels"]])]


def imbalance(classes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The classes with the most and the fewest labels, of those that have any, and the ratio between them."""
    used = [one for one in classes if one["labels"]]
    if not used:
        return {"ratio": None, "largest": None, "smallest": None}
    least, most = (choose(used, key=lambda one: one["labels"]) for choose in (min, max))
    return {"ratio": most["labels"] / least["labels"], "largest": most["class"], "smallest": least["class"]}


def _uneven(facts: dict[str, Any]) -> list[Advice]:
    found = facts["imbalance"]
    if not found["ratio"] or found["ratio"] < UNEVEN:
        return []
    most, least = (called(found[key], 40) for key in ("largest", "smallest"))
    counts = {one["class"]: one["labels"] for one in facts["classes"]}
    what = (f"Classes are uneven: {most} has {words.times(found['ratio'])} as many labels as {least} "
            f"({words.count(counts[found['largest']])} against {words.count(counts[found['smallest']])}).")
    mend = f"Judge each class by its own accuracy, not by the mean. More pictures with {least} help most."
    return [Advice(what, mend)]


def _rare(rare: Sequence[dict[str, Any]], ref: str) -> list[Advice]:
    if not rare:
        return []
    named = [f"{called(one['class'])} ({one['labels']})" for one in sorted(rare, key=lambda one: one["labels"])]
    what = f"{words.plural(len(rare), 'class')} with fewer than {RARE} labels: {listed(named)}."
    return [Advice(what, "Too few to learn from or to measure on. Label more of them, or join classes:",
                   shell("relabel", ref, "--map", "OLD=NEW", "--out", "NAME"))]


def _absent(absent: Sequence[dict[str, Any]]) -> list[Advice]:
    if not absent:
        return []
    what = f"{words.plural(len(absent), 'class')} without a label: {listed([called(o['class']) for o in absent])}."
    return [Advice(what, "A model cannot learn them. Add labels, or take them out of the list.")]


def _splits(facts: dict[str, Any]) -> list[Advice]:
    splits = facts["splits"]
    outside = splits.get(NONE, {"pictures": 0})["pictures"]
    if outside and outside == facts["pictures"]:
        mend = "The line's stage split divides them, stratified by class; groups and near-duplicates stay together."
        return [Advice("No picture belongs to a split yet.", mend)]
    found = [Advice(f"{words.plural(outside, 'picture')} without a split.", "The line's stage split places them.")]
    found = found if outside else []
    for split in (name for name in splits if name != NONE and facts["problem"] != "semantic"):
        gone = [one["class"] for one in facts["classes"] if one["labels"] and split not in one["splits"]]
        if gone and splits[split]["labels"]:
            purpose = "learned from" if split == "train" else "measured on"
            what = f"The {split} split has no label of {listed([called(name) for name in gone])}."
            found.append(Advice(what, f"Nothing of that class is {purpose} it. Add pictures, or divide anew with more "
                                      f"pictures in {split}.", strong=split == "train"))
    return found


def _boxes(facts: dict[str, Any]) -> list[Advice]:
    boxes, found = facts["boxes"], []
    if boxes["flawed"]:
        found.append(Advice(f"{words.plural(boxes['flawed'], 'box')} without a size, or with one that is no number.",
                            "The line's stage validate lists them with file and row; by default it drops them."))
    tiny = sum(n for counts in boxes["relative"].values() for k, n in counts if RELATIVE.edge(k + 1) <= TINY * 1.01)
    if boxes["drawn"] and tiny / boxes["drawn"] >= MANY:
        found.append(Advice(f"{words.percent(tiny / boxes['drawn'])} of the boxes are below {TINY:g} % of their "
                            "picture's side.", "At the training size little is left of them. Cut the pictures up:",
                            shell("tile", facts["ref"], "--out", "NAME")))
    return found


def _pictures(facts: dict[str, Any]) -> list[Advice]:
    found = []
    if facts["unlabelled"] and (facts["labels"] or facts["problem"] == "semantic"):
        share = words.percent(facts["unlabelled"] / facts["pictures"])
        found.append(Advice(f"{words.plural(facts['unlabelled'], 'picture')} without a label ({share}).",
                            "If there is nothing on them, they teach what the background is. If nobody has looked, "
                            "every object on them counts as background: label them, or leave them out."))
    if facts["copies"]:
        found.append(Advice(f"{words.plural(facts['copies'], 'picture')} with the same bytes as another one.",
                            "One of each is enough:", shell("dedup", facts["ref"], "--out", "NAME")))
    if not facts["licence"]:
        found.append(Advice("No licence is noted.", "Say under which terms these pictures may be used: --licence at "
                                                    "import, or ingest.licence in params.yaml."))
    return found


def called(name: str, limit: int = 30) -> str:
    """A class's name within a sentence: what is written from the right ends with a mark that the rest is not."""
    text = shorten(name, limit)
    from_right = any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in text)
    return text + "\u200e" if from_right else text


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {words.count(rest)} more" if rest > 0 else "")
