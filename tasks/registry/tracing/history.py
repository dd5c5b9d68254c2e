"""The versions of a workspace's model over time, as plain data for the project page: numbers, data, gates, places."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.base.errors import VisionmillError
from tasks.base.files import read_json
from tasks.registry import versions
from tasks.registry.tracing import standing
from tasks.registry.tracing.kept import Kept
from tasks.registry.tracing.reading import Known, Registry, own_name, reading
from tasks.registry.tracing.trail import gate_report

LOOKED_INTO = 60  # versions whose interval is looked up in DVC's cache where no tag has it
REPORTS = 6  # gate reports that are read
CHANGES = 12
# a version's lock is read for one hash; parsing YAML for hundreds of versions takes seconds
EVALUATED = re.compile(r"- path: results/evaluate\n(?:\s+hash: \S+\n)?\s+md5: (\w+\.dir)")


def history(workspace: Path = Path(), name: str | None = None) -> dict[str, Any]:
    """All that the project page tells of versions.

    Returns:
        name, versions (oldest first; version, created, aliases, AP, AP50, low and high of AP's 95 % interval, bytes,
        median_ms, gate, test_hash, data_hash, artefact, pictures, boxes, by_hand), reports (version → gate.json of the
        champion and the last ones), audit, deployed, drift (the last look: when, verdict), other models of the store.

    Raises:
        UserError: the store is away.
    """
    with reading(workspace, "the versions were asked for") as registry:
        own = name or own_name(registry, workspace)
        known = registry.versions(own)
        kept = Kept(workspace)
        rows = [_row(one) for one in reversed(known)]
        _add_intervals(rows, known, registry, kept, workspace)
        _add_data(rows, kept)
        drift = registry.latest("drift")
        told = [one for one in known if "champion" in one.aliases] + known[:REPORTS]
        reports = {one.version: report for one in told if (report := gate_report(one, registry, workspace))}
        return {"name": own, "versions": rows, "reports": reports, "models": registry.names(),
                "audit": standing.audit(own, None, workspace)[-CHANGES:],
                "deployed": standing.where(own, None, workspace),
                "drift": {"when": drift.started, "verdict": drift.tags.get("visionmill.verdict", "")} if drift else
                None}


def _row(known: Known) -> dict[str, Any]:
    return {"version": known.version, "created": known.created, "aliases": known.aliases,
            **{name: _finite(known.number(name)) for name in ("AP", "AP50", "bytes", "median_ms", "pictures", "boxes")},
            "low": _finite(known.number("AP_low")), "high": _finite(known.number("AP_high")),
            "gate": known.tag("gate"), "test_hash": known.tag("test_hash"), "data_hash": known.tag("data_hash"),
            "artefact": known.tag("artefact"), "by_hand": bool(known.tag("by_hand")),
            "imported": known.tag("imported") == "yes"}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _add_intervals(rows: list[dict[str, Any]], known: Sequence[Known], registry: Registry, kept: Kept,
                   workspace: Path) -> None:
    """The interval of AP where no tag has it: from the evaluation that DVC keeps, for the newest versions."""
    by_number = {row["version"]: row for row in rows}
    for one in known[:LOOKED_INTO]:
        row = by_number[one.version]
        if row["low"] is None and row["artefact"]:
            row["low"], row["high"] = _interval(one, row["artefact"], registry, kept, workspace)


def _interval(one: Known, artefact: str, registry: Registry, kept: Kept,
              workspace: Path) -> tuple[float | None, float | None]:
    try:
        place = versions.local_files(registry.files(one), workspace)
        found = EVALUATED.search((place / "lineage/dvc.lock").read_text(encoding="utf-8")) if place else None
        file = kept.inside(found[1], "metrics.json") if found else None
        told = read_json(file)["artefacts"][artefact] if file else {}
        return told.get("AP_low"), told.get("AP_high")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, VisionmillError):
        return None, None


def _add_data(rows: list[dict[str, Any]], kept: Kept) -> None:
    """Pictures and boxes where no tag has them: the rows of the split's tables, each table looked at once."""
    import pyarrow.parquet as pq

    counts: dict[str, tuple[int | None, int | None]] = {}
    for row in rows:
        data = row["data_hash"]
        if row["pictures"] is not None or not data:
            continue
        if data not in counts:
            files = [kept.inside(data, f"{table}.parquet") for table in ("images", "annotations")]
            numbers = [pq.read_metadata(file).num_rows if file else None for file in files]
            counts[data] = numbers[0], numbers[1]
        row["pictures"], row["boxes"] = counts[data]
