"""Moving aliases: `candidate`, `champion`, `previous`. All changes of ours go through here, so that each has a reason.

An alias is one row of the registry: there are never two champions. A killed promotion leaves `previous` on the
champion, a killed rollback too; the next call, or the next look, mends that from the audit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.base.errors import UserError
from tasks.registry import store, versions
from tasks.registry.promotion import audit, following, remarks
from tasks.registry.promotion import journal as journals
from tasks.registry.promotion.audit import Entry
from tasks.registry.promotion.journal import Journal

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class RolledBack:
    """What a rollback did.

    Attributes:
        name: registered model.
        from_version, to_version: of `champion`.
        note: one sentence.
    """

    name: str
    from_version: str
    to_version: str
    note: str


def set_alias(mlflow: MlflowClient, name: str, alias: str, version: str | None, *, reason: str,
              workspace: Path = Path()) -> None:
    """Point an alias to a version, or take it away with None; nothing is written when it is there already.

    For `champion` use `promote`, which keeps `previous`.
    """
    with _changing(mlflow, workspace) as journal:
        audit.change(mlflow, journal, name, alias, _text(version), reason=reason, workspace=workspace)
        audit.catch_up(mlflow, journal, workspace)
    following.after(workspace)


def promote(mlflow: MlflowClient, name: str, version: str, *, reason: str, workspace: Path = Path()) -> str:
    """Make a version `champion` and the one before it `previous`.

    Returns:
        What happened, in one sentence.
    """
    number = str(version)
    with _changing(mlflow, workspace) as journal:
        held = versions.by_alias(mlflow, name, "champion")
        if held and str(held.version) == number:
            _mend_previous(mlflow, journal, name, workspace)
            return f"version {number} is the champion already"
        if held:
            audit.change(mlflow, journal, name, "previous", str(held.version), workspace=workspace,
                         reason=f"version {number} takes its place")
        audit.change(mlflow, journal, name, "champion", number, reason=reason, workspace=workspace, event="promoted")
        audit.catch_up(mlflow, journal, workspace)
    following.after(workspace)
    return f"version {number} is champion" + (f", version {held.version} is `previous`" if held else "")


def roll_back(name: str | None = None, *, reason: str, workspace: Path = Path(), to: str | None = None,
              only_from: str | None = None) -> RolledBack:
    """Give `champion` back to `previous`, or to the version `to`; `previous` becomes the one before that.

    Args:
        name: registered model; the workspace's own when it is left out.
        reason: kept in the audit.
        only_from: nothing is done when another version is champion by now.

    Raises:
        UserError: there is no champion, or another one than `only_from`, no version before it, or no version `to`.
    """
    with store.told_in_words("champion was given back", workspace):
        mlflow, model = store.client(workspace), name or store.workspace_name(workspace)
        with _changing(mlflow, workspace) as journal:
            audit.catch_up(mlflow, journal, workspace)
            held = versions.by_alias(mlflow, model, "champion")
            if held is None:
                raise UserError(f"no version of {model!r} is champion", mend="visionmill register, or move the alias "
                                                                             "`champion` in the MLflow UI")
            before = str(held.version)
            if only_from not in (None, before):
                raise UserError(f"version {before} became champion meanwhile", mend="visionmill audit")
            target = _target(mlflow, journal, model, before, to, workspace)
            audit.change(mlflow, journal, model, "champion", target, reason=reason, workspace=workspace,
                         event="rolled-back")
            audit.catch_up(mlflow, journal, workspace)
            _mend_previous(mlflow, journal, model, workspace, without=before)
        following.after(workspace)
    return RolledBack(model, before, target, f"version {target} is champion again, version {before} was")


def before_champion(changes: Sequence[Entry]) -> list[str]:
    """Versions that were champion before the one that is, the last one first.

    Going back to an earlier champion forgets those that came after it.
    """
    stack: list[str] = []
    for change in changes:
        if change.alias != "champion" or change.to_version is None:
            continue
        if change.to_version in stack:
            del stack[stack.index(change.to_version):]
        stack.append(change.to_version)
    return stack[-2::-1] if len(stack) > 1 else []


def keep_previous(mlflow: MlflowClient, name: str, workspace: Path = Path()) -> None:
    """Let `previous` name the version before the champion where a person, or a kill, has left it behind."""
    with _changing(mlflow, workspace) as journal:
        changes = [e for e in audit.from_rows(journal.rows(name)) if e.alias in ("champion", "previous")]
        last = changes[-1] if changes else None
        # whoever moves `previous` after `champion` means it
        by_hand = last is not None and last.alias == "champion" and last.to_version and last.by in ("hand", "webhook")
        _mend_previous(mlflow, journal, name, workspace, anyway=bool(by_hand))


def _mend_previous(mlflow: MlflowClient, journal: Journal, name: str, workspace: Path, *, anyway: bool = False,
                   without: str | None = None) -> None:
    champion, previous = (versions.by_alias(mlflow, name, alias) for alias in ("champion", "previous"))
    if champion is None:
        return
    same = previous is not None and str(previous.version) == str(champion.version)
    left = previous is not None and str(previous.version) == without
    if same or left or anyway:
        before = _alive_before(mlflow, journal, name, {str(champion.version), without})
        if before or same or left:
            audit.change(mlflow, journal, name, "previous", before, workspace=workspace,
                         reason=f"the champion before version {champion.version}")
    audit.catch_up(mlflow, journal, workspace)


def _alive_before(mlflow: MlflowClient, journal: Journal, name: str, without: set[str | None]) -> str | None:
    """The last champion before this one that is still there."""
    known = before_champion(audit.from_rows(journal.rows(name)))
    return next((v for v in known if v not in without and remarks.version_of(mlflow, name, v)), None)


def _target(mlflow: MlflowClient, journal: Journal, name: str, before: str, to: str | None, workspace: Path) -> str:
    there = [str(found.version) for found in versions.versions(mlflow, name)]
    others = ", ".join(v for v in there if v != before) or "none"
    if to is not None:
        if to not in there or to == before:
            what = "is champion already" if to == before else "is not there"
            raise UserError(f"version {to} of {name!r} {what}", mend=f"other versions: {others}")
        return to
    previous = versions.by_alias(mlflow, name, "previous")
    if previous is not None and str(previous.version) != before:
        return str(previous.version)
    if found := _alive_before(mlflow, journal, name, {before}):
        return found
    raise UserError(f"there is no champion before version {before} of {name!r}",
                    mend=f"visionmill rollback --to VERSION; other versions: {others}")


@contextmanager
def _changing(mlflow: MlflowClient, workspace: Path) -> Iterator[Journal]:
    """The lock of the aliases, and the table, which a registry has as soon as it has a version."""
    with store.file_lock(workspace / store.STATE / audit.LOCK), journals.opened(workspace) as journal:
        if journal is None:
            raise UserError("the registry has no tables yet", where=store.shown(journals.registry_uri(workspace)),
                            mend="visionmill register makes a first version")
        if not journal.began():
            audit.catch_up(mlflow, journal, workspace)  # what is there now is not of our making
        yield journal


def _text(version: str | int | None) -> str | None:
    return None if version is None else str(version)
