"""Who moved which alias when, what the gate had said, and why: every change, in the order that it happened.

The table is that of `tasks.registry.promotion.journal`; here its rows become entries, and what they mean for a version
is written on it: the history of its aliases as a tag, and a flag where it became champion without a passing gate.
Nothing is reverted.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.people import login
from tasks.registry import lineage, store, versions
from tasks.registry.promotion import journal as journals
from tasks.registry.promotion import remarks
from tasks.registry.promotion.journal import Journal, Row

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOCK = "aliases.lock"
HISTORY = "visionmill.aliases"
BY_HAND = "visionmill.by_hand"
REMEMBERED = 12  # changes that a version's tag lists
GAPS = ("only the server's address is known: a change that came and went between two looks is here if its webhook "
        "arrived, else it is not")


@dataclass(frozen=True)
class Entry:
    """One change of an alias.

    Attributes:
        when: as the clock told, ISO 8601 in UTC. Entries are ordered by `seq`, since clocks jump.
        name: registered model.
        from_version, to_version: None where the alias was not there before, or is gone.
        who: user and flow run where the change is ours, the server's user where it knows one; else `unknown`.
        gate: what the gate had said of `to_version`: `passed`, `refused: …`, `not asked: …`, or None without one.
        gate_hash: digest of the gate's rules.
        by: `ours` this program, `hand` somebody in MLflow, `webhook` somebody, told by a webhook alone, `found` it was
            there before the audit began.
        event: `promoted` or `rolled-back` for changes of ours that were that.
    """

    when: str
    name: str
    alias: str
    from_version: str | None
    to_version: str | None
    who: str
    gate: str | None
    gate_hash: str | None
    reason: str
    by: str
    seq: int = 0
    event: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def entries(name: str | None = None, workspace: Path = Path()) -> list[Entry]:
    """All known changes of a model's aliases, of all models without a name, oldest first.

    Raises:
        UserError: the registry's database cannot be reached.
    """
    with store.told_in_words("the audit was read", workspace), journals.opened(workspace) as journal:
        return from_rows(journal.rows(name)) if journal else []


def has_gaps(workspace: Path = Path()) -> bool:
    """True where a change between two looks can escape: the registry's database cannot be reached."""
    return not journals.is_direct(workspace)


def look(workspace: Path = Path(), *, tell: bool = True) -> list[Entry]:
    """Compare the aliases with what is known, write down what changed, mark the versions, tell who wants to know.

    Args:
        tell: False leaves telling to the next look.

    Returns:
        The changes that nobody had looked at before, oldest first.

    Raises:
        UserError: the registry cannot be reached.
    """
    with store.told_in_words("the aliases were looked at", workspace):
        mlflow = store.client(workspace)
        with store.file_lock(workspace / store.STATE / LOCK), journals.opened(workspace) as journal:
            fresh = catch_up(mlflow, journal, workspace) if journal else []
        from tasks.registry.promotion import following

        following.keep(mlflow, fresh, workspace)
        if tell:
            following.after(workspace)
        return fresh


def received(name: str, alias: str, version: str | None, workspace: Path = Path()) -> None:
    """What a webhook told of an alias; where triggers see everything it says nothing new."""
    with store.file_lock(workspace / store.STATE / LOCK), journals.opened(workspace) as journal:
        if journal is None or journal.direct:
            return
        known = next((row.to_version for row in reversed(journal.rows(name))
                      if row.kind in ("move", "found") and row.alias == alias), None)
        if known != version:
            journal.add("move", now_ms(), name=name, alias=alias, from_version=known, to_version=version, how="webhook")


def change(mlflow: MlflowClient, journal: Journal, name: str, alias: str, version: str | None, *, reason: str,
           workspace: Path, event: str | None = None) -> bool:
    """Announce a change, then make it. Call it under the lock; False when there was nothing to change.

    Args:
        version: None takes the alias away.
    """
    held = versions.by_alias(mlflow, name, alias)
    before = str(held.version) if held else None
    if before == version:
        return False
    journal.add("told", now_ms(), name=name, alias=alias, from_version=before, to_version=version, who=who(workspace),
                reason=reason[:1000], event=event, place=place_of(workspace))
    if version is None:
        mlflow.delete_registered_model_alias(name, alias)
    else:
        mlflow.set_registered_model_alias(name, alias, version)
    return True


def catch_up(mlflow: MlflowClient, journal: Journal, workspace: Path) -> list[Entry]:
    """Under the lock: see what changed, mark the versions, and write down that it was seen."""
    journal.compare(None if journal.direct else _aliases(mlflow, workspace), now_ms())
    rows = journal.rows()
    seen = {row.ref for row in rows if row.kind == "seen"}
    told = _matched(rows)
    fresh = []
    for row in rows:
        new = row.kind in ("move", "found") and row.seq not in seen
        if new and _is_ours_to_mark(str(row.name), journal, workspace):
            fresh.append(_see(mlflow, journal, row, told.get(row.seq), rows))
    _withdraw(journal, rows, told.values(), workspace)
    return fresh


def now_ms() -> int:
    return int(time.time() * 1000)


def iso(at_ms: int) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def who(workspace: Path) -> str:
    """The person by git's address or the login's name, and the flow run that this process belongs to."""
    named = (lineage.git(workspace, "config", "user.email") or "").strip()
    person = named or login()
    flow = os.environ.get("VISIONMILL_FLOW_RUN")
    return f"{person}, flow run {flow}" if flow else person


def place_of(workspace: Path) -> str:
    """Machine and folder: announcements that came to nothing are withdrawn by the workspace that made them."""
    return f"{os.uname().nodename}:{workspace.resolve()}"


def _is_ours_to_mark(name: str, journal: Journal, workspace: Path) -> bool:
    """In a shared registry other workspaces look after their own models."""
    local = journals.registry_uri(workspace).startswith("sqlite:")
    return (journal.direct and local) or name == store.workspace_name(workspace)


def _aliases(mlflow: MlflowClient, workspace: Path) -> dict[tuple[str, str], str]:
    from mlflow.exceptions import MlflowException

    name = store.workspace_name(workspace)
    try:
        found = mlflow.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return {}
    return {(name, alias): str(version) for alias, version in found.items()}


def _matched(rows: Sequence[Row]) -> dict[int, Row]:
    """Number of a change → our announcement of it: the first that was open as it came."""
    open_, matched = _open(rows), {}
    for row in rows:
        waiting = open_.get((row.name, row.alias, row.to_version), [])
        if row.kind in ("move", "found") and waiting and waiting[0].seq < row.seq:
            matched[row.seq] = waiting.pop(0)
    return matched


def _open(rows: Sequence[Row]) -> dict[tuple[str | None, str | None, str | None], list[Row]]:
    withdrawn = {row.ref for row in rows if row.kind == "withdrawn"}
    waiting: dict[tuple[str | None, str | None, str | None], list[Row]] = defaultdict(list)
    for row in rows:
        if row.kind == "told" and row.seq not in withdrawn:
            waiting[row.name, row.alias, row.to_version].append(row)
    return waiting


def _withdraw(journal: Journal, rows: Sequence[Row], used: Iterable[Row], workspace: Path) -> None:
    """Under the lock nothing of this workspace is under way: what is still announced was killed before it came."""
    done = {row.seq for row in used}
    for waiting in _open(rows).values():
        for row in waiting:
            if row.seq not in done and row.place == place_of(workspace):
                journal.add("withdrawn", now_ms(), name=row.name, ref=row.seq)


def _see(mlflow: MlflowClient, journal: Journal, row: Row, told: Row | None, rows: Sequence[Row]) -> Entry:
    """Mark the versions of one change, then write down what is known of it: a killed look does both again."""
    name = str(row.name)
    version = remarks.version_of(mlflow, name, row.to_version)
    tags = dict(version.tags) if version else {}
    known: dict[str, Any] = {
        "gate": tags.get("visionmill.gate"), "gate_hash": tags.get("visionmill.gate_hash"),
        "who": told.who if told else row.who or "unknown", "event": told.event if told else None,
        "how": "ours" if told else row.how or ("found" if row.kind == "found" else "hand"),
        "reason": told.reason if told else ""}
    entry = _entry(row, known)
    history = [*(e for e in from_rows([r for r in rows if r.name == name]) if e.seq < row.seq), entry]
    for number in {row.from_version, row.to_version} - {None}:
        remarks.tag(mlflow, name, str(number), HISTORY, _history(history, str(number)))
    if is_ungated(entry):
        remarks.tag(mlflow, name, str(row.to_version), BY_HAND, "yes")
        remarks.remark(mlflow, name, str(row.to_version), "by-hand", f"Became `champion` on {entry.when} without a "
                       f"passing gate ({entry.gate or 'none was asked'}), by {entry.who}. Nothing was reverted.")
    journal.add("seen", now_ms(), name=name, ref=row.seq, **known)
    return entry


def is_ungated(entry: Entry) -> bool:
    """Whether a version became champion that no gate had passed."""
    return entry.alias == "champion" and entry.to_version is not None and entry.gate != "passed"


def _history(changes: Sequence[Entry], version: str) -> str:
    """The last changes that touched a version, as JSON: when, alias, `got` it or `lost` it, by whom."""
    own = [{"when": e.when, "alias": e.alias, "what": "got" if e.to_version == version else "lost", "by": e.by}
           for e in changes if version in (e.from_version, e.to_version)]
    return json.dumps(own[-REMEMBERED:])


def from_rows(rows: Sequence[Row]) -> list[Entry]:
    """The changes among rows of the table, oldest first."""
    seen = {row.ref: row for row in reversed(rows) if row.kind == "seen"}
    told = _matched(rows)
    found = []
    for row in rows:
        if row.kind in ("move", "found"):
            more = seen.get(row.seq) or told.get(row.seq)
            known = asdict(more) if more else {}
            how = known.get("how") or ("ours" if more else row.how or ("found" if row.kind == "found" else "hand"))
            found.append(_entry(row, {**known, "how": how}))
    return found


def _entry(row: Row, known: dict[str, Any]) -> Entry:
    return Entry(iso(row.at_ms), str(row.name), str(row.alias), row.from_version, row.to_version,
                 known.get("who") or row.who or "unknown", known.get("gate"), known.get("gate_hash"),
                 known.get("reason") or "", known["how"], row.seq, known.get("event"))
