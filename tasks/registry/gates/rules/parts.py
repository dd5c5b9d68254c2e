"""Accuracy of single classes and of parts of the test set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.registry.gates.evidence import Evidence
from tasks.registry.gates.policy import Classes, Gate, Slice
from tasks.registry.gates.rules.accuracy import Key, versus_rule
from tasks.registry.gates.verdict import Rule, Verdict, at_least

if TYPE_CHECKING:
    from tasks.metrics.slices import Part
    from tasks.registry.gates.contest import Contest

CLASSES, SLICES = "classes", "slices"
LISTED = 8  # classes that one line names


def class_rules(gate: Gate, evidence: Evidence, artefact: str) -> list[Rule]:
    """One rule a measure: the classes below their floor, and those that are not asked."""
    measured = evidence.evaluation["artefacts"][artefact].get("per_class")
    return [_class_rule(gate.classes, measured, key) for key in ("AP", "AP50")
            if key == "AP50" or any(gate.classes.floor(name, key) is not None for name in measured or {})]


def _class_rule(asked: Classes, measured: dict[str, Any] | None, key: Key) -> Rule:
    name = f"{key} of each class"
    if measured is None:
        return Rule(name, "not applicable", "the evaluation has no numbers of classes", CLASSES)
    unknown = sorted(set(asked.named) - set(measured))
    if unknown:
        reason = f"the gate names {', '.join(unknown)}; the classes are {', '.join(list(measured)[:LISTED])}"
        return Rule(name, "fail", reason, CLASSES)
    floors = {one: asked.floor(one, key) for one in measured}
    few = {one: told["ground_truth"] for one, told in measured.items()
           if floors[one] is not None and told["ground_truth"] < asked.min_boxes}
    judged = {one: told.get(key) or 0.0 for one, told in measured.items() if floors[one] is not None
              and one not in few}
    below = [one for one, value in judged.items() if value < (floors[one] or 0.0) - 1e-9]
    numbers = {one: {"value": value, "limit": floors[one], "boxes": measured[one]["ground_truth"]}
               for one, value in judged.items()}
    left = f"not asked, fewer than {asked.min_boxes} boxes: {_listed(few)}" if few else ""
    if not judged:
        return Rule(name, "not applicable", left or "no floor is asked", CLASSES, numbers)
    verdict: Verdict = "fail" if below else "pass"
    return Rule(name, verdict, "; ".join(filter(None, [_told(judged, floors, below), left])), CLASSES, numbers)


def _told(judged: dict[str, float], floors: dict[str, float | None], below: list[str]) -> str:
    if below:
        parts = [f"{one} {judged[one]:.4f}, at least {floors[one] or 0.0:.4f}" for one in below[:LISTED]]
        return f"{len(below)} of {len(judged)} below: " + "; ".join(parts) + _more(below)
    lowest = sorted(judged, key=lambda one: judged[one] - (floors[one] or 0.0))[:3]
    parts = [f"{one} {judged[one]:.4f}, at least {floors[one] or 0.0:.4f}" for one in lowest]
    return f"all {len(judged)} keep it, the nearest are {'; '.join(parts)}" if len(judged) > 3 else "; ".join(parts)


def _listed(few: dict[str, int]) -> str:
    return ", ".join(f"{one} ({count})" for one, count in list(few.items())[:LISTED]) + _more(list(few))


def _more(names: list[str]) -> str:
    return f" and {len(names) - LISTED} more" if len(names) > LISTED else ""


def slice_rules(gate: Gate, evidence: Evidence, artefact: str) -> list[Rule]:
    """A floor and a comparison a part, as far as they are asked.

    Raises:
        ParamsError: the pictures cannot be parted so.
    """
    found: list[Rule] = []
    for asked in gate.slices:
        if evidence.contest is None:
            why = evidence.unmeasured or "no test pictures are here"
            found.append(Rule(f"slices by {asked.by}", "not applicable", why, SLICES))
        else:
            found += _slices(gate, evidence, evidence.contest, artefact, asked)
    return found


def _slices(gate: Gate, evidence: Evidence, contest: Contest, artefact: str, asked: Slice) -> list[Rule]:
    from tasks.metrics.slices import parts

    if asked.floor is None and (asked.max_drop is None or contest.champion is None):
        why = (evidence.champion and evidence.unmeasured) or "there is no champion to compare with"
        return [Rule(f"slices by {asked.by}", "not applicable", f"no floor is asked, and {why}", SLICES)]
    cut = parts(contest.dataset, asked.by, asked.edges)
    missing = sorted(set(asked.only) - {part.name for part in cut})
    rules = [Rule(f"{asked.by} {name}", "not applicable", "no test picture has it", SLICES) for name in missing]
    chosen = [part for part in cut if not asked.only or part.name in asked.only]
    if len(cut) == 1 and not asked.only:
        return [Rule(f"slices by {asked.by}", "not applicable", f"all are one: {cut[0].name}", SLICES)]
    if not chosen and not rules:
        return [Rule(f"slices by {asked.by}", "not applicable", "no test picture has one", SLICES)]
    for part in chosen[: asked.most]:
        rules += _slice(gate, evidence, contest, artefact, asked, part)
    if len(chosen) > asked.most:
        reason = f"{len(chosen) - asked.most} smaller ones are not asked (most: {asked.most})"
        rules.append(Rule(f"slices by {asked.by}", "not applicable", reason, SLICES))
    return rules


def _slice(gate: Gate, evidence: Evidence, contest: Contest, artefact: str, asked: Slice, part: Part) -> list[Rule]:
    name, key = f"{asked.by} {part.name}", f"{asked.by}/{part.name}/{asked.edges}"
    pictures, boxes = part.size(contest.dataset)
    if pictures < asked.min_pictures or boxes < asked.min_boxes:
        reason = (f"{pictures} pictures and {boxes} boxes, at least {asked.min_pictures} and {asked.min_boxes} are "
                  "needed to ask")
        return [Rule(name, "not applicable", reason, SLICES, {"pictures": pictures, "boxes": boxes})]
    rules, note = [], f"{pictures} pictures, {boxes} boxes"
    if asked.floor is not None:
        value = contest.value(artefact, asked.measure, part, key).value
        rules.append(at_least(f"{asked.measure} of {name}, floor", SLICES, value, asked.floor, note))
    if asked.max_drop is not None and evidence.champion is not None and contest.champion is not None:
        compared = contest.compare(artefact, asked.measure, part, key)
        rules.append(versus_rule(f"{asked.measure} of {name}", SLICES, compared, asked.max_drop, gate.champion,
                                 f"with {note} version {evidence.champion.version}"))
    return rules
