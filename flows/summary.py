"""What a run ends with: a table of artefacts, the gate's verdict with its reasons, and where to look next."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.stages import FAILED, SKIPPED, Outcome
from flows.workspace import own_program
from tasks.base.files import read_json
from tasks.runtime.artefacts import in_order

if TYPE_CHECKING:
    from tasks.registry.registered import Registration

HEAD = ("artefact", "AP", "AP50", "size", "latency")


def table(root: Path, registered: Registration | None) -> str:
    """Each artefact's AP, AP50, size and median latency, the gate, the version, the report, the UI."""
    parts = [_align(rows(root))]
    if registered:
        aliases = f" ({', '.join(registered.aliases)})" if registered.aliases else ""
        parts += [verdict(registered), f"registered: {registered.name} version {registered.version}{aliases}"]
    parts += [f"report:     {path}" for path in _report(root)]
    parts.append(f"runs:       cd {shlex.quote(str(root))} && {shlex.quote(own_program('mlflow'))} ui")
    return "\n" + "\n".join(parts)


def rows(root: Path) -> list[list[str]]:
    """One row an artefact, from `results/`; empty without results."""
    measured = _read(root / "results/evaluate/metrics.json").get("artefacts", {})
    timed = _read(root / "results/benchmark/benchmark.json").get("artefacts", {})
    return [[name, _number(measured[name].get("AP")), _number(measured[name].get("AP50")),
             _megabytes(timed.get(name, {}).get("bytes") or measured[name].get("bytes")),
             _milliseconds(timed.get(name, {}).get("median_ms"))] for name in in_order(measured)]


def verdict(registered: Registration) -> str:
    """`gate: passed` or `gate: refused` and against whom, then each rule with its reason, by what it is about."""
    gate = registered.gate
    against = getattr(gate, "against", "")  # a registration of an earlier release says nothing of it
    lines = [f"gate:       {'passed' if gate.passed else 'refused'}{f' ({against})' if against else ''}"]
    before = None
    for rule in gate.rules:
        group = getattr(rule, "group", "")
        mark = "n/a" if rule.verdict == "not applicable" else rule.verdict.upper() if rule.verdict == "fail" else "pass"
        lines.append(f"  {group if group != before else '':9} {mark:4} {rule.name}: {rule.reason}")
        before = group
    return "\n".join(lines)


def failures(outcomes: list[Outcome]) -> str:
    """What failed and why, and what was therefore skipped."""
    lines = [f"\n{o.stage} failed:\n  {o.reason}" for o in outcomes if o.what == FAILED]
    skipped = [o.stage for o in outcomes if o.what == SKIPPED]
    return "\n".join([*lines, *([f"skipped: {', '.join(skipped)}"] if skipped else []),
                      "what was finished is kept: `visionmill run` goes on from there"])


def _report(root: Path) -> list[Path]:
    return sorted((root / "results/report").glob("*.html"))[:1]


def _align(body: list[list[str]]) -> str:
    lines = [list(HEAD), *body]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join("  ".join(cell.ljust(width) if column == 0 else cell.rjust(width)
                               for column, (cell, width) in enumerate(zip(line, widths, strict=True)))
                     for line in lines)


def _read(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        return read_json(path)
    return {}


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


def _megabytes(value: float | None) -> str:
    return "n/a" if value is None else f"{value / 1e6:.2f} MB"


def _milliseconds(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.1f} ms"
