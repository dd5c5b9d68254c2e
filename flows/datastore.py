"""The workspace's store, and DVC below it: what is tracked, pushed and pulled."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from flows.workspace import enter
from tasks.base.errors import UserError, VisionmillError
from tasks.base.files import write_json
from tasks.base.people import login
from tasks.base.site import read_site
from tasks.data.store.layout import IGNORED, Store, Version
from tasks.data.store.shards import files_of
from tasks.data.store.site import STORE, store_of

DVC = [sys.executable, "-P", "-m", "dvc"]


def is_workspace(folder: Path = Path()) -> bool:
    return (folder / "dvc.yaml").is_file() and (folder / "params.yaml").is_file()


def open_store(workspace: Path = Path()) -> Store:
    """The store that VISIONMILL_STORE names, which works in any folder; else the one of this workspace's site.

    Raises:
        UserError: this is no workspace, and VISIONMILL_STORE is not set.
    """
    return store_of(workspace if os.environ.get(STORE) else enter(workspace))


def owner(workspace: Path = Path()) -> str:
    """Who makes versions here: git's user.email, else the user of this machine."""
    told = _run(["git", "config", "user.email"], workspace, check=False).strip()
    return told or login()


def make_shared(root: Path) -> Store:
    """A store for several workspaces: a folder with git and DVC of its own.

    Raises:
        UserError: the folder is there and is not empty.
    """
    if root.exists() and any(root.iterdir()):
        raise UserError("the folder is not empty", where=root, mend="choose another path")
    root.mkdir(parents=True, exist_ok=True)
    _run(["git", "init", "-q"], root)
    _run([*DVC, "init", "-q"], root)
    (root / ".dvc/config").write_text('[core]\n    analytics = false\n    check_update = false\n    autostage = true\n'
                                      '[cache]\n    type = "reflink,hardlink,copy"\n', encoding="utf-8")
    (root / ".gitignore").write_text(IGNORED, encoding="utf-8")
    write_json(root / "store.json", {"schema": 1, "shared": True})
    commit(Store(root), "visionmill data: a shared store")
    return Store(root)


def track(store: Store, version: Version) -> None:
    """Let DVC track a version and the pictures that came with it; what a killed command left untracked as well."""
    wanted = [version.folder for version in store.all() if version.here]
    wanted += [path for path in store.pictures.iterdir() if path.is_dir()] if store.pictures.is_dir() else []
    new = [str(path) for path in wanted if not path.with_name(f"{path.name}.dvc").exists()]
    if new:
        add(store.root, new)
    if store.shared:
        commit(store, f"{version.ref}: {told_recipe(version)}")


def add(folder: Path, targets: Sequence[str]) -> None:
    """`dvc add`, and one copy of the bytes."""
    _run([*DVC, "add", "-q", *targets], folder)
    relink(folder, [f"{target}.dvc" for target in targets])


def relink(folder: Path, targets: Sequence[str]) -> None:
    """Replace files by links into DVC's cache: DVC itself leaves a second copy of what it takes in."""
    _run([*DVC, "checkout", "-q", "--relink", *targets], folder, check=False)


def commit(store: Store, message: str) -> None:
    """A shared store's own git remembers each version."""
    _run(["git", "add", "-A", "."], store.root)
    who = ["-c", "user.name=visionmill", "-c", "user.email=visionmill@localhost"]
    known = _run(["git", "config", "user.name"], store.root, check=False).strip()
    if _run(["git", "status", "--porcelain"], store.root).strip():
        _run(["git", *([] if known else who), "commit", "-q", "-m", message], store.root)


def told_recipe(version: Version) -> str:
    """A version's recipe in a line."""
    recipe = version.meta.recipe
    if "import" in recipe:
        return f"import of {recipe['import']['from']}"
    parents = " ".join(parent["ref"] for parent in recipe.get("parents", []))
    if picked := recipe.get("labels", {}).get("picked"):
        return f"{picked['budget']} of {recipe['parents'][0]['ref']} by {picked['strategy']}"
    if "labels" in recipe:
        return f"{parents} labelled by {recipe['labels'].get('by', 'people')}"
    given = {key: value for key, value in recipe.get("parameters", {}).items() if value not in (None, [], {})}
    return f"{recipe.get('operation', 'made')} {parents} {given or ''}".strip()


def transfer(store: Store, verb: str, versions: Sequence[Version]) -> None:
    """`dvc push` or `dvc pull` of versions, and of the pictures that their tables name.

    Where DVC has no default remote, the site's becomes it, for this machine alone.

    Raises:
        UserError: the remote is not reachable, or lacks the files.
    """
    if "core.remote" not in _run([*DVC, "config", "--list"], store.root):
        remote = read_site().remote
        place = remote if "://" in remote else str(Path(remote).expanduser().resolve())
        _run([*DVC, "remote", "add", "--local", "-f", "-d", "site", place], store.root)
        print(f"DVC's remote is {place} (conf/site; another one: dvc remote add -d NAME FOLDER-OR-URL)")
    _run_told([*DVC, verb, *(f"{version.folder}.dvc" for version in versions)], store.root, verb)
    origins = {origin for version in versions if version.here
               for origin in _origins(version.folder / "images.parquet")}
    targets = [str(store.pictures / f"{origin}.dvc") for origin in sorted(origins)]
    if targets:
        _run_told([*DVC, verb, *targets], store.root, verb)


def _origins(images: Path) -> set[str]:
    return {name.partition("/")[0] for name in files_of(images)}


def _run_told(command: list[str], folder: Path, verb: str) -> None:
    try:
        _run(command, folder)
    except VisionmillError as error:
        mend = "dvc remote add -d store FOLDER-OR-S3-URL, or ask who pushed last"
        raise UserError(f"dvc {verb} failed: {error.what.partition(': ')[2]}", where=folder, mend=mend) from None


def _run(command: list[str], folder: Path, check: bool = True) -> str:
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if check and done.returncode:
        text = (done.stderr or done.stdout).strip()
        raise VisionmillError(f"{Path(command[0]).name} {' '.join(command[-2:])}: {text}", where=folder)
    return done.stdout
