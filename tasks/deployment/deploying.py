"""Deploying one version: every bundle is made and tried before any is switched to."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tasks.base import presets
from tasks.base.errors import UserError, VisionmillError
from tasks.base.site import Deploy, Site
from tasks.deployment import places
from tasks.deployment.smoke import try_bundle
from tasks.registry import store, versions
from tasks.registry.promotion import audit, remarks

if TYPE_CHECKING:
    from mlflow import MlflowClient

State = Literal["ok", "failed", "refused"]
LOCK = ".deploy.lock"


@dataclass(frozen=True)
class Result:
    """What became of one target.

    Attributes:
        state: ok: in use; failed: the bundle was made and did not pass its smoke test; refused: it cannot be made.
        text: what was tried, or why not.
        bundle: the folder's name; None when there is none.
        changed: True when `current` was switched.
    """

    state: State
    text: str
    bundle: str | None = None
    changed: bool = False


@dataclass(frozen=True)
class Deployed:
    """What became of a version.

    Attributes:
        name, version: of the registered model.
        results: target → result; empty when nothing was tried.
        problems: what is wrong with the version itself; then nothing was deployed.
        superseded: True when another version became champion meanwhile: nothing was switched.
    """

    name: str
    version: str
    results: dict[str, Result] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    superseded: bool = False

    @property
    def ok(self) -> bool:
        """Whether every target runs this version."""
        return not self.problems and not self.superseded and all(r.state == "ok" for r in self.results.values())

    @property
    def failure(self) -> str | None:
        """The first smoke test that failed, in words."""
        return next((f"{t}: {r.text}" for t, r in self.results.items() if r.state == "failed" and r.bundle), None)

    def lines(self) -> list[str]:
        """What a person reads, one line a target."""
        what = f"{self.name} version {self.version}"
        if self.superseded:
            return [f"{what}: another version became champion meanwhile"]
        if self.problems:
            return [f"{what}: not deployed: {why}" for why in self.problems]
        return [f"{what}: {target} {result.state}: {result.text}" for target, result in self.results.items()]


def deploy(name: str, version: str, workspace: Path = Path(), site: Site | None = None, *,
           still: Callable[[], bool] = lambda: True) -> Deployed:
    """Make, try and place the bundles of a version for all targets of the site.

    Nothing is switched when one bundle fails its smoke test: targets of one site run one version. A target that the
    version cannot serve keeps its old bundle, and the others go on. One deployment at a time: a second call waits.

    Args:
        still: asked before anything is switched; False leaves everything as it is, for a newer one.

    Raises:
        UserError: no such version, or the store is away.
    """
    from tasks.base.site import read_site

    site = site or read_site(workspace)
    with store.told_in_words("a version was deployed", workspace), locked(name, workspace, site):
        mlflow = store.client(workspace)
        found = remarks.version_of(mlflow, name, str(version))
        if found is None:
            raise UserError(f"{name!r} has no version {version}", mend="see MLflow for those that it has")
        return deploy_locked(mlflow, found, workspace, site, still)


def locked(name: str, workspace: Path, site: Site) -> Any:
    """The lock of one model's bundles."""
    return store.file_lock(places.place_of(name, "any", workspace, site).parent / LOCK)


def deploy_locked(mlflow: MlflowClient, version: Any, workspace: Path, site: Site,
                  still: Callable[[], bool]) -> Deployed:
    """`deploy` for who holds the lock."""
    from tasks.deployment.condition import ailments

    name, number = version.name, str(version.version)
    if problems := ailments(mlflow, version, workspace):
        for target in site.deploy.targets:
            remarks.tag(mlflow, name, number, tag_of(target), f"failed: {'; '.join(problems)}")
        remarks.remark(mlflow, name, number, "deployment", f"Nothing was deployed: {'; '.join(problems)}. What was "
                                                           "in use before stays in use.")
        return Deployed(name, number, problems=problems)
    smoke = versions.resolve_model(f"models:/{name}/{number}", "all", workspace) / "smoke"
    results = {target: _prepare(version, target, workspace, site, smoke) for target in site.deploy.targets}
    if not still():
        return Deployed(name, number, superseded=True)
    if not any(result.state == "failed" for result in results.values()):
        results = {target: _switch(result, version, target, workspace, site) for target, result in results.items()}
    else:
        results = {target: _held(result) for target, result in results.items()}
    _write(mlflow, version, results)
    return Deployed(name, number, results)


def tag_of(target: str) -> str:
    return f"visionmill.deployed.{target}"


def _prepare(version: Any, target: str, workspace: Path, site: Site, smoke: Path) -> Result:
    """Make the bundle, if it is not there, and try it."""
    try:
        place = places.place(version.name, target, workspace, site)
        place.tidy(site.deploy.keep)
        bundle = places.bundle_name(version, presets.load("target", target, workspace))
        # what runs already was tried before it was switched to
        if place.current() == place.record().get("folder") == bundle and places.is_whole(place.folder / bundle):
            return Result("ok", str(place.record().get("smoke", "tried before")), bundle)
        _make(version, target, place.folder / bundle, workspace)
    except (VisionmillError, OSError) as error:
        return Result("refused", error.what if isinstance(error, VisionmillError) else str(error))
    return _tried(version, target, place.folder / bundle, smoke, site.deploy)


def _make(version: Any, target: str, folder: Path, workspace: Path) -> None:
    from tasks.deployment.making import build

    if folder.exists() and places.is_whole(folder):
        return
    shutil.rmtree(folder, ignore_errors=True)
    build(version, target, folder, workspace)


def _tried(version: Any, target: str, folder: Path, smoke: Path, deploy: Deploy) -> Result:
    carried = version.tags.get("visionmill.artefact", "")
    judged = not carried or carried.partition("/")[2] == target
    outcome = try_bundle(folder, smoke if smoke.is_dir() else None, deploy, judged=judged)
    return Result("ok" if outcome.ok else "failed", outcome.text, folder.name)


def _switch(result: Result, version: Any, target: str, workspace: Path, site: Site) -> Result:
    if result.state != "ok" or result.bundle is None:
        return result
    place = places.place(version.name, target, workspace, site)
    changed = place.current() != result.bundle
    if changed:
        place.switch(result.bundle)
    if changed or place.record().get("folder") != result.bundle:
        place.remember({"version": str(version.version), "folder": result.bundle, "smoke": result.text,
                        "when": audit.iso(audit.now_ms())})
    place.tidy(site.deploy.keep)
    return Result("ok", result.text, result.bundle, changed)


def _held(result: Result) -> Result:
    """A good bundle beside one that failed is not used: a site runs one version."""
    if result.state != "ok":
        return result
    return Result("failed", "not switched to: another target's bundle failed")


def _write(mlflow: MlflowClient, version: Any, results: dict[str, Result]) -> None:
    """Say on the version what became of it."""
    name, number = version.name, str(version.version)
    for target, result in results.items():
        told = "ok" if result.state == "ok" else f"failed: {result.text}"
        remarks.tag(mlflow, name, number, tag_of(target), told)
    bad = [f"{target}: {result.text}" for target, result in results.items() if result.state != "ok"]
    remarks.remark(mlflow, name, number, "deployment", f"Not deployed everywhere. {'; '.join(bad)}." if bad else None)
