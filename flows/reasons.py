"""Why a line is run again: new data, a change, drift, a request. Without a reason nothing is trained."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from flows.line import Line
from flows.workspace import leave_note, note
from tasks.base.params import read_yaml

NOTE = "last_retrain"
Kind = Literal["new data", "changed", "drift", "request", "unregistered"]
# what a line of the catalogue or of the store reads its pictures by
CHOSEN = ("fetch.", "data.version", "data.digest")
SHOWN = 3


@dataclass(frozen=True)
class Reason:
    """One reason, in a few words."""

    kind: Kind
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}" if self.text else self.kind


def reasons(root: Path, plan: Line, registered: object | None, *, asked: str | None, force: bool,
            drift: str | None) -> list[Reason]:
    """All reasons to run, the weightiest first; empty: nothing is new.

    Args:
        registered: the version of what is here, None where there is none.
        asked: what the person or the schedule said; no reason by itself, since a schedule always says something.
        force: run whether anything changed or not.
        drift: what the look found, where the site wants a retraining for it.
    """
    outside = _outside(root)
    found: list[Reason] = []
    data: list[str] = []
    other: list[str] = []
    for stage, texts in plan.stale.items():
        for text in texts:
            new = stage.endswith(".dvc") or text.startswith(CHOSEN) or any(text.startswith(f"{p} ") for p in outside)
            (data if new else other).append(text if stage.endswith(".dvc") else f"{stage}: {text}")
    if data:
        found.append(Reason("new data", _short(data)))
    if force:
        found.append(Reason("request", asked or "force"))
    if drift:
        found.append(Reason("drift", drift))
    if other:
        found.append(Reason("changed", _short(other)))
    if not found and registered is None:
        found.append(Reason("unregistered", "what is here was never registered"))
    return found


def told(found: Sequence[Reason]) -> str:
    return "; ".join(map(str, found))


def remember(root: Path, **facts: Any) -> None:
    """Keep how this retraining went, for the status page and for the next one."""
    before = note(NOTE, root) or {}
    kept = {name: before[name] for name in ("acted_on", "told_of") if name in before}
    leave_note(NOTE, {"schema": 1, **kept, "finished": time.strftime("%Y-%m-%d %H:%M:%S"), **facts}, root)


def as_note(found: Sequence[Reason]) -> list[dict[str, str]]:
    return [asdict(reason) for reason in found]


def _outside(root: Path) -> set[str]:
    """Paths that stages read and none makes: what people bring."""
    stages = (read_yaml(root / "dvc.yaml") or {}).get("stages", {}).values()
    read = {path for stage in stages for path in _paths(stage, "deps")}
    return read - {path for stage in stages for path in _paths(stage, "outs")}


def _paths(stage: Any, key: str) -> list[str]:
    body = stage.get("do", stage) if isinstance(stage, dict) else {}
    return [next(iter(entry)) if isinstance(entry, dict) else str(entry) for entry in body.get(key, [])]


def _short(texts: list[str]) -> str:
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return "; ".join(texts[:SHOWN]) + more
