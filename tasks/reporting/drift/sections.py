"""The sections of the drift page."""

from __future__ import annotations

import numpy as np

from tasks.drift.look import Look
from tasks.drift.permuting import ENOUGH
from tasks.drift.testing import Test
from tasks.drift.words import QUESTIONS, middle, verdict_of, way_of
from tasks.reporting import words
from tasks.reporting.card.plots import Series, histogram
from tasks.reporting.charts import Bars, bar
from tasks.reporting.drift.thumbnails import shot
from tasks.reporting.markup import Markup, element
from tasks.reporting.pictures import captioned, gallery
from tasks.reporting.section import Cell, Section, charts, figure_cell, more, none, table, tile, tiles

OLD, NEW = 0, 1  # places in the palette
BINS = 24
LISTED = 40  # unreadable files, classes
NAMES = ("training", "arrived")


def verdict(look: Look, sentence: str) -> Section:
    """The answer first."""
    alarms = sum(test.alarm for test in look.tests)
    opened = len(look.arrived.entries) + len(look.arrived.unreadable)
    shown = tiles([
        tile("Tests with an alarm", f"{alarms} of {len(look.tests)}",
             f"{len(look.untested)} could not be made" if look.untested else None),
        tile("Arrived", words.count(look.arrived.found),
             f"{words.count(look.counted[1])} count; near-duplicates count once",
             f"{words.count(opened)} drawn with seed {look.settings.seed}" if opened < look.arrived.found else None,
             f"{words.count(look.copies)} are in the dataset already: left out" if look.copies else None,
             f"{words.count(len(look.unreadable))} unreadable" if look.unreadable else None),
        tile("Compared with", words.count(look.counted[0]), "pictures of the training"
             if look.reference.divided else "pictures of the dataset, which has no split",
             f"{words.count(look.held[0])} held-out ones for the predictions" if look.held[0] else None,
             f"of {words.count(look.reference.images.num_rows)}, drawn with seed {look.settings.seed}"),
        tile("Smallest shift", "n/a" if look.smallest is None else f"{words.digits(look.smallest, 2)} SD",
             "of a mean that would be seen four times in five"),
        tile("Far from the training", words.percent(look.far),
             "of the arrived; of pictures like those of the training about 1 %")])
    return Section("verdict", "Verdict", sentence, [shown])


def tests(look: Look) -> Section:
    """Every test, the smallest p-value first."""
    heads = ["question", "verdict", "p", "threshold", "median,\nold", "median,\nnew", "gap", "value", "statistic"]
    lead = ("Each p-value is the share of permutations of old and new that are as far apart. The thresholds are "
            f"Holm's: without drift, any alarm comes in at most {100 * look.settings.false_alarm:g} of 100 looks. "
            "The gap is the largest difference between the cumulated shares, 0 to 1.")
    body = table(heads, [_row(test) for test in look.tests], label="Tests", text=(8,)) if look.tests else none(
        "No test could be made.")
    left = [element("li", element("b", QUESTIONS[name][0]), f": {why}") for name, why in look.untested.items()]
    return Section("tests", "Tests", lead,
                   [body, element("h3", "Not tested") if left else None, element("ul", left) if left else None])


def _row(test: Test) -> list[Cell]:
    title, unit, statistic = QUESTIONS[test.name]
    old, new = middle(test) if test.side.old.ndim == 1 else (None, None)
    return [Cell(f"{title}, {unit}" if unit else title), Cell(way_of(test)),
            figure_cell(test.chance.p, f"{test.chance.p:.2g}", class_="best" if test.alarm else None),
            figure_cell(test.threshold, f"{test.threshold:.2g}"),
            *(figure_cell(one, words.digits(one) if one is not None else words.NONE) for one in (old, new)),
            figure_cell(test.gap, words.digits(test.gap, 2) if test.gap is not None else words.NONE),
            figure_cell(test.chance.value, words.digits(test.chance.value)), Cell(statistic)]


def distributions(look: Look) -> Section | None:
    """Old and new over each other, for each number."""
    numbers = [test for test in look.tests if test.side.old.ndim == 1]
    if not numbers:
        return None
    lead = ("Shares of the pictures, old and new. The predictions are compared on pictures of validation and test: on "
            "those of the training a model is surer than it will ever be again.")
    return Section("distributions", "Distributions", lead, [charts(*(_distribution(test) for test in numbers))])


def _distribution(test: Test) -> Markup:
    title, unit, _ = QUESTIONS[test.name]
    edges = _edges(test)
    old = "held out" if test.name in ("boxes", "scores") else NAMES[0]
    counts = [np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0].tolist()
              for values in (test.side.old, test.side.new)]
    sides = [Series(old, OLD, counts[0]), Series(NAMES[1], NEW, counts[1])]
    return histogram(sides, edges, title=title, x=unit or "number", y="% of pictures", note=verdict_of(test),
                     said=lambda i: f"{words.digits(edges[i])} to {words.digits(edges[i + 1])}")


def _edges(test: Test) -> list[float]:
    """From 0 to where nearly all values end: the axis of the histograms begins at 0."""
    high = float(np.quantile(test.side.pooled, 0.995)) or 1.0
    if test.name == "boxes":
        step = max(int(np.ceil((high + 1) / BINS)), 1)
        return [float(edge) for edge in range(0, int(high) + step + 1, step)]
    return [float(edge) for edge in np.linspace(0, high * 1.02, BINS + 1)]


def classes(look: Look) -> Section | None:
    """Mean number of boxes of each class, old and new."""
    test = next((test for test in look.tests if test.name == "classes"), None)
    if test is None:
        return None
    old, new = test.side.old.mean(0), test.side.new.mean(0)
    order = np.argsort(-np.abs(new - old), kind="stable")[:LISTED]
    lead = f"Boxes a picture that the model finds of each class, the largest difference first: {verdict_of(test)}."
    sets = [Bars("held out", [float(old[i]) for i in order], OLD), Bars(NAMES[1], [float(new[i]) for i in order], NEW)]
    chart = bar([look.classes[i] for i in order], sets, title="Predicted classes", x="boxes a picture")
    return Section("classes", "Predicted classes", lead, [charts(chart, two=True)])


def most_unlike(look: Look) -> Section | None:
    """The farthest pictures, each with the picture of the training that it is nearest to."""
    if not look.strangers:
        return None
    lead = ("The arrived pictures that are farthest from all of the training, by their embeddings, each beside the "
            "picture of the training that is nearest. Something is always farthest: no test hangs on it.")
    rows = []
    for one in look.strangers:
        arrived = captioned(shot(one.entry), one.entry.name, f"distance {words.digits(one.distance, 2)}, more than "
                            f"{words.percent(one.share)} of the training")
        rows.append(gallery([arrived, captioned(shot(one.nearest), one.nearest.name, "nearest of the training")],
                            "gallery small"))
    return Section("unlike", "The most unlike pictures", lead, [element("div", rows, class_="charts two")])


def left_out(look: Look) -> Section | None:
    """Files that could not be read, with the reason."""
    if not look.unreadable:
        return None
    rows = [[Cell(name), Cell(why)] for name, why in look.unreadable[:LISTED]]
    rest = len(look.unreadable) - len(rows)
    lead = "These files were left out; they stopped nothing."
    return Section("unreadable", "Unreadable", lead, [table(["file", "reason"], rows, label="Unreadable", text=(1,)),
                                                      element("p", f"and {rest} more") if rest else None])


def how(look: Look) -> Section:
    """What was compared with what, and what that can and cannot show."""
    lines = [
        "Near-duplicates and equal pictures of one side, such as frames of one film, count once: the tests want "
        "independent pictures. Where more than one in ten is one, both sides are drawn equally large.",
        f"A permutation test stops early where {ENOUGH} permutations were as far apart; otherwise it draws as many as "
        "the strictest threshold needs. Both give exact p-values, and none is 0.",
        "Where nothing is seen, nothing is proven: smaller shifts than the one named above may be there.",
        "A model's accuracy on these pictures is not measured: that needs labels. Drift is a reason to label some.",
        f"Files that are no pictures: {words.count(look.arrived.others)}; hidden files and linked folders are not "
        "looked at."]
    return Section("how", "How to read this", "What was done, and what it cannot show.",
                   [element("ul", [element("li", line) for line in lines]),
                    more("Numbers of pictures", element("p", _counts(look)))])


def _counts(look: Look) -> str:
    return (f"Compared without predictions: {look.looked[0]} of the training, of which {look.counted[0]} count, and "
            f"{look.looked[1]} that arrived, of which {look.counted[1]} count. With predictions: {look.held[0]} "
            f"held-out pictures and {look.held[1]} that arrived.")
