"""What a run was made from: commits, what is uncommitted, and the DVC hash of each input."""

from __future__ import annotations

import contextlib
import os
import platform
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
# a new release of one of these may round otherwise
COMPUTING = ("torch", "torchvision", "numpy", "onnxruntime", "openvino")
PACKAGE = Path(__file__).resolve().parents[2]


def git(folder: Path, *words: str) -> str | None:
    """Standard output of a git command in `folder`, None when there is no git or no repository."""
    try:
        # `status` would write what it learnt of times into the index: nothing is to change where one only looks
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"})
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


def locked_stages(workspace: Path = Path()) -> dict[str, Any]:
    """The stages of dvc.lock that dvc.yaml still has; DVC keeps those that were dropped, such as an export target."""
    locked, defined = stages_of(workspace / "dvc.lock"), stages_of(workspace / "dvc.yaml")
    params = _plain(workspace / "params.yaml")
    return {name: stage for name, stage in locked.items() if not defined or _is_defined(name, defined, params)}


def value_at(values: Any, name: str) -> Any:
    """The value under a dotted name, None where there is none."""
    for key in name.split("."):
        values = values.get(key) if isinstance(values, dict) else None
    return values


def dvc_hashes(workspace: Path = Path()) -> dict[str, str]:
    """Hash of every output in dvc.lock and of every path that a `.dvc` file tracks; path → hash."""
    found: dict[str, str] = {}
    for file in [*workspace.glob("*.dvc"), *workspace.glob("data/*.dvc")]:
        if file.is_file():
            found |= {(file.parent / out["path"]).relative_to(workspace).as_posix(): out.get("md5", "")
                      for out in (read_yaml(file) or {}).get("outs", [])}
    for stage in locked_stages(workspace).values():
        found |= {out["path"]: out.get("md5", "") for out in stage.get("outs", [])}
    return found


def stage_inputs(name: str, workspace: Path = Path()) -> dict[str, str]:
    """DVC hash of each dependency of the stage `name` (`train`, `export@cpu-int8`); a dependency that is a folder of
    several outputs gives one entry each."""
    base, _, item = name.partition("@")
    stage = stages_of(workspace / "dvc.yaml").get(base) or {}
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
    tags["visionmill.machine_kind"] = machine_kind()
    if state["package_commit"]:
        tags["visionmill.package_commit"] = state["package_commit"]
    if flow := os.environ.get("VISIONMILL_FLOW_RUN"):
        tags["visionmill.flow_run"] = flow
    if stage := os.environ.get("DVC_STAGE"):
        tags |= {f"visionmill.input.{path}": value for path, value in stage_inputs(stage, workspace).items()}
    return tags


def machine_kind() -> str:
    """What outputs that are equal to the bit depend on: processor, threads, and the libraries that compute.

    Two machines of one kind give the same weights; on others they differ in their last bits.
    """
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [names[0] if names else platform.processor() or platform.machine(),
             f"{os.environ.get('VISIONMILL_THREADS') or cores} threads"]
    for name in COMPUTING:
        with contextlib.suppress(PackageNotFoundError):
            parts.append(f"{name} {version(name)}")
    return ", ".join(parts)


def _is_defined(name: str, stages: dict[str, Any], params: dict[str, Any]) -> bool:
    base, at, item = name.partition("@")
    if not at:
        return base in stages
    each = (stages.get(base) or {}).get("foreach", [])
    if isinstance(each, str):  # ${export.targets}
        each = value_at(params, each.strip("${} ")) or []
    return item in [str(one) for one in each]


def stages_of(file: Path) -> dict[str, Any]:
    """The stages of a dvc.yaml or a dvc.lock as they stand there; empty without the file.

    Raises:
        ParamsError: it is not YAML.
    """
    found = _plain(file)
    if "schema" in found or "stages" in found:
        return found.get("stages") or {}
    # before DVC 2 the stages of dvc.lock stood at the top
    return {name: stage for name, stage in found.items() if isinstance(stage, dict) and "cmd" in stage}


def _plain(file: Path) -> dict[str, Any]:
    found = read_yaml(file) if file.is_file() else None
    return found if isinstance(found, dict) else {}


def _counts(state: str, path: Path) -> bool:
    if path.name in GENERATED:
        return False
    return state != "??" or path.suffix in READ_BY_RUNS
