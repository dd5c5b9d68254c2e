"""What follows a change of `champion`: `previous` is kept, and those who asked for it are told."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import notify
from tasks.registry import store
from tasks.registry.promotion import audit
from tasks.registry.promotion import journal as journals
from tasks.registry.promotion.audit import Entry

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOCK = "telling.lock"


def after(workspace: Path = Path()) -> None:
    """Tell of every change of `champion` that nobody was told of yet. Call it outside the lock of the aliases.

    A kill between delivery and note tells twice, never not at all.
    """
    with _one_at_a_time(workspace) as mine, journals.opened(workspace) as journal:
        if not mine or journal is None:
            return
        rows = journal.rows()
        done = {row.ref for row in rows if row.kind == "notified"}
        marked = {row.ref for row in rows if row.kind == "seen"}
        for entry in audit.from_rows(rows):
            if entry.alias == "champion" and entry.to_version and entry.by != "found" and entry.seq in marked - done:
                _tell(entry, workspace)
                journal.add("notified", audit.now_ms(), name=entry.name, ref=entry.seq)


def keep(mlflow: MlflowClient, fresh: list[Entry], workspace: Path = Path()) -> None:
    """Keep `previous` of every model whose champion somebody has moved."""
    from tasks.registry.promotion.aliases import keep_previous

    for name in sorted({entry.name for entry in fresh if entry.alias == "champion"}):
        keep_previous(mlflow, name, workspace)


def _tell(entry: Entry, workspace: Path) -> None:
    what = f"{entry.name} version {entry.to_version}"
    was = f" in place of version {entry.from_version}" if entry.from_version else ""
    event: Any = entry.event or "promoted"
    subject = f"{what} is champion"
    if audit.is_ungated(entry) and entry.by != "ours":
        event, subject = "by-hand", f"{what} was made champion by hand without a passing gate"
    elif event == "rolled-back":
        subject = f"{what} is champion again"
    text = (f"{what} became champion{was}, by {entry.who} ({entry.by}), {entry.when}.\n"
            f"Gate: {entry.gate or 'not asked'}.\nReason: {entry.reason or 'none was given'}.")
    notify.tell(event, subject, text, facts=entry.to_dict(), workspace=workspace)


@contextmanager
def _one_at_a_time(workspace: Path) -> Iterator[bool]:
    """False where another process is telling: it tells this too, or the next look does."""
    path = workspace / store.STATE / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
