"""A version's own papers: dvc.lock, dvc.yaml and params.yaml as they were, wherever they can still be found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tasks.base.errors import VisionmillError
from tasks.base.files import digest_file, folder_atomic, write_atomic
from tasks.registry import store, versions
from tasks.registry.lineage import git
from tasks.registry.outputs import FILES
from tasks.registry.tracing.reading import Known, Registry


@dataclass(frozen=True)
class Papers:
    """Where the papers lie.

    Attributes:
        folder: with dvc.lock, dvc.yaml and params.yaml, readable like a workspace; None: there are none.
        origin: in words, where they were found.
        files: the version's whole MLflow model on this machine, None where it is on a server or gone.
    """

    folder: Path | None
    origin: str
    files: Path | None


def papers(known: Known, registry: Registry, workspace: Path) -> Papers:
    """The version's own papers: from its artefacts, else its line's run, else git or the workspace where the digest
    that the version's tags keep says that they are the same."""
    files = _model_folder(known, registry, workspace)
    if files is not None and (files / "lineage" / "dvc.lock").is_file():
        return Papers(files / "lineage", "the version's artefacts", files)
    ways: tuple[tuple[str, Callable[[], Path | None]], ...] = (
        ("the version's artefacts", lambda: _fetched(known, workspace) if files is None else None),
        ("the artefacts of the line's run", lambda: _of_run(known, registry, workspace)),
        ("git, at the version's commit", lambda: _of_git(known, workspace)),
        ("the workspace, which has them still", lambda: _of_workspace(known, workspace)))
    for origin, way in ways:
        if (folder := way()) is not None:
            return Papers(folder, origin, files)
    return Papers(None, "nowhere", files)


def _model_folder(known: Known, registry: Registry, workspace: Path) -> Path | None:
    found = versions.local_files(registry.files(known), workspace)
    return found if found is not None and found.is_dir() else None


def _fetched(known: Known, workspace: Path) -> Path | None:
    try:
        found = versions.resolve_model(f"models:/{known.name}/{known.version}", "lineage", workspace)
    except VisionmillError:
        return None
    return found if (found / "dvc.lock").is_file() else None


def _of_run(known: Known, registry: Registry, workspace: Path) -> Path | None:
    parent = known.tag("parent_run") or known.run_id
    run = registry.runs([parent]).get(parent)
    place = versions.local_files(run.files, workspace) if run else None
    found = place / f"version-{known.version}" / "lineage" if place else None
    return found if found is not None and (found / "dvc.lock").is_file() else None


def _of_git(known: Known, workspace: Path) -> Path | None:
    """The files of the commit, if each has the digest of the version's tag."""
    commit, place = known.tag("git_commit"), workspace / store.STATE / "papers" / f"{known.name}-{known.version}"
    if not commit or not commit.isalnum() or commit == "none":
        return None
    texts = {name: git(workspace, "show", f"{commit}:./{name}") for name in FILES}
    if texts["dvc.lock"] is None:
        return None
    with folder_atomic(place) as fresh:
        for name, text in texts.items():
            if text is not None:
                write_atomic(fresh / name, text)
    if _same(place, known):
        return place
    shutil.rmtree(place)
    return None


def _of_workspace(known: Known, workspace: Path) -> Path | None:
    return workspace if _same(workspace, known) else None


def _same(folder: Path, known: Known) -> bool:
    digests = {name: known.tag(name) for name in FILES}
    return bool(digests["dvc.lock"]) and all(
        not digest or ((folder / name).is_file() and digest_file(folder / name) == digest)
        for name, digest in digests.items())
