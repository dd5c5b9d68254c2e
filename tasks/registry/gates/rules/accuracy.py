"""Accuracy of all classes together: against the champion where it can be measured, else against floors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from tasks.registry.gates.evidence import Champion, Evidence
from tasks.registry.gates.policy import ChampionRule, Gate
from tasks.registry.gates.verdict import Rule, Verdict, at_least

if TYPE_CHECKING:
    from tasks.metrics.bootstrap import Interval
    from tasks.registry.gates.contest import Compared

GROUP = "accuracy"
Key = Literal["AP", "AP50"]


def accuracy_rules(gate: Gate, evidence: Evidence, artefact: str) -> list[Rule]:
    """AP and AP50 of one artefact."""
    return [rule for key in ("AP", "AP50") for rule in _rules(gate, evidence, artefact, key)]


def _rules(gate: Gate, evidence: Evidence, artefact: str, key: Key) -> list[Rule]:
    versus, slide, floor = f"{key} against the champion", f"{key} since the best champion", f"{key} floor"
    champion, contest = evidence.champion, evidence.contest
    if champion is not None and contest is not None and contest.champion is not None:
        compared = contest.compare(artefact, key)
        return [_versus(versus, compared, gate.champion, champion, key),
                _slide(slide, compared, gate.champion, champion, key),
                Rule(floor, "not applicable", "the champion was measured on the same pictures and decides", GROUP)]
    found = evidence.evaluation["artefacts"][artefact].get(key)
    why = "there is no champion" if champion is None else \
        f"version {champion.version} could not be measured: {evidence.unmeasured or 'no test pictures are here'}"
    return [Rule(versus, "not applicable", f"{why}; the floor decides", GROUP),
            *([_carried(slide, champion, key)] if champion else []),
            at_least(floor, GROUP, found, getattr(gate.floors, key))]


def _versus(name: str, compared: Compared, asked: ChampionRule, champion: Champion, key: Key) -> Rule:
    return versus_rule(name, GROUP, compared, getattr(asked, f"max_{key}_drop"), asked, f"version {champion.version}")


def versus_rule(name: str, group: str, compared: Compared, drop: float, asked: ChampionRule, who: str) -> Rule:
    """Whether a loss against the champion is more than `drop`, in 0..1, by the question that the gate asks."""
    low, high = compared.change.low, compared.change.high
    numbers: dict[str, Any] = {"champion": compared.champion.value, "value": compared.candidate.value,
                               "change": compared.change.value, "low": low, "high": high, "limit": -drop,
                               "asked": asked.ask}
    if compared.change.value is None or low is None or high is None:
        return Rule(name, "fail", "n/a: the test split has no ground truth for it", group, numbers)
    # 1e-9: for the last bit of a float
    refused = high < -drop - 1e-9 if asked.ask == "loss" else low < -drop - 1e-9
    question = (f"refused when a loss of more than {points(drop)} is shown" if asked.ask == "loss" else
                f"refused unless a loss of more than {points(drop)} is ruled out")
    reason = (f"{compared.candidate.value:.4f}, {who} has {compared.champion.value:.4f}: {told(compared.change)}; "
              f"{question}")
    return Rule(name, "fail" if refused else "pass", reason, group, numbers)


def _slide(name: str, compared: Compared, asked: ChampionRule, champion: Champion, key: Key) -> Rule:
    most = getattr(asked, f"max_{key}_slide")
    if compared.change.value is None:
        return Rule(name, "not applicable", "n/a: the test split has no ground truth for it", GROUP)
    before = champion.slide.get(key, 0.0)
    lost = max(before - compared.change.value, 0.0)
    numbers = {"measure": key, "slide": lost, "before": before, "limit": most}
    history = f" (version {champion.version} had lost {points(before)})" if before else ""
    if most is None:
        return Rule(name, "not applicable", f"no limit is asked: {points(lost)} lost{history}", GROUP, numbers)
    verdict: Verdict = "pass" if lost <= most + 1e-9 else "fail"
    return Rule(name, verdict, f"{points(lost)} lost{history}, at most {points(most)}", GROUP, numbers)


def _carried(name: str, champion: Champion, key: Key) -> Rule:
    """What is not measured now is not forgotten."""
    before = champion.slide.get(key, 0.0)
    reason = f"not measured now: version {champion.version} had lost {points(before)}"
    return Rule(name, "not applicable", reason, GROUP, {"measure": key, "slide": before, "before": before})


def points(value: float) -> str:
    """0.0123 → `1.2 points`."""
    return f"{100 * value:.1f} {'point' if abs(value - 0.01) < 1e-9 else 'points'}"


def told(change: Interval) -> str:
    """A difference of two accuracies in 0..1 with its interval, in points."""
    value, low, high = (f"{100 * (one or 0.0):+.1f}" for one in change)
    return f"{value} points, 95 % from {low} to {high}"
