"""What a gate says: each rule's answer with its numbers, and the report made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any, Literal

from tasks.base.files import digest_value

Verdict = Literal["pass", "fail", "not applicable"]


@dataclass(frozen=True)
class Rule:
    """One rule's answer.

    Attributes:
        group: what it is about: accuracy, classes, slices, file, basis.
        numbers: what was compared, for programs: value, low, high, limit, champion, …
    """

    name: str
    verdict: Verdict
    reason: str
    group: str = ""
    numbers: dict[str, Any] = field(default_factory=dict)


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

    @property
    def against(self) -> str:
        """Whom it was judged against, in words."""
        return f"champion: version {self.champion}" if self.champion else "no champion yet"

    def failed(self) -> list[str]:
        """Names of the rules that refuse it."""
        return [rule.name for rule in self.rules if rule.verdict == "fail"]

    def slides(self) -> dict[str, float]:
        """What has been lost since the best champion, `AP` and `AP50` in 0..1, for those that were judged."""
        return {rule.numbers["measure"]: rule.numbers["slide"] for rule in self.rules if "slide" in rule.numbers}

    def to_dict(self) -> dict[str, Any]:
        return {"schema": 2, "passed": self.passed, **asdict(self), "config_hash": digest_value(self.config)}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> GateReport:
        """The report that `to_dict` wrote, also of a version of this program whose rules had no numbers."""
        rules = [Rule(**rule) for rule in saved["rules"]]
        return cls(saved["gate"], saved["artefact"], saved["choice"], rules, saved["champion"], saved["config"])

    def to_markdown(self) -> str:
        rows = [f"| {group if not place else ''} | {rule.name} | {MARKS[rule.verdict]} | {_cell(rule.reason)} |"
                for group, rules in self.groups() for place, rule in enumerate(rules)]
        return "\n".join([f"## Gate `{self.gate}`: {'passed' if self.passed else 'refused'}", "",
                          f"Judged: `{self.artefact}` ({self.choice}); {self.against}.", "",
                          "| | rule | verdict | numbers |", "|---|---|---|---|", *rows, ""])

    def groups(self) -> Iterator[tuple[str, list[Rule]]]:
        """The rules by what they are about, in their order."""
        for group, rules in groupby(self.rules, key=lambda rule: rule.group):
            yield group, list(rules)


MARKS: dict[Verdict, str] = {"pass": "pass", "fail": "**fail**", "not applicable": "not applicable"}


def _cell(text: str) -> str:
    return text.replace("|", "/")


def at_least(name: str, group: str, found: float | None, least: float, note: str = "") -> Rule:
    """Passes when an accuracy in 0..1 reaches its floor."""
    numbers = {"value": found, "limit": least}
    if found is None:
        return Rule(name, "fail", "n/a: the test split has no ground truth for it", group, numbers)
    # 1e-9: a candidate that equals the limit is not refused for the last bit of a float
    verdict: Verdict = "pass" if found >= least - 1e-9 else "fail"
    return Rule(name, verdict, f"{found:.4f}, at least {least:.4f}{f' ({note})' if note else ''}", group, numbers)


def at_most(name: str, group: str, found: float | None, most: float | None, unit: str) -> Rule:
    """Passes when a measured quantity keeps below its limit; not asked without one."""
    numbers = {"value": found, "limit": most, "unit": unit}
    if most is None:
        measured = f": {found:.2f} {unit}" if found is not None else ""
        return Rule(name, "not applicable", f"no limit is asked{measured}", group, numbers)
    if found is None:
        return Rule(name, "fail", "was not measured", group, numbers)
    reason = f"{found:.2f} {unit}, at most {most:.2f} {unit}"
    return Rule(name, "pass" if found <= most else "fail", reason, group, numbers)
