"""The description that a reviewer reads on a version in the MLflow UI."""

from __future__ import annotations

import re
from typing import Any

from tasks.registry import lineage
from tasks.registry.gates.gate import GateReport
from tasks.registry.outputs import Outputs
from tasks.runtime.artefacts import in_order


def describe(outputs: Outputs, report: GateReport, version: Any) -> str:
    """Markdown: what was measured, the verdict, and the commands that make the version again."""
    parts = [f"Serves `{version.tags.get('visionmill.artefact', report.artefact)}` of line `{outputs.line[:8]}`.",
             artefact_table(outputs), report.to_markdown(), reproduce(outputs, version)]
    return "\n\n".join(parts)[:90_000]  # MLflow keeps 100,000 characters


def told(report: GateReport, note: str) -> str:
    """The verdict as a message: what happened, and each rule that refused, or what was compared with the champion."""
    shown = [rule for rule in report.rules if rule.verdict == "fail"] or \
        [rule for rule in report.rules if rule.verdict == "pass" and "champion" in rule.numbers]
    lines = [f"- {rule.name}: {rule.reason}" for rule in shown]
    return "\n".join([f"{note}.", f"Judged: {report.artefact}; {report.against}.", *lines])


def artefact_table(outputs: Outputs) -> str:
    """One row an artefact: AP, AP50 (0..1), size in MB, median latency in ms, times faster than trained/torch."""
    rows = ["| artefact | AP | AP50 | MB | ms | speedup |", "|---|---|---|---|---|---|"]
    for artefact in in_order(outputs.evaluation["artefacts"]):
        n = outputs.numbers(artefact)
        size = n["bytes"] / 1e6 if n["bytes"] else None
        rows.append(f"| {artefact} | {_text(n['AP'], 4)} | {_text(n['AP50'], 4)} | {_text(size, 2)} | "
                    f"{_text(n['median_ms'], 1)} | {_text(n['speedup'], 2)} |")
    return "\n".join(rows)


def reproduce(outputs: Outputs, version: Any) -> str:
    """The commands that rebuild a version from its commit, its own lock and its own parameters."""
    found = lineage.git(outputs.workspace, "remote", "get-url", "origin")
    # an address may carry a password
    origin = re.sub(r"//[^/@]+@", "//", found.strip()) if found else "THIS-REPOSITORY"
    commit = version.tags.get("visionmill.git_commit", "none")
    dirty = version.tags.get("visionmill.uncommitted", "no")
    here = f"In its workspace: `visionmill reproduce {version.name}/{version.version}`. By hand:"
    lines = ["## Reproduce", "", here, "", "```",
             f"git clone {origin} again && cd again && git checkout {commit}",
             f"mlflow artifacts download -u models:/{version.name}/{version.version}/lineage -d .again",
             "cp .again/lineage/* . && dvc pull && dvc repro", "```"]
    if dirty != "no":
        lines += ["", f"The code was not committed as it ran: {dirty}."]
    return "\n".join(lines)


def _text(value: float | None, digits: int) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"
