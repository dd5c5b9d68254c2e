"""What a chart compares: the splits of one version, or two versions. And the words for what is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tasks.reporting import words
from tasks.reporting.card.bins import NONE, Bins, Histogram, merged
from tasks.reporting.card.material import Material
from tasks.reporting.card.plots import Series, histogram
from tasks.reporting.markup import Markup

TOP = 40  # classes that are shown
COLOUR = {"train": 0, "val": 1, "test": 2, NONE: 3}
NOUN = {"detect": "box", "pairs": "box", "segment": "object", "classify": "label", "semantic": "mask"}


def noun(material: Material) -> str:
    """What one label of this problem is called."""
    return NOUN[material.facts["problem"]]


def split_name(split: str) -> str:
    return "no split" if split == NONE else split


def split_colour(split: str) -> int:
    return COLOUR.get(split, 4)


def series(material: Material, pick: Callable[[dict[str, Any]], Histogram]) -> tuple[list[Series], list[int]]:
    """The sides of one histogram, and the bins that they have in common."""
    if material.was is not None:
        both = (pick(material.facts), pick(material.was.facts))
        named = [(name, i, merged(one)) for i, (name, one) in enumerate(zip(material.names, both, strict=True))]
    else:
        splits = pick(material.facts)
        alone = "all pictures" if list(splits) == [NONE] else None
        named = [(alone or split_name(s), 0 if alone else split_colour(s), counts) for s, counts in splits.items()]
    known = [key for _, _, counts in named for key, _ in counts]
    bins = list(range(min(known), max(known) + 1)) if known else []
    return [Series(name, colour, _dense(counts, bins)) for name, colour, counts in named], bins


def padded(sides: list[Series], keys: list[int], by: int) -> tuple[list[Series], list[int]]:
    """The same with `by` empty bins at each end: a bin alone would fill the whole chart."""
    if not keys:
        return sides, keys
    room = [0] * by
    return ([Series(one.name, one.colour, [*room, *one.counts, *room]) for one in sides],
            list(range(keys[0] - by, keys[-1] + by + 1)))


def _dense(counts: Iterable[Any], bins: Sequence[int]) -> list[int]:
    found = dict(counts)
    return [found.get(k, 0) for k in bins]


def logarithmic(material: Material, pick: Callable[[dict[str, Any]], Histogram], bins: Bins, unit: str,
                **told: str) -> Markup:
    """A histogram over logarithmic bins."""
    sides, keys = padded(*series(material, pick), bins.steps)
    edges = [bins.edge(k) for k in [*keys, *([keys[-1] + 1] if keys else [])]]

    def said(place: int) -> str:
        return f"{words.digits(edges[place])} to {words.digits(edges[place + 1])}{unit}"

    return histogram(sides, edges, said=said, log=True, **told)


def whole(material: Material, noun: str) -> str:
    """Of what a share is: `Share of a split's boxes.`"""
    many = words.plural(2, noun).removeprefix("2 ")
    if material.was is not None:
        return f"Share of a version's {many}"
    return f"Share of a split's {many}" if len(material.facts["splits"]) > 1 else f"Share of all {many}"


def top(classes: Sequence[dict[str, Any]], key: str = "labels") -> list[dict[str, Any]]:
    """The classes that are shown, those with the most first."""
    return sorted(classes, key=lambda one: (-one[key], one["class_id"]))[:TOP]
