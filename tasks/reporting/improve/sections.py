"""The sections of the page: where the rounds are, curves, classes, each step."""

from __future__ import annotations

from typing import Any

from tasks.base.progress import duration
from tasks.improving.state import CONTROL, MAIN, State
from tasks.improving.telling import cost
from tasks.reporting import words
from tasks.reporting.improve.curves import curve, points_of
from tasks.reporting.markup import Child, Markup, element
from tasks.reporting.section import Cell, Section, charts, figure_cell, more, none, table, tile, tiles

SIGNS = {"up": ("↑", "up", "better"), "down": ("↓", "down", "worse"), "level": ("→", "flat", "level")}
MOST_CLASSES = 12  # of more the table says it


def now(state: State) -> Section:
    """Where the rounds are, and what they have cost and brought."""
    last = max((one.round for one in state.entries if one.step == "compare" and one.out), default=0)
    whole, told = cost(state, state.round, MAIN), state.out(last, "compare").get("overall", {}).get("AP50")
    first = state.out(0, "compare").get("overall", {}).get("AP50")
    share = whole["clicks"] / whole["from_nothing"] if whole["from_nothing"] else None
    minutes = duration(whole["seconds"]) if whole["seconds"] is not None else None
    entries = [
        tile("Rounds", f"{last} of {state.settings.rounds}", state.waiting and "people are waited for", state.ended),
        tile("Labelled in the rounds", words.count(whole["pictures"]),
             f"pictures with {words.count(whole['boxes'])} boxes"),
        tile("Clicks", words.count(whole["clicks"]),
             f"{words.percent(share)} of drawing all boxes from nothing" if share is not None else None,
             f"{minutes} of people" if minutes else "nobody counted the minutes"),
        tile("AP50 now", words.accuracy(told["value"]) if told else words.NONE,
             f"{words.accuracy(told['low'])} to {words.accuracy(told['high'])}" if told else None,
             f"{words.accuracy(first['value'])} before the first round" if first and last else None)]
    entries += _beside(state, last)
    lead = state.waiting or state.ended or (f"Next: {state.todo()}." if state.todo() else "All rounds are done.")
    return Section("now", "Where the rounds are", str(lead), [tiles(entries)])


def _beside(state: State, last: int) -> list[Markup]:
    found = state.out(last, "compare", CONTROL).get("overall", {}).get("AP50", {}).get("beside") if last else None
    if not found:
        return []
    theirs = cost(state, last, CONTROL)
    return [tile("Against the control", f"{words.points(found['value'])} points",
                 element("span", sign(found["arrow"]),
                         f" {words.points(found['low'])} to {words.points(found['high'])}"),
                 f"it had {words.count(theirs['boxes'])} boxes and {words.count(theirs['clicks'])} clicks")]


def sign(arrow: str | None) -> Child:
    """Up, down or level, in colour and in words for who does not see it."""
    if arrow is None:
        return ""
    text, class_, said = SIGNS[arrow]
    return element("span", text, class_=class_, title=said, aria_label=said)


def curves(state: State) -> Section:
    """Accuracy against cost."""
    arms = state.arms
    lead = ("Each point is a round, with its 95 % interval over the pictures that are judged on; these are the same in "
            "all rounds and for both arms. A point further left cost less.")
    figures = [curve([(arm, points_of(state, arm, measure, unit)) for arm in arms], title=title, x=axis, y=measure,
                     note=note)
               for measure, unit, title, axis, note in (
        ("AP50", "boxes", "AP50 against boxes", "boxes labelled", "all classes"),
        ("AP50", "clicks", "AP50 against clicks", "clicks", "draw 2, adjust 2, delete 1, class 1, accept 0"),
        ("AP", "boxes", "AP against boxes", "boxes labelled", "mean over IoU 0.50 to 0.95"))]
    names = state.about["classes"][:MOST_CLASSES]
    each = [curve([(arm, points_of(state, arm, "AP50", "boxes", name)) for arm in arms], title=name,
                  x="boxes labelled", y="AP50") for name in names] if len(state.about["classes"]) > 1 else []
    left = len(state.about["classes"]) - len(names)
    return Section("curves", "What it brought for what it cost", lead, [
        charts(*figures), element("h3", "Each class") if each else None, charts(*each) if each else None,
        none(f"{left} more classes are in the table below.") if left > 0 else None])


def classes(state: State) -> Section:
    """Accuracy of each class in each round, with arrows."""
    rounds = [number for number in range(state.round + 1) if state.out(number, "compare")]
    lead = ("AP50 with its 95 % interval. The arrow says whether it moved since the round before: up or down where 0 "
            "is outside the 95 % interval of the difference (paired bootstrap over pictures), level where it is in.")
    if not rounds:
        return Section("classes", "Each class, round by round", lead, [none("Nothing was measured yet.")])
    bodies: list[Child] = []
    for arm in state.arms:
        rows = [[Cell(name or "all classes"), *(_cell(state, number, arm, name) for number in rounds)]
                for name in (None, *state.about["classes"])]
        heads = ["class", *(f"round {number}" if number else "before" for number in rounds)]
        bodies += [element("h3", "Picked" if arm == MAIN else "Control") if len(state.arms) > 1 else None,
                   table(heads, rows, label=f"AP50 of each class, {arm}")]
    return Section("classes", "Each class, round by round", lead, bodies)


def _cell(state: State, round_: int, arm: str, name: str | None) -> Cell:
    out = state.out(round_, "compare", arm)
    one: dict[str, Any] = (out.get("classes", {}).get(name, {}) if name else out.get("overall", {})).get("AP50", {})
    if not words.known(one.get("value")):
        return Cell(words.NONE, class_="na")
    moved = one["change"]
    step = f" {words.points(moved['value'])}" if moved and words.known(moved["value"]) else ""
    interval = element("span", f"{words.accuracy(one['low'])}–{words.accuracy(one['high'])}", class_="dim small")
    return Cell([element("span", words.accuracy(one["value"]), " ", sign(one["arrow"]), step, class_="line-of"),
                 interval], one["value"])


def journal(state: State) -> Section:
    """Every step that was done or left out."""
    lead = ("Each step in its order: what came out, when, and how long it took. A step can be undone, skipped, done "
            "again.")
    rows = [[Cell(f"{one.round} {one.step}"), Cell(one.arm), Cell(one.said or one.outcome),
             figure_cell(one.seconds, duration(one.seconds)), Cell(one.when.replace("T", " ").removesuffix("+00:00"))]
            for one in state.entries]
    body = table(["step", "arm", "what came out", "took", "when (UTC)"], rows, label="Steps", text=(2,)) if rows else (
        none("Nothing was done yet."))
    taken = [f"{one.todo}" for one in reversed(state.undone)]
    return Section("journal", "Each step", lead, [
        more(f"{len(rows)} steps", body), none(f"Taken back: {', '.join(taken)}.") if taken else None])


def versions(state: State) -> Child:
    """Dataset versions of all rounds, for who looks them up."""
    keys = ("set", "picked", "version", "labelled")
    rows = [[Cell(f"{one.round} {one.step}"), Cell(one.arm), Cell(element("code", one.out[key]["ref"])),
             Cell(element("code", one.out[key]["digest"][:12]))]
            for one in state.entries for key in keys
            if isinstance(one.out.get(key), dict) and one.step in ("prepare", "mine", "prelabel", "fetch", "merge")]
    return table(["step", "arm", "version", "digest"], rows, label="Versions") if rows else None


def how(state: State) -> Section:
    """What was compared, and what that can show."""
    about = state.about
    answers = (f"Known labels of {about['truth']['ref']} answered in place of people; a box stays as it is where it "
               f"overlaps the known one by {state.settings.content:g} or more." if about["oracle"] else
               f"People answered, through {state.settings.desk}.")
    lines = [answers,
             f"Accuracy is measured on {about['judge']['ref']}, which is never trained on and never picked from.",
             "A light training takes the weights at its end: nothing is chosen on what it is judged by. Its accuracy "
             "is lower than the line's; it serves to compare." if state.settings.train == "light" else
             "The line trained, and its gate judged each version.",
             "The control draws its pictures at random from the same pool, with as many pictures a round, its own "
             "model and its own pre-labels; boxes and clicks are counted alike." if CONTROL in state.arms else
             "Without a random arm beside it (--control) nobody can say whether picking was better than drawing."]
    return Section("how", "How to read this", "What was done, and what it cannot show.", [
        element("ul", [element("li", line) for line in lines]), more("Dataset versions", versions(state))])
