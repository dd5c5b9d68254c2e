"""What a run was made from: commits, what is uncommitted, and the DVC hash of each input."""

from __future__ import annotations

import os
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tasks.base.params import read_yaml

# written by every run: they say nothing about the code
GENERATED = {"dvc.lock", "code.yaml", ".gitignore"}
# an untracked file counts only when a run could read it
READ_BY_RUNS = {".py", ".yaml", ".yml", ".toml", ".dvc"}
CODE = ("flows", "tasks", "conf")
PACKAGE = Path(__file__).resolve().parents[2]


def git(folder: Path, *words: str) -> str | None:
    """Standard output of a git command in `folder`, None when there is no git or no repository."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def commit(folder: Path = Path()) -> str | None:
    found = git(folder, "rev-parse", "HEAD")
    return found.strip() if found else None


def uncommitted(folder: Path = Path(), *within: str) -> list[str] | None:
    """Paths of code and configuration that differ from the last commit; None without a repository.

    What a run itself writes (dvc.lock, code.yaml, .gitignore) does not count. `within` names sub-folders to look in.
    """
    listing = git(folder, "status", "--porcelain", "-z", "--untracked-files=all", "--", *(within or ["."]))
    if listing is None:
        return None
    entries = listing.split("\0")
    paths = []
    while entries:
        entry = entries.pop(0)
        if entry[:1] in {"R", "C"}:
            entries.pop(0)  # the old name follows
        if entry and _counts(entry[:2], Path(entry[3:])):
            paths.append(entry[3:])
    return sorted(paths)


def code_state(workspace: Path = Path()) -> dict[str, Any]:
    """Commits of the workspace and of this package, and the uncommitted files of both.

    Returns:
        commit, package_commit: hexadecimal or None; package_version; uncommitted: list of paths, None when the
        workspace has no repository.
    """
    files = uncommitted(workspace)
    package = None
    if git(PACKAGE, "rev-parse", "--show-toplevel") == f"{PACKAGE}\n":
        package = commit(PACKAGE)
        if files is not None and workspace.resolve() != PACKAGE:
            files = files + [f"{PACKAGE.name}: {path}" for path in uncommitted(PACKAGE, *CODE) or []]
    try:
        release = version("visionmill")
    except PackageNotFoundError:
        release = "not installed"
    return {"commit": commit(workspace), "package_commit": package, "package_version": release, "uncommitted": files}


def dvc_hashes(workspace: Path = Path()) -> dict[str, str]:
    """Hash of every output in dvc.lock and of every path that a `.dvc` file tracks; path → hash."""
    found: dict[str, str] = {}
    for file in [*workspace.glob("*.dvc"), *workspace.glob("data/*.dvc")]:
        if file.is_file():
            found |= {(file.parent / out["path"]).relative_to(workspace).as_posix(): out.get("md5", "")
                      for out in (read_yaml(file) or {}).get("outs", [])}
    lock = workspace / "dvc.lock"
    stages = (read_yaml(lock) or {}).get("stages", {}) if lock.is_file() else {}
    for stage in stages.values():
        found |= {out["path"]: out.get("md5", "") for out in stage.get("outs", [])}
    return found


def stage_inputs(name: str, workspace: Path = Path()) -> dict[str, str]:
    """DVC hash of each dependency of the stage `name` (`train`, `export@cpu-int8`); a dependency that is a folder of
    several outputs gives one entry each."""
    file = workspace / "dvc.yaml"
    stages = (read_yaml(file) or {}).get("stages", {}) if file.is_file() else {}
    base, _, item = name.partition("@")
    stage = stages.get(base) or {}
    deps = [str(dep).replace("${item}", item) for dep in stage.get("do", stage).get("deps", [])]
    hashes = dvc_hashes(workspace)
    return {path: value for path, value in sorted(hashes.items())
            if any(path == dep or path.startswith(f"{dep}/") for dep in deps)}


def lineage_tags(workspace: Path = Path()) -> dict[str, str]:
    """Tags of a run: commits, whether code is uncommitted, inputs' hashes, the flow run's id where there is one."""
    state = code_state(workspace)
    files = state["uncommitted"]
    tags = {
        "visionmill.git_commit": state["commit"] or "none",
        "visionmill.version": state["package_version"],
        "visionmill.uncommitted": "no repository" if files is None else ", ".join(files)[:1000] or "no",
    }
    if state["package_commit"]:
        tags["visionmill.package_commit"] = state["package_commit"]
    if flow := os.environ.get("VISIONMILL_FLOW_RUN"):
        tags["visionmill.flow_run"] = flow
    if stage := os.environ.get("DVC_STAGE"):
        tags |= {f"visionmill.input.{path}": value for path, value in stage_inputs(stage, workspace).items()}
    return tags


def _counts(state: str, path: Path) -> bool:
    if path.name in GENERATED:
        return False
    return state != "??" or path.suffix in READ_BY_RUNS
