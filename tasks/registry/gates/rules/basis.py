"""What the numbers stand on: size of the test set, checked data, committed code."""

from __future__ import annotations

from tasks.registry.gates.evidence import Evidence
from tasks.registry.gates.policy import Gate
from tasks.registry.gates.verdict import Rule, Verdict

GROUP = "basis"


def basis_rules(gate: Gate, evidence: Evidence, artefact: str) -> list[Rule]:
    """Rules that hold for every artefact of the line."""
    return [_at_least("test pictures", int(evidence.evaluation.get("images", 0)), gate.min_test_pictures, "pictures"),
            _boxes(gate, evidence, artefact), _data(gate, evidence), _code(gate, evidence)]


def _boxes(gate: Gate, evidence: Evidence, artefact: str) -> Rule:
    by_class = evidence.evaluation["artefacts"][artefact].get("per_class")
    if by_class is None:
        return Rule("test boxes", "not applicable", "the evaluation has no numbers of classes", GROUP)
    found = sum(int(one["ground_truth"]) for one in by_class.values())
    return _at_least("test boxes", found, gate.min_test_boxes, "boxes")


def _at_least(name: str, found: int, least: int, unit: str) -> Rule:
    verdict: Verdict = "pass" if found >= least else "fail"
    return Rule(name, verdict, f"{found} {unit}, at least {least}", GROUP, {"value": found, "limit": least})


def _data(gate: Gate, evidence: Evidence) -> Rule:
    """`validate` stops at what params.yaml does not allow, so its result says what was allowed."""
    name, found = "data validated", evidence.findings
    if gate.data == "ignore":
        return Rule(name, "not applicable", "not asked", GROUP)
    checked = (found or {}).get("checked")
    if not found or not checked:
        reason = "data/valid/findings.json is missing: the stage `validate` has not checked this data"
        if gate.data == "warn":
            return Rule(name, "not applicable", f"warning: {reason} (policy `warn`: does not decide)", GROUP)
        return Rule(name, "fail", f"{reason}; dvc repro validate, then visionmill register", GROUP)
    counts, policy = found.get("counts") or {}, found.get("policy") or {}
    flaws = ", ".join(f"{count} {kind} ({policy.get(kind, 'kept')})" for kind, count in sorted(counts.items()))
    reason = (f"{checked.get('images', 0)} pictures and {checked.get('annotations', 0)} boxes checked: "
              f"{flaws or 'no findings'}")
    return Rule(name, "pass", reason, GROUP, {"checked": dict(checked), "counts": dict(counts)})


def _code(gate: Gate, evidence: Evidence) -> Rule:
    name, files = "code committed", evidence.uncommitted
    if gate.code == "ignore":
        return Rule(name, "not applicable", "not asked", GROUP)
    if files == []:
        return Rule(name, "pass", "everything is committed", GROUP)
    listed = ", ".join((files or [])[:5]) + (f" and {len(files) - 5} more" if files and len(files) > 5 else "")
    reason = "the workspace is no git repository" if files is None else f"{len(files)} uncommitted: {listed}"
    if gate.code == "warn":
        return Rule(name, "not applicable", f"warning: {reason} (policy `warn`: does not decide)", GROUP)
    return Rule(name, "fail", f"{reason}; git commit, then visionmill register", GROUP)
