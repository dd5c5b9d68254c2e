"""The gate: may this version become champion? Every rule answers with its numbers; nothing here talks to MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from tasks.base import presets
from tasks.base.errors import DataError
from tasks.base.files import digest_value
from tasks.base.params import Params, check

Verdict = Literal["pass", "fail", "not applicable"]
BASELINE = "trained/torch"


class ChampionRule(Params):
    """Largest loss against the champion, in 0..1 (0.01 is one point). Every promotion may lose that much again."""

    max_AP_drop: float = Field(default=0.0, ge=0, le=1)
    max_AP50_drop: float = Field(default=0.0, ge=0, le=1)


class Floors(Params):
    """Least accuracy in 0..1, asked when no champion can be compared."""

    AP: float = Field(default=0.25, ge=0, le=1)
    AP50: float = Field(default=0.50, ge=0, le=1)


class Parity(Params):
    """Largest loss of AP of an exported file against the model it was made from, in 0..1, validation split."""

    max_AP_drop: float = Field(default=0.02, ge=0, le=1)


class Latency(Params):
    """Batch 1, median. `min_speedup`: times faster than trained/torch. None: not asked."""

    min_speedup: float | None = Field(default=1.0, gt=0)
    max_ms: float | None = Field(default=None, gt=0)


class Size(Params):
    """`max_mb` in 1,000,000 bytes, `max_growth` in times the champion's size. None: not asked."""

    max_mb: float | None = Field(default=50.0, gt=0)
    max_growth: float | None = Field(default=None, gt=0)


class Gate(Params):
    """One file of `conf/gate/`."""

    prefer: str = "pruned/cpu-int8"
    champion: ChampionRule = ChampionRule()
    floors: Floors = Floors()
    parity: Parity = Parity()
    latency: Latency = Latency()
    size: Size = Size()
    min_test_pictures: int = Field(default=30, ge=1)
    code: Literal["require", "warn", "ignore"] = "warn"


@dataclass(frozen=True)
class Rule:
    """One rule's answer."""

    name: str
    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Champion:
    """What the registry knows of the version that now holds the alias; accuracies in 0..1."""

    version: str
    test_hash: str
    AP: float | None
    AP50: float | None
    bytes: int | None = None


@dataclass(frozen=True)
class Evidence:
    """What is judged: the files of `results/` and `exports/`, and the state of the code.

    Args:
        evaluation: results/evaluate/metrics.json.
        benchmark: results/benchmark/benchmark.json.
        exports: target → its export.json.
        uncommitted: paths, None when the workspace has no repository.
        champion: the version to beat, if there is one.
    """

    evaluation: Mapping[str, Any]
    benchmark: Mapping[str, Any]
    exports: Mapping[str, Mapping[str, Any]]
    uncommitted: list[str] | None = None
    champion: Champion | None = None


@dataclass(frozen=True)
class GateReport:
    """The verdict on one artefact, and how that artefact was chosen."""

    gate: str
    artefact: str
    choice: str
    rules: list[Rule]
    champion: str | None = None
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return bool(self.rules) and all(rule.verdict != "fail" for rule in self.rules)

    def to_dict(self) -> dict[str, Any]:
        return {"schema": 1, "passed": self.passed, **asdict(self), "config_hash": digest_value(self.config)}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> GateReport:
        """The report that `to_dict` wrote."""
        rules = [Rule(**rule) for rule in saved["rules"]]
        return cls(saved["gate"], saved["artefact"], saved["choice"], rules, saved["champion"], saved["config"])

    def to_markdown(self) -> str:
        rows = [f"| {rule.name} | {rule.verdict} | {rule.reason.replace('|', '/')} |" for rule in self.rules]
        against = f"champion: version {self.champion}" if self.champion else "no champion yet"
        return "\n".join([f"## Gate `{self.gate}`: {'passed' if self.passed else 'refused'}", "",
                          f"Judged: `{self.artefact}` ({self.choice}); {against}.", "",
                          "| rule | verdict | numbers |", "|---|---|---|", *rows, ""])


def load_gate(name: str, workspace: Path = Path()) -> Gate:
    """The gate preset `name`, checked.

    Raises:
        ParamsError: no such preset, or an unknown key or wrong value in it.
    """
    return check(Gate, presets.load("gate", name, workspace), f"conf/gate/{name}.yaml")


def judge(gate: Gate, evidence: Evidence, name: str = "default") -> GateReport:
    """Choose the artefact and apply every rule to it.

    The preferred artefact is judged when it keeps every limit and is not slower than the float file of its model; else
    the fastest exported one that keeps them; else the preferred one, so that the report says what is wrong with it.

    Raises:
        DataError: nothing was exported and evaluated.
    """
    exported = [n for n in evidence.evaluation["artefacts"] if not n.endswith("/torch")]
    if not exported:
        raise DataError("no exported artefact was evaluated: there is nothing that could be deployed",
                        where="results/evaluate/metrics.json", mend="name a target in params.yaml export.targets")
    verdicts = {artefact: artefact_rules(gate, evidence, artefact) for artefact in exported}
    artefact, choice = _choose(gate, evidence, verdicts)
    rules = [*verdicts[artefact], _test_size(gate, evidence), _code(gate, evidence)]
    held = evidence.champion.version if evidence.champion else None
    return GateReport(name, artefact, choice, rules, held, gate.model_dump(mode="json"))


def artefact_rules(gate: Gate, evidence: Evidence, artefact: str) -> list[Rule]:
    """The rules that concern one artefact: accuracy, parity, runtime, latency, size."""
    found = [*_accuracy(gate, evidence, artefact, "AP"), *_accuracy(gate, evidence, artefact, "AP50")]
    found += [_parity(gate, evidence, artefact), _runtime(evidence, artefact)]
    return [*found, *_latency(gate, evidence, artefact), *_size(gate, evidence, artefact)]


def _choose(gate: Gate, evidence: Evidence, verdicts: Mapping[str, list[Rule]]) -> tuple[str, str]:
    admissible = [n for n, rules in verdicts.items() if all(rule.verdict != "fail" for rule in rules)]
    if gate.prefer in admissible and not _measured(evidence, gate.prefer, "slower_than_float"):
        return gate.prefer, "the preferred artefact, within its limits"
    why = "exceeds a limit" if gate.prefer in verdicts else "was not made"
    why = "is slower than the float file of its model" if gate.prefer in admissible else why
    if admissible:
        best = min(admissible, key=lambda n: (_measured(evidence, n, "median_ms") or float("inf"), n))
        return best, f"the fastest one within its limits: {gate.prefer} {why}"
    if gate.prefer in verdicts:
        return gate.prefer, "the preferred artefact; none is within its limits"
    return next(iter(verdicts)), f"the first one: {gate.prefer} {why} and none is within its limits"


def _accuracy(gate: Gate, evidence: Evidence, artefact: str, key: Literal["AP", "AP50"]) -> list[Rule]:
    found = evidence.evaluation["artefacts"][artefact].get(key)
    versus, floor, champion = f"{key} against the champion", f"{key} floor", evidence.champion
    if champion is None:
        return [Rule(versus, "not applicable", "there is no champion: the floor decides"),
                _at_least(floor, found, getattr(gate.floors, key))]
    test_hash = evidence.evaluation.get("test_hash")
    held = getattr(champion, key)
    if champion.test_hash != test_hash or held is None:
        why = (f"version {champion.version} was measured on another test set ({champion.test_hash[:8]}, now "
               f"{str(test_hash)[:8]})" if held is not None else f"version {champion.version} has no {key}")
        return [Rule(versus, "not applicable", f"{why}: the floor decides"),
                _at_least(floor, found, getattr(gate.floors, key))]
    least = held - getattr(gate.champion, f"max_{key}_drop")
    note = f"version {champion.version} has {held:.4f}, a drop of {held - least:.4f} is allowed"
    return [_at_least(versus, found, least, note),
            Rule(floor, "not applicable", "the champion was measured on the same test set and decides")]


def _at_least(name: str, found: float | None, least: float, note: str = "") -> Rule:
    if found is None:
        return Rule(name, "fail", "n/a: the test split has no ground truth for it")
    # 1e-9: a candidate that equals the limit is not refused for the last bit of a float
    verdict: Verdict = "pass" if found >= least - 1e-9 else "fail"
    return Rule(name, verdict, f"{found:.4f}, at least {least:.4f}{f' ({note})' if note else ''}")


def _parity(gate: Gate, evidence: Evidence, artefact: str) -> Rule:
    kind, _, target = artefact.partition("/")
    numbers = evidence.exports.get(target, {}).get(kind, {})
    torch_ap, file_ap = numbers.get("val_AP_torch"), numbers.get("val_AP")
    if torch_ap is None or file_ap is None:
        return Rule("parity", "fail", f"exports/{target}/export.json does not compare {kind} with its origin")
    if not numbers.get("admissible", True):
        return Rule("parity", "fail", f"export found it outside its budget: {'; '.join(numbers.get('reasons', []))}")
    drop, most = torch_ap - file_ap, gate.parity.max_AP_drop
    differences = [f"largest {label} difference {numbers[key]:.4g}{unit}" for key, label, unit in (
        ("max_score_difference", "score", ""), ("max_box_difference_px", "box", " px")) if numbers.get(key) is not None]
    reason = f"validation AP {torch_ap:.4f} in torch, {file_ap:.4f} in the file: drop {drop:.4f}, at most {most:.4f}"
    return Rule("parity", "pass" if drop <= most + 1e-9 else "fail", "; ".join([reason, *differences]))


def _runtime(evidence: Evidence, artefact: str) -> Rule:
    told, left_out = evidence.evaluation["artefacts"][artefact], evidence.benchmark.get("left_out", {})
    if told.get("emulated"):
        return Rule("runtime", "fail", f"its accuracy was emulated: {told.get('emulated_because', 'no reason given')}")
    if not _measured(evidence, artefact, "median_ms"):
        return Rule("runtime", "fail", f"was not timed: {left_out.get(artefact, 'no benchmark of it')}")
    return Rule("runtime", "pass", f"ran on {evidence.benchmark['artefacts'][artefact].get('provider', 'its own')}")


def _latency(gate: Gate, evidence: Evidence, artefact: str) -> list[Rule]:
    found, baseline = _measured(evidence, artefact, "median_ms"), _measured(evidence, BASELINE, "median_ms")
    return [_speedup(found, baseline, gate.latency.min_speedup), _at_most("latency", found, gate.latency.max_ms, "ms")]


def _speedup(found: float | None, baseline: float | None, least: float | None) -> Rule:
    name = f"speed against {BASELINE}"
    if least is None:
        return Rule(name, "not applicable", "no factor is asked")
    if not found or not baseline:
        return Rule(name, "fail", "was not measured")
    factor = baseline / found
    reason = f"{factor:.2f} times ({baseline:.1f} ms / {found:.1f} ms), at least {least:.2f} times"
    return Rule(name, "pass" if factor >= least else "fail", reason)


def _size(gate: Gate, evidence: Evidence, artefact: str) -> list[Rule]:
    found = evidence.evaluation["artefacts"][artefact].get("bytes") or _measured(evidence, artefact, "bytes")
    megabytes = found / 1e6 if found else None
    return [_at_most("size", megabytes, gate.size.max_mb, "MB"), _growth(megabytes, evidence.champion, gate.size)]


def _growth(megabytes: float | None, champion: Champion | None, size: Size) -> Rule:
    name = "size against the champion"
    if size.max_growth is None or champion is None or not champion.bytes:
        why = "no factor is asked" if size.max_growth is None else "there is no champion with a known size"
        return Rule(name, "not applicable", why)
    return _at_most(name, megabytes, size.max_growth * champion.bytes / 1e6, "MB")


def _at_most(name: str, found: float | None, most: float | None, unit: str) -> Rule:
    if most is None:
        measured = f": {found:.2f} {unit}" if found is not None else ""
        return Rule(name, "not applicable", f"no limit is asked{measured}")
    if found is None:
        return Rule(name, "fail", "was not measured")
    return Rule(name, "pass" if found <= most else "fail", f"{found:.2f} {unit}, at most {most:.2f} {unit}")


def _test_size(gate: Gate, evidence: Evidence) -> Rule:
    found = int(evidence.evaluation.get("images", 0))
    verdict: Verdict = "pass" if found >= gate.min_test_pictures else "fail"
    return Rule("test pictures", verdict, f"{found} pictures, at least {gate.min_test_pictures}")


def _code(gate: Gate, evidence: Evidence) -> Rule:
    files = evidence.uncommitted
    if gate.code == "ignore":
        return Rule("code committed", "not applicable", "not asked")
    if files == []:
        return Rule("code committed", "pass", "everything is committed")
    listed = ", ".join((files or [])[:5]) + (f" and {len(files) - 5} more" if files and len(files) > 5 else "")
    reason = "the workspace is no git repository" if files is None else f"{len(files)} uncommitted: {listed}"
    if gate.code == "warn":
        return Rule("code committed", "not applicable", f"warning: {reason} (policy `warn`: does not decide)")
    return Rule("code committed", "fail", f"{reason}; git commit, then visionmill register")


def _measured(evidence: Evidence, artefact: str, key: str) -> float | None:
    return evidence.benchmark.get("artefacts", {}).get(artefact, {}).get(key)
