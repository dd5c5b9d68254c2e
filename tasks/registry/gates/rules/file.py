"""The exported file itself: parity, runtime, latency, size."""

from __future__ import annotations

from tasks.registry.gates.evidence import BASELINE, Champion, Evidence
from tasks.registry.gates.policy import Gate, Size
from tasks.registry.gates.verdict import Rule, at_most

GROUP = "file"


def file_rules(gate: Gate, evidence: Evidence, artefact: str) -> list[Rule]:
    """What is asked of one exported file, whatever it finds."""
    return [_parity(gate, evidence, artefact), _runtime(evidence, artefact), *_latency(gate, evidence, artefact),
            *_size(gate, evidence, artefact)]


def _parity(gate: Gate, evidence: Evidence, artefact: str) -> Rule:
    kind, _, target = artefact.partition("/")
    found = evidence.exports.get(target, {}).get(kind, {})
    torch_ap, file_ap = found.get("val_AP_torch"), found.get("val_AP")
    if torch_ap is None or file_ap is None:
        return Rule("parity", "fail", f"exports/{target}/export.json does not compare {kind} with its origin", GROUP)
    if not found.get("admissible", True):
        reason = f"export found it outside its budget: {'; '.join(found.get('reasons', []))}"
        return Rule("parity", "fail", reason, GROUP)
    drop, most = torch_ap - file_ap, gate.parity.max_AP_drop
    differences = [f"largest {label} difference {found[key]:.4g}{unit}" for key, label, unit in (
        ("max_score_difference", "score", ""), ("max_box_difference_px", "box", " px")) if found.get(key) is not None]
    reason = f"validation AP {torch_ap:.4f} in torch, {file_ap:.4f} in the file: drop {drop:.4f}, at most {most:.4f}"
    return Rule("parity", "pass" if drop <= most + 1e-9 else "fail", "; ".join([reason, *differences]), GROUP,
                {"value": drop, "limit": most})


def _runtime(evidence: Evidence, artefact: str) -> Rule:
    told, left_out = evidence.evaluation["artefacts"][artefact], evidence.benchmark.get("left_out", {})
    if told.get("emulated"):
        reason = f"its accuracy was emulated: {told.get('emulated_because', 'no reason given')}"
        return Rule("runtime", "fail", reason, GROUP)
    if not evidence.measured(artefact, "median_ms"):
        return Rule("runtime", "fail", f"was not timed: {left_out.get(artefact, 'no benchmark of it')}", GROUP)
    return Rule("runtime", "pass", f"ran on {evidence.measured(artefact, 'provider') or 'its own'}", GROUP)


def _latency(gate: Gate, evidence: Evidence, artefact: str) -> list[Rule]:
    found, baseline = evidence.measured(artefact, "median_ms"), evidence.measured(BASELINE, "median_ms")
    return [_speedup(found, baseline, gate.latency.min_speedup),
            at_most("latency", GROUP, found, gate.latency.max_ms, "ms")]


def _speedup(found: float | None, baseline: float | None, least: float | None) -> Rule:
    name = f"speed against {BASELINE}"
    if least is None:
        return Rule(name, "not applicable", "no factor is asked", GROUP)
    if not found or not baseline:
        return Rule(name, "fail", "was not measured", GROUP)
    factor = baseline / found
    reason = f"{factor:.2f} times ({baseline:.1f} ms / {found:.1f} ms), at least {least:.2f} times"
    return Rule(name, "pass" if factor >= least else "fail", reason, GROUP, {"value": factor, "limit": least})


def _size(gate: Gate, evidence: Evidence, artefact: str) -> list[Rule]:
    found = evidence.evaluation["artefacts"][artefact].get("bytes") or evidence.measured(artefact, "bytes")
    megabytes = found / 1e6 if found else None
    return [at_most("size", GROUP, megabytes, gate.size.max_mb, "MB"),
            _growth(megabytes, evidence.champion, gate.size)]


def _growth(megabytes: float | None, champion: Champion | None, size: Size) -> Rule:
    name = "size against the champion"
    if size.max_growth is None or champion is None or not champion.bytes:
        why = "no factor is asked" if size.max_growth is None else "there is no champion with a known size"
        return Rule(name, "not applicable", why, GROUP)
    return at_most(name, GROUP, megabytes, size.max_growth * champion.bytes / 1e6, "MB")
