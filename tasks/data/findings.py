"""What is wrong with a dataset: one finding names its kind, file and row; a policy a kind says what follows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tasks.base.errors import DataError

SHOWN = 10


@dataclass(frozen=True, order=True, slots=True)
class Finding:
    """One flaw. `image_id` and `annotation_id` are those of the ingested table, None for what never entered it."""

    kind: str
    file: str
    row: str
    detail: str
    image_id: int | None = None
    annotation_id: int | None = None

    def line(self) -> str:
        place = f"{self.file}#{self.row}" if self.row else self.file
        return f"{self.kind}: {place}: {self.detail}"


def stop_on_errors(findings: Iterable[Finding], policy: Mapping[str, str],
                   allowed: Mapping[str, tuple[str, ...]]) -> None:
    """Raise if any kind that was found has the policy `error`.

    Args:
        allowed: the policies that each kind can have.

    Raises:
        DataError: lists the first findings, and for each kind the edit that allows it.
    """
    refused = [finding for finding in findings if policy[finding.kind] == "error"]
    if not refused:
        return
    counts = Counter(finding.kind for finding in refused)
    lines = [finding.line() for finding in refused[:SHOWN]]
    if len(refused) > SHOWN:
        lines.append(f"… and {len(refused) - SHOWN} more")
    ways = [f"{kind}: {' | '.join(way for way in allowed[kind] if way != 'error')}" for kind in sorted(counts)]
    raise DataError(
        "the data has flaws that params.yaml does not allow: "
        + ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())),
        where="\n    ".join(["", *lines]).strip(),
        mend="mend the files, or allow it in params.yaml, section validate:\n    " + "\n    ".join(ways))


def summary(findings: list[Finding], policy: Mapping[str, str], checked: Mapping[str, int]) -> dict[str, Any]:
    """The content of `findings.json`; `row` names the place, `action` what was done."""
    return {
        "schema": 1,
        "checked": dict(checked),
        "policy": dict(policy),
        "counts": dict(Counter(finding.kind for finding in findings)),
        "findings": [_listed(finding, policy[finding.kind]) for finding in findings],
    }


def _listed(finding: Finding, action: str) -> dict[str, Any]:
    kept = {key: value for key, value in asdict(finding).items() if not key.endswith("_id")}
    return kept | {"action": {"drop": "dropped", "fix": "fixed", "keep": "kept"}[action]}
