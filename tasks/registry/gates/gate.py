"""The gate: may this version become champion? Every rule answers with its numbers; nothing here talks to MLflow."""

from __future__ import annotations

from collections.abc import Callable

from tasks.base.errors import DataError
from tasks.registry.gates.evidence import BASELINE, Champion, Evidence
from tasks.registry.gates.policy import ChampionRule, Gate, Latency, load_gate
from tasks.registry.gates.rules.accuracy import accuracy_rules
from tasks.registry.gates.rules.basis import basis_rules
from tasks.registry.gates.rules.file import file_rules
from tasks.registry.gates.rules.parts import class_rules, slice_rules
from tasks.registry.gates.verdict import GateReport, Rule, Verdict

__all__ = ["BASELINE", "Champion", "ChampionRule", "Evidence", "Gate", "GateReport", "Latency", "Rule", "Verdict",
           "artefact_rules", "judge", "load_gate"]


def judge(gate: Gate, evidence: Evidence, name: str = "default", only: str | None = None) -> GateReport:
    """Choose the artefact and apply every rule to it.

    The preferred artefact is judged when it keeps every limit and is not slower than the float file of its model; else
    the fastest exported one that keeps them; else the preferred one, so that the report says what is wrong with it.

    Args:
        only: the artefact to judge where there is no choice: one that is registered already.

    Raises:
        DataError: nothing was exported and evaluated.
        ParamsError: the gate asks for slices that there cannot be.
    """
    exported = [n for n in evidence.evaluation["artefacts"] if not n.endswith("/torch")]
    if not exported:
        raise DataError("no exported artefact was evaluated: there is nothing that could be deployed",
                        where="results/evaluate/metrics.json", mend="name a target in params.yaml export.targets")
    files = {artefact: file_rules(gate, evidence, artefact) for artefact in exported}
    found: dict[str, list[Rule]] = {}

    def rules(artefact: str) -> list[Rule]:
        if artefact not in found:
            found[artefact] = artefact_rules(gate, evidence, artefact)
        return found[artefact]

    def admissible(artefact: str) -> bool:
        # drawing pictures takes up to minutes: not for a file that is out already
        return _keeps(files[artefact]) and _keeps(rules(artefact))

    artefact, choice = (only, "the one that this version serves") if only else _choose(gate, evidence, exported,
                                                                                   admissible)
    held = evidence.champion.version if evidence.champion else None
    judged = [*rules(artefact), *files[artefact], *basis_rules(gate, evidence, artefact)]
    return GateReport(name, artefact, choice, judged, held, gate.model_dump(mode="json"))


def artefact_rules(gate: Gate, evidence: Evidence, artefact: str) -> list[Rule]:
    """The rules about what one artefact finds: in all, by class, by slice."""
    return [*accuracy_rules(gate, evidence, artefact), *class_rules(gate, evidence, artefact),
            *slice_rules(gate, evidence, artefact)]


def _keeps(rules: list[Rule]) -> bool:
    return all(rule.verdict != "fail" for rule in rules)


def _choose(gate: Gate, evidence: Evidence, exported: list[str], admissible: Callable[[str], bool]
            ) -> tuple[str, str]:
    made = gate.prefer in exported
    slow = made and bool(evidence.measured(gate.prefer, "slower_than_float"))
    if made and not slow and admissible(gate.prefer):
        return gate.prefer, "the preferred artefact, within its limits"
    order = sorted(exported, key=lambda n: (evidence.measured(n, "median_ms") or float("inf"), n))
    best = next((artefact for artefact in order if admissible(artefact)), None)
    why = "exceeds a limit" if made else "was not made"
    why = "is slower than the float file of its model" if slow and admissible(gate.prefer) else why
    if best is not None:
        return best, f"the fastest one within its limits: {gate.prefer} {why}"
    if made:
        return gate.prefer, "the preferred artefact; none is within its limits"
    return exported[0], f"the first one: {gate.prefer} {why} and none is within its limits"
