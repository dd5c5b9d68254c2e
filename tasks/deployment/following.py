"""From the alias to the bundles, as one step that may be killed anywhere and is right when it is done again.

The step looks at where `champion` is, not at what happened: a lost webhook costs time alone. A champion is tried once
for each time that it became champion. When its bundle fails, `champion` goes back to `previous`, once: if that fails
too the alias stays, what worked stays in use, and a person is asked. So no two versions are tried for ever. Only what
may have been away for a while, such as the store of a version's files, is asked again, every ten minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import notify
from tasks.base.errors import UserError
from tasks.base.files import digest_value, read_json, write_json
from tasks.base.site import Site, read_site
from tasks.deployment import places
from tasks.deployment.deploying import Deployed, deploy_locked, locked, tag_of
from tasks.registry import store, versions
from tasks.registry.promotion import aliases, audit, remarks
from tasks.registry.promotion.audit import Entry

if TYPE_CHECKING:
    from mlflow import MlflowClient

ATTEMPT = "attempt.json"
AGAIN_S = 600.0
AUTOMATIC = "the smoke test of version"  # how the reason of a rollback of ours begins
BAD = ("failed", "rolled back")


@dataclass(frozen=True)
class Due:
    """A champion that nobody has tried to deploy since it became champion.

    Attributes:
        version: the registered version.
        key: of this attempt.
        automatic: True when a failed smoke test made it champion.
    """

    version: Any
    key: str
    automatic: bool


def due(name: str | None = None, workspace: Path = Path(), site: Site | None = None, *,
        tell: bool = True) -> Due | None:
    """Look at the aliases, note and tell what changed, and say whether there is something to deploy.

    Raises:
        UserError: the store is away.
    """
    audit.look(workspace, tell=tell)
    site = site or read_site(workspace)
    with store.told_in_words("champion was looked up", workspace):
        return _due(store.client(workspace), name or store.workspace_name(workspace), workspace, site)


def follow(name: str | None = None, workspace: Path = Path(), site: Site | None = None) -> list[str]:
    """Bring the bundles to where `champion` is; returns what was done, in lines, empty when nothing was to do.

    Raises:
        UserError: the store is away; the next call goes on.
    """
    site, done = site or read_site(workspace), []
    model = name or store.workspace_name(workspace)
    while due(model, workspace, site) is not None:
        with (store.told_in_words("champion was deployed", workspace), locked(model, workspace, site)):
            mlflow = store.client(workspace)
            wanted = _due(mlflow, model, workspace, site)  # another watch may have been quicker
            if wanted is None:
                break
            done += _attempt(mlflow, wanted, workspace, site)
    return done


def last_attempt(name: str, workspace: Path = Path(), site: Site | None = None) -> list[str]:
    """What the last attempt to deploy a champion came to, in lines; empty before the first."""
    told = _attempted(_attempt_file(name, workspace, site or read_site(workspace)))
    return [str(line) for line in told.get("lines", [])]


def _due(mlflow: MlflowClient, name: str, workspace: Path, site: Site) -> Due | None:
    held = versions.by_alias(mlflow, name, "champion")
    if held is None or not site.deploy.targets:
        return None
    moves = [e for e in audit.entries(name, workspace) if e.alias == "champion"]
    last = moves[-1] if moves else None
    _mend(mlflow, moves, site)
    told = site.deploy.model_dump(include={"targets", "place", "smoke_pictures", "smoke_timeout_s"})
    key = digest_value([str(held.version), held.source, last.seq if last else 0, told])
    file = _attempt_file(name, workspace, site)
    known = _attempted(file)
    if known.get("key") == key and not _again(known, name, workspace, site):
        return None
    return Due(held, key, last is not None and last.event == "rolled-back" and last.reason.startswith(AUTOMATIC))


def _attempt(mlflow: MlflowClient, wanted: Due, workspace: Path, site: Site) -> list[str]:
    name, number = wanted.version.name, str(wanted.version.version)

    def still() -> bool:
        held = versions.by_alias(mlflow, name, "champion")
        return held is not None and str(held.version) == number

    made = deploy_locked(mlflow, wanted.version, workspace, site, still)
    lines = made.lines()
    if made.superseded:
        return lines
    back = _go_back(mlflow, made, wanted, workspace, site) if made.failure else None
    file = _attempt_file(name, workspace, site)
    if _attempted(file).get("key") != wanted.key or _attempted(file).get("lines") != lines:
        _tell(made, back, workspace)
    good = {target: result.bundle for target, result in made.results.items() if result.state == "ok"}
    write_json(file, {"key": wanted.key, "version": number, "bundles": good, "lines": lines, "at_ms": audit.now_ms(),
                      "again": not made.ok and made.failure is None})
    return lines + ([back] if back else [])


def _go_back(mlflow: MlflowClient, made: Deployed, wanted: Due, workspace: Path, site: Site) -> str:
    """One automatic rollback, to a version that has not failed itself; returns what was done, in one sentence."""
    stays = "`champion` stays, and so does what worked before: a person has to decide"
    if wanted.automatic:
        return f"it is the version that was gone back to: {stays}"
    previous = versions.by_alias(mlflow, made.name, "previous")
    if previous is None or str(previous.version) == made.version:
        return f"there is no version before it: {stays}"
    tags = [previous.tags.get(tag_of(target), "") for target in site.deploy.targets]
    if any(text.startswith(BAD) for text in tags):
        return f"version {previous.version} before it has failed too: {stays}"
    reason = f"{AUTOMATIC} {made.version} failed: {made.failure}"
    try:
        went = aliases.roll_back(made.name, reason=reason, workspace=workspace, to=str(previous.version),
                                 only_from=made.version)
    except UserError as error:
        return f"going back was not possible ({error.what}): {stays}"
    _say_rolled_back(mlflow, made.name, made.version, went.to_version, reason, site)
    return f"rolled back: {went.note}"


def _say_rolled_back(mlflow: MlflowClient, name: str, version: str, to: str, reason: str, site: Site) -> None:
    for target in site.deploy.targets:
        remarks.tag(mlflow, name, version, tag_of(target), f"rolled back: {reason}")
    remarks.remark(mlflow, name, version, "deployment", f"Rolled back to version {to}: {reason}.")


def _mend(mlflow: MlflowClient, moves: Sequence[Entry], site: Site) -> None:
    """A kill right after an automatic rollback leaves the version it came from without a word of it."""
    last = moves[-1] if moves else None
    if last is None or last.event != "rolled-back" or not last.reason.startswith(AUTOMATIC) or not last.from_version:
        return
    left = remarks.version_of(mlflow, last.name, last.from_version)
    tags = [left.tags.get(tag_of(target), "") for target in site.deploy.targets] if left else []
    if any(text.startswith("failed") for text in tags):
        _say_rolled_back(mlflow, last.name, last.from_version, str(last.to_version), last.reason, site)


def _tell(made: Deployed, back: str | None, workspace: Path) -> None:
    """Tell what became of it; a rollback is told of by the audit."""
    what = f"{made.name} version {made.version}"
    facts = {"name": made.name, "version": made.version, "problems": made.problems,
             "targets": {t: {"state": r.state, "text": r.text, "bundle": r.bundle} for t, r in made.results.items()}}
    text = "\n".join(made.lines() + ([back] if back else []))
    if made.ok:
        notify.tell("deployed", f"{what} is deployed", text, facts=facts, workspace=workspace)
    else:
        notify.tell("failed", f"{what} is not deployed everywhere", text, facts=facts, workspace=workspace)


def _attempt_file(name: str, workspace: Path, site: Site) -> Path:
    return places.place_of(name, "any", workspace, site).parent / ATTEMPT


def _attempted(file: Path) -> dict[str, Any]:
    """What was written of the last attempt; empty when there was none, or when it cannot be read."""
    try:
        told = read_json(file)
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _again(known: dict[str, Any], name: str, workspace: Path, site: Site) -> bool:
    """Whether an attempt is repeated: it met something that may pass, or somebody removed its bundle by hand."""
    # a clock that jumped backwards counts as time that passed
    if known.get("again") and abs(audit.now_ms() - int(known.get("at_ms", 0))) > AGAIN_S * 1000:
        return True
    for target, bundle in known.get("bundles", {}).items():
        place = places.place(name, target, workspace, site)
        if place.current() != bundle or not (place.folder / bundle).is_dir():
            return True
    return False
