"""A version built again in a clone: its commit, its own lock and parameters, its data from DVC, every stage run.

The clone has a DVC cache of its own, so there is no run cache that could hand out the old outputs; data that no stage
can make is fetched from the first workspace's cache as from a remote, which only reads it.
"""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from flows import line, stages
from flows.datastore import DVC
from flows.workspace import leave_note, note
from tasks.base.errors import UserError, VisionmillError
from tasks.base.files import digest_value, folder_atomic
from tasks.base.params import read_yaml
from tasks.registry import lineage, store
from tasks.registry.outputs import FILES
from tasks.registry.tracing.kept import Kept

NOTE, FIRST = "again", "visionmill-first"
LIMIT_S = 24 * 3600.0


@dataclass(frozen=True)
class Rebuild:
    """A version that is built again.

    Attributes:
        told: its trail.
        papers: folder of its dvc.lock, dvc.yaml and params.yaml.
        workspace: where it was asked for; nothing is written there but below `.visionmill`.
        root: folder of the clone.
    """

    told: Mapping[str, Any]
    papers: Path
    workspace: Path
    root: Path

    @property
    def key(self) -> str:
        version = self.told["version"]
        return digest_value([version["name"], version["version"], self.told["stages"], self.told["code"]["commit"]])

    @property
    def place(self) -> Path:
        """The workspace in the clone: its folder in the repository may not be the top one."""
        return self.root / _below(self.workspace)

    @property
    def names(self) -> list[str]:
        return [stage["name"] for stage in self.told["stages"]]

    def sources(self) -> list[str]:
        """Stages that make data from nothing here, a download or a version of a store: their outputs count as given."""
        return [stage["name"] for stage in self.told["stages"] if not stage["deps"] and stage["name"] != line.CODE]


def prepare(work: Rebuild) -> None:
    """Make the clone, or go on with the one of this very version that is there.

    Raises:
        UserError: the folder holds something else, or the commit is not in this repository.
    """
    if work.root.exists() and any(work.root.iterdir()):
        known = note(NOTE, work.place)
        if known is None or known.get("key") != work.key:
            raise UserError("the folder is not empty, and holds no rebuild of this version", where=work.root,
                            mend="--into another folder")
        return
    with folder_atomic(work.root) as fresh:
        _clone(work, fresh)
        place = fresh / _below(work.workspace)
        for name in FILES:
            if (work.papers / name).is_file():
                shutil.copyfile(work.papers / name, place / name)
        _settings(work, place)
        _follow_tracked(work, place)
        leave_note(NOTE, {"key": work.key, "done": {}}, place)


def _below(workspace: Path) -> Path:
    top = lineage.git(workspace, "rev-parse", "--show-toplevel")
    return workspace.resolve().relative_to(Path(top.strip()).resolve()) if top else Path()


def _clone(work: Rebuild, fresh: Path) -> None:
    """The repository at the version's commit; without one, the workspace's configuration in a new repository."""
    commit, top = work.told["code"]["commit"], lineage.git(work.workspace, "rev-parse", "--show-toplevel")
    if top is None or commit in (None, "none"):
        _call(["git", "init", "-q", str(fresh)], work.workspace)
        for name in ("conf", ".dvcignore", ".gitignore"):
            if (work.workspace / name).is_dir():
                shutil.copytree(work.workspace / name, fresh / name)
            elif (work.workspace / name).is_file():
                shutil.copyfile(work.workspace / name, fresh / name)
        return
    # a local clone has all objects, also those that no branch reaches any more
    _call(["git", "clone", "-q", "--no-checkout", top.strip(), str(fresh)], work.workspace)
    if lineage.git(fresh, "cat-file", "-e", f"{commit}^{{commit}}") is None:
        raise UserError(f"the commit {commit} is not in this repository", where=top.strip(),
                        mend="git fetch --all, then this again")
    _call(["git", "-C", str(fresh), "checkout", "-q", "--detach", commit], work.workspace)
    (fresh / _below(work.workspace)).mkdir(parents=True, exist_ok=True)


def _settings(work: Rebuild, place: Path) -> None:
    """A cache of its own, and the first workspace's cache as a remote to read from."""
    if _dvc_folder(place, place) is None:
        _call([*DVC, "init", "-q", "-f", *(["--subdir"] if _below(work.workspace) != Path() else [])], place)
    folder = _dvc_folder(place, place) or place / ".dvc"
    told = configparser.ConfigParser(interpolation=None, strict=False)
    first = _dvc_folder(work.workspace, Path("/"))
    if first is not None:
        told.read(first / "config.local", encoding="utf-8")  # credentials of the remotes, for what is only there
    for section, values in {"cache": {"dir": "cache", "type": "reflink,hardlink,copy"},
                            "core": {"analytics": "false", "check_update": "false"},
                            f"'remote \"{FIRST}\"'": {"url": str(Kept(work.workspace).cache)}}.items():
        if not told.has_section(section):
            told.add_section(section)
        for key, value in values.items():
            told.set(section, key, value)
    with os.fdopen(os.open(folder / "config.local", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
        told.write(file)


def _dvc_folder(folder: Path, top: Path) -> Path | None:
    for above in (folder, *folder.parents):
        if (above / ".dvc").is_dir():
            return above / ".dvc"
        if above == top or (above / ".git").exists():
            return None
    return None


def _follow_tracked(work: Rebuild, place: Path) -> None:
    """Let each `.dvc` file name the data that the version's lock read, which git may not have had."""
    read = {dep["path"]: dep for stage in work.told["stages"] for dep in stage["deps"]}
    for file in [*place.glob("*.dvc"), *place.glob("data/*.dvc")]:
        if not file.is_file():
            continue
        noted, changed = read_yaml(file) or {}, False
        for out in noted.get("outs", []):
            dep = read.get((file.parent / out["path"]).relative_to(place).as_posix())
            if dep and dep["hash"] and out.get("md5") != dep["hash"]:
                out |= {"md5": dep["hash"], "size": dep["size"], "nfiles": dep["files"]}
                changed = True
        if changed:
            with file.open("w", encoding="utf-8") as stream:
                YAML(typ="safe", pure=True).dump(noted, stream)


def bring_data(work: Rebuild, wanted: list[str]) -> None:
    """Fetch what the stages to run read and none of them makes, from the first workspace's cache, else the remote.

    Raises:
        UserError: it is nowhere.
    """
    makers = {out["path"]: stage["name"] for stage in work.told["stages"] for out in stage["outs"]}
    needed = {dep["path"] for stage in work.told["stages"] if stage["name"] in wanted for dep in stage["deps"]}
    given = {makers[path] for path in makers if any(path == dep or path.startswith(f"{dep}/") for dep in needed)}
    targets = sorted(given - set(wanted) - {line.CODE})
    targets += [f"{path}.dvc" for path in sorted(needed - set(makers)) if (work.place / f"{path}.dvc").is_file()]
    if not targets:
        return
    print(f"data: {', '.join(targets)}", flush=True)
    tried = [_ask([*DVC, "fetch", "-q", *remote, *targets], work.place) for remote in (["-r", FIRST],)]
    if tried[-1].returncode:
        tried.append(_ask([*DVC, "fetch", "-q", *targets], work.place))
    done = _ask([*DVC, "checkout", "-q", *targets], work.place) if not tried[-1].returncode else tried[-1]
    if done.returncode:
        text = (done.stderr or done.stdout).strip().splitlines()
        raise UserError(f"the data is not to be had: {text[-1] if text else 'dvc fetch failed'}", where=work.place,
                        mend=f"dvc pull in {work.workspace}, then this again")


def build(work: Rebuild, wanted: list[str]) -> stages.Outcome | None:
    """Run the stages that are wanted and were not done by an earlier call; the first that fails comes back.

    Each runs by force: by its lock alone DVC would take it for up to date, or restore it.
    """
    with _environment(work):
        for name in _order(work, wanted):
            known = note(NOTE, work.place) or {}
            if _is_done(work, name, known):
                print(f"{name:20} done before", flush=True)
                continue
            began = time.monotonic()
            receipt = work.place / ".visionmill" / "receipts" / f"again-{name.replace('/', '_')}.jsonl"
            receipt.parent.mkdir(parents=True, exist_ok=True)
            receipt.unlink(missing_ok=True)
            print(f"{name:20} runs", flush=True)
            code, tail = stages.stream([*DVC, "--wait-for-lock", "repro", "-s", "-f", name], work.place, receipt,
                                       LIMIT_S, lambda text: print(f"  | {text}", flush=True))
            seconds = time.monotonic() - began
            if code:
                errors = [text for text in tail if "ERROR" in text or "error:" in text]
                return stages.Outcome(name, stages.FAILED, seconds, errors[-1] if errors else f"dvc ended with {code}",
                                      1)
            done = (known.get("done") or {}) | {name: _outs(work.place, name)}
            leave_note(NOTE, known | {"done": done}, work.place)
            print(f"{name:20} ran in {seconds:.0f} s", flush=True)
    return None


def rebuilt(work: Rebuild) -> list[str]:
    """Stages that ran in the clone."""
    known = note(NOTE, work.place) or {}
    return [name for name in work.names if _is_done(work, name, known)]


def _is_done(work: Rebuild, name: str, known: Mapping[str, Any]) -> bool:
    """Whether a stage ran here and its outputs are as it left them."""
    outs = _outs(work.place, name)
    return (known.get("done") or {}).get(name, "none") == outs and all((work.place / path).exists() for path in outs)


def _outs(place: Path, name: str) -> dict[str, str]:
    return {out["path"]: str(out.get("md5", "")) for out in line.read_lock(place).get(name, {}).get("outs", [])}


def _order(work: Rebuild, wanted: list[str]) -> list[str]:
    known = [name for name in line.ask(work.place).order if name in wanted]
    return sorted(known, key=lambda name: name != line.CODE)  # the digests of the code come first


@contextmanager
def _environment(work: Rebuild) -> Iterator[None]:
    """Runs are recorded in the clone alone, but versions are looked up where they were; a repository that holds this
    package runs its own."""
    own = (work.root / "flows/cli.py").is_file() and (work.root / "tasks").is_dir()
    paths = [str(work.root)] if own else []
    paths += [text for text in [os.environ.get("PYTHONPATH", "")] if text]
    wanted = {"VISIONMILL_TRACKING": "off", "MLFLOW_TRACKING_URI": store.tracking_uri(work.workspace),
              **({"PYTHONPATH": os.pathsep.join(paths)} if paths else {})}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _call(command: list[str], folder: Path) -> None:
    done = _ask(command, folder)
    if done.returncode:
        raise VisionmillError(f"{' '.join(command[:3])} failed: {(done.stderr or done.stdout).strip()[-300:]}",
                              where=folder)


def _ask(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
